/**
 * The router that rules and connections are tried on, as a plan with its neighbours: routerPlan of
 * test/support with everybody on either side known, so that nothing waits for an answer in vain.
 * @module
 */
import type { Plan } from '../../../src/plan/model.ts';
import { address } from '../../support/packets.ts';
import { routerPlan } from '../../support/walks.ts';
import type { Wired } from './harness/laboratory.ts';

/** Where frames for the router go; all of them arrive at eth0. */
export const ROUTER_MAC = '02:00:00:00:00:aa';

const MACS: Readonly<Record<string, string>> = { eth0: ROUTER_MAC, eth1: '02:00:00:00:00:ab' };
const EVERYBODY = { eth0: '02:00:00:00:00:cc', eth1: '02:00:00:00:00:bb' } as const;

const FORWARDING = {
  'net.ipv4.conf.default.rp_filter': '0',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
};

/**
 * `neighbors` of 10.1.0.0/24 and 2001:db8:1::/64 are behind eth0, all others behind eth1. Whatever
 * of the plan is not said here is `more`.
 */
export function routerIn(neighbors: readonly string[], more: Partial<Plan> = {}): Plan {
  const plan = routerPlan().build();
  return {
    ...plan,
    interfaces: plan.interfaces.map((one) => ({ ...one, mac: MACS[one.name] ?? one.mac })),
    neighbors: neighbors.map((text) => {
      const device = /^(10\.1\.|2001:db8:1:)/.test(text) ? 'eth0' : 'eth1';
      return { address: address(text), device, mac: EVERYBODY[device], state: 'permanent' };
    }),
    sysctls: FORWARDING,
    ...more,
  };
}

export function intoRouter(frame: Uint8Array): Wired {
  return { device: 'eth0', frame };
}

/** What left the router on the far side. */
export function farSide(heard: readonly Wired[]): Uint8Array[] {
  return heard.filter(({ device }) => device === 'eth1').map(({ frame }) => frame);
}
