/**
 * The same frames into the kernel and the engine: every frame that comes out, byte for byte, and
 * every rule counter.
 * @module
 */
import type { Test } from 'tap';
import type { Plan } from '../../../src/plan/model.ts';
import * as ethernet from '../../../src/wire/ethernet.ts';
import * as ipv4 from '../../../src/wire/ipv4.ts';
import { EtherType, Protocol } from '../../../src/wire/protocol.ts';
import { engineOf, inject, sentBy } from '../../support/hosts.ts';
import { KernelHost } from './host-path-lab.ts';

export interface Shot {
  readonly what: string;
  readonly device: string;
  readonly frame: Uint8Array;
}

/** The frame with some bytes changed. */
export function edited(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = frame.slice();
  copy.set(bytes, at);
  return copy;
}

/** Blank what the kernel draws; leave out what hosts say by themselves (IGMP, MLD). */
function comparable(line: string): string | null {
  const [device = '', hex = ''] = line.split(' ');
  const b = Uint8Array.from(Buffer.from(hex, 'hex'));
  const type = ethernet.etherType(b);
  const l3 = ethernet.payloadOffset(b);
  if (type === EtherType.ipv4) {
    if (ipv4.protocol(b, l3) === Protocol.igmp) return null;
    if (ipv4.protocol(b, l3) === Protocol.icmp && (ipv4.tos(b, l3) & 0xe0) === 0xc0) {
      b.fill(0, l3 + 4, l3 + 6);
      ipv4.fillChecksum(b, l3);
    }
  }
  if (type === EtherType.ipv6) {
    if (b[l3 + 6] === Protocol.hopopts) return null;
    if (b[l3 + 6] === Protocol.icmpv6 && (b[l3 + 40] ?? 255) < 128) b.fill(0, l3 + 1, l3 + 4);
  }
  return `${device} ${Buffer.from(b).toString('hex')}`;
}

/** Send the shots one by one; everything must be equal after each. */
export async function compare(t: Test, plan: Plan, shots: readonly Shot[], tag: string) {
  const kernel = new KernelHost(plan, tag);
  t.teardown(() => kernel.down());
  await kernel.up();
  const engine = engineOf([plan]);
  for (const { what, device, frame } of shots) {
    kernel.send(device, frame);
    const want = (await kernel.heard()).map(comparable).filter((line) => line !== null);
    const journey = engine.inject(inject.frame(`node/${device}`, frame));
    const got = sentBy(journey)
      .map((sent) => comparable(`${sent.device} ${Buffer.from(sent.frame).toString('hex')}`))
      .filter((line) => line !== null);
    t.same(got.toSorted(), want.toSorted(), what);
  }
  const counters = engine.counters('node');
  for (const family of [4, 6] as const) {
    const want = kernel.counters(family);
    const got = want.map((line) => {
      const name = line.replace(/ \d+:\d+$/, '');
      const found = counters.get(name);
      return `${name} ${found?.packets}:${found?.bytes}`;
    });
    t.same(got, want, `counters of IPv${family}`);
  }
}
