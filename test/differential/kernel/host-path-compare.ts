/**
 * The same frames into the kernel and the engine: every frame that comes out, byte for byte, and
 * every rule counter.
 * @module
 */
import type { Test } from 'tap';
import type { Plan } from '../../../src/plan/model.ts';
import * as ethernet from '../../../src/wire/header/ethernet.ts';
import { EtherType } from '../../../src/wire/protocol.ts';
import { engineOf, inject, sentBy } from '../../support/hosts.ts';
import { comparable } from './harness/comparable.ts';
import { Laboratory, type Wired } from './harness/laboratory.ts';
import type { Backend } from './harness/trial.ts';

/** A router that answers nothing of its own accord. */
export const QUIET = {
  'net.ipv4.ip_forward': '1',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.default.rp_filter': '0',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
  'net.ipv4.icmp_echo_ignore_all': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv6.icmp.echo_ignore_all': '1',
};

export interface Shot {
  readonly what: string;
  readonly device: string;
  readonly frame: Uint8Array;
  /** Its source port becomes one that the kernel draws: neither port nor checksum is compared. */
  readonly drawnPort?: boolean;
}

/** The frame with some bytes changed. */
export function edited(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, at);
  return copy;
}

/** Both sides as sorted lines, without what hosts say by themselves. */
function lines(wired: readonly Wired[], drawnPort = false): string[] {
  return wired
    .map(({ device, frame }) => comparable(device, drawnPort ? withoutPort(frame) : frame))
    .filter((line) => line !== null)
    .toSorted();
}

/** A TCP segment without options of IP: its source port and its checksum blanked. */
function withoutPort(frame: Uint8Array): Uint8Array {
  const l3 = ethernet.payloadOffset(frame);
  const l4 = l3 + (ethernet.etherType(frame) === EtherType.ipv6 ? 40 : 20);
  return edited(edited(frame, l4, 0, 0), l4 + 16, 0, 0);
}

/**
 * Whether the kernel counted only MLDv2 reports more than we did: hosts say these of their own
 * accord, up to a second after their devices are up (40 bytes, 8 of options, 8, 20 a group).
 */
function isReports(counted: string, told: string): boolean {
  const [packets = 0, bytes = 0] = counted.split(':').map(Number);
  const [allPackets = 0, allBytes = 0] = told.split(':').map(Number);
  const more = allPackets - packets;
  const groups = (allBytes - bytes - 56 * more) / 20;
  return more > 0 && Number.isInteger(groups) && groups >= more && groups <= 5 * more;
}

/** Send the shots one by one; everything must be equal after each. */
export async function compare(t: Test, plan: Plan, shots: readonly Shot[], backend: Backend) {
  const kernel = new Laboratory(t);
  await kernel.build(plan, backend);
  const engine = engineOf([plan]);
  for (const { what, device, frame, drawnPort } of shots) {
    const want = await kernel.send([{ device, frame }]);
    const journey = engine.inject(inject.frame(`node/${device}`, frame));
    t.same(lines(sentBy(journey), drawnPort), lines(want, drawnPort), what);
  }
  const { counters } = await kernel.read(plan, backend);
  const own = engine.counters('node');
  for (const family of [4, 6] as const) {
    const want = [...counters].filter(([name]) => name.startsWith(`${family} `));
    const got = want.map(([name, told]) => {
      const found = own.get(name);
      const counted = `${found?.packets}:${found?.bytes}`;
      return [name, family === 6 && isReports(counted, told) ? told : counted];
    });
    t.same(got, want, `counters of IPv${family}`);
  }
}
