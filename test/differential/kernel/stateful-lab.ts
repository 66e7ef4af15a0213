/**
 * One router, in the kernel and in the engine, with the same rules: packets go through both, and
 * after each step every rule's counters and every frame that came out must be equal.
 * @module
 */
import type { Test } from 'tap';
import { parseIpsets } from '../../../src/plan/ipset/text.ts';
import { MAIN_TABLE, type Plan } from '../../../src/plan/model.ts';
import { engineOf, hostPlan, iface, route, sentBy } from '../../support/hosts.ts';
import type { PacketBuilder } from '../../support/packets.ts';
import { comparable } from './harness/comparable.ts';
import type { Laboratory, Wired } from './harness/laboratory.ts';
import type { Backend } from './harness/trial.ts';
import { ROUTER_MAC } from './router.ts';

export const ROUTER_OUT_MAC = '02:00:00:00:00:ab';

export interface StatefulStep {
  /** Seconds to wait before. */
  readonly wait?: number;
  /** From the side of the servers. */
  readonly back?: true;
  readonly send: readonly PacketBuilder[];
}

export interface StatefulCase {
  readonly name: string;
  readonly family?: 4 | 6;
  /** Rules as `[TABLE] -A CHAIN …`; the filter table when none is named. */
  readonly rules: readonly string[];
  /** `ipset restore` lines. */
  readonly sets?: readonly string[];
  readonly steps: readonly StatefulStep[];
  /** Milliseconds between packets of a step. */
  readonly pauseMs?: number;
}

const TABLES = ['raw', 'mangle', 'nat', 'filter'] as const;

/** Restore text of all tables, so that what a case does not name is empty. */
function restoreText({ rules }: StatefulCase, mine: boolean): string {
  return TABLES.map((table) => {
    const own = rules.flatMap((rule) => {
      const m = /^(?:(\w+) )?(-A .*)$/.exec(rule);
      return (m?.[1] ?? 'filter') === table ? [m?.[2] ?? ''] : [];
    });
    if (mine && own.length === 0) return '';
    const chains = [...new Set(own.map((rule) => rule.split(' ')[1] ?? ''))];
    const user = chains.filter((chain) => chain !== chain.toUpperCase());
    const made = user.map((chain) => `:${chain} - [0:0]`);
    return [`*${table}`, ...made, ...own, 'COMMIT', ''].join('\n');
  }).join('');
}

function planOf(test: StatefulCase): Plan {
  const text = restoreText(test, true);
  const plan = hostPlan('router', {
    interfaces: [
      iface('eth0', ROUTER_MAC, { addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('eth1', ROUTER_OUT_MAC, { addresses: ['10.2.0.1/24', '2001:db8:2::1/64'] }),
    ],
    routes: ['10.1.0.0/24', '2001:db8:1::/64']
      .map((net) => route(net, { device: 'eth0' }))
      .concat(['10.2.0.0/24', '2001:db8:2::/64'].map((net) => route(net, { device: 'eth1' }))),
    neighbors: NEIGHBORS.map(([address, side]) =>
      side === 'in'
        ? ([address, 'eth0', '02:00:00:00:00:cc'] as const)
        : ([address, 'eth1', '02:00:00:00:00:bb'] as const),
    ),
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '0',
    },
    ...(test.family === 6 ? { ip6tables: text } : { iptables: text }),
    extend: (builder) => {
      builder.ipsets.push(...parseIpsets((test.sets ?? []).join('\n'), 'sets'));
    },
  });
  return { ...plan, routes: plan.routes.map((one) => ({ ...one, table: MAIN_TABLE })) };
}

/** Who is where; addresses beyond the list are sources that nobody answers. */
export const NEIGHBORS: readonly (readonly [string, 'in' | 'out'])[] = [
  ['10.1.0.2', 'in'],
  ['10.1.0.3', 'in'],
  ['2001:db8:1::2', 'in'],
  ['2001:db8:1::3', 'in'],
  ['10.2.0.2', 'out'],
  ['10.2.0.3', 'out'],
  ['2001:db8:2::2', 'out'],
];

/** The router alone, without rules and sets. */
export function bareRouter(): Plan {
  return planOf({ name: 'bare', rules: [], steps: [] });
}

/** Run one case against the kernel. */
export async function compareCase(t: Test, lab: Laboratory, test: StatefulCase, backend: Backend) {
  const plan = planOf(test);
  await lab.build(bareRouter(), backend);
  await lab.run(['ipset', 'restore'], `${(test.sets ?? []).join('\n')}\n`);
  // Members of sets begin to age now.
  await lab.startClock();
  const tool = test.family === 6 ? 'ip6tables' : 'iptables';
  await lab.run([`${tool}-${backend}-restore`], restoreText(test, false));
  const engine = engineOf([plan]);
  let frame = 0;
  for (const [at, step] of test.steps.entries()) {
    if (step.wait !== undefined) await lab.wait(step.wait);
    const device = step.back ? 'eth1' : 'eth0';
    const dstMac = step.back ? ROUTER_OUT_MAC : ROUTER_MAC;
    const frames = step.send.map((builder) => ({ device, frame: builder.frame({ dstMac }) }));
    const { heard, seconds } = await sent(lab, frames, test.pauseMs);
    const out: Wired[] = [];
    for (const [i, one] of frames.entries()) {
      frame += 1;
      const journey = engine.inject({
        as: 'frame',
        host: 'router',
        device,
        frameBytes: one.frame,
        frame,
        nowNs: Math.round((seconds[i] ?? 0) * 1e9),
        utcSeconds: Math.floor(Date.now() / 1000),
      });
      out.push(...sentBy(journey));
    }
    const name = `${test.name} (${backend}), step ${at + 1}`;
    t.same(lines(out), lines(heard), `${name}: frames`);
    const { counters } = await lab.read(plan, backend);
    const own = [...engine.counters('router')].map(
      ([key, { packets, bytes }]) => [key, `${packets}:${bytes}`] as const,
    );
    t.same(Object.fromEntries(own), Object.fromEntries(counters), `${name}: counters`);
  }
}

/** What left, and when each frame arrived: together, or with pauses for the clock to tick in. */
async function sent(
  lab: Laboratory,
  frames: readonly Wired[],
  pauseMs: number | undefined,
): Promise<{ readonly heard: readonly Wired[]; readonly seconds: readonly number[] }> {
  if (pauseMs === undefined) {
    const heard = await lab.send(frames);
    return { heard, seconds: frames.map((_, i) => lab.sentAt + i / 1e6) };
  }
  const heard: Wired[] = [];
  const seconds: number[] = [];
  for (const one of frames) {
    heard.push(...(await lab.send([one])));
    seconds.push(lab.sentAt);
    await lab.wait(pauseMs / 1000);
  }
  return { heard, seconds };
}

function lines(wired: readonly Wired[]): string[] {
  return wired
    .map(({ device, frame }) => comparable(device, frame))
    .filter((line) => line !== null)
    .toSorted();
}
