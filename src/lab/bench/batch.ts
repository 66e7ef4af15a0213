/**
 * Packets of a workload as the engine takes them: one by one, or as a batch by column.
 * @module
 */
import type { EntryPlace, Injection, NativeBatch } from '../../engine/compiled.ts';
import type { Sent } from './talks.ts';

const STRIDE = 64;
const STEP_NS = 1000;

/** The n-th packet as an injection. */
export function injectionOf(sent: Sent, frame: number, nowNs: number): Injection {
  const { entry, packet } = sent;
  if (entry.as === 'frame') throw new RangeError('workloads are of IP packets');
  return { ...entry, packet, frame, nowNs };
}

/** The packets as one batch; times are filled in by `stamp`. */
export function toBatch(
  packets: readonly Sent[],
  entryOf: (place: EntryPlace) => number,
): NativeBatch {
  const longest = packets.reduce((max, { packet }) => Math.max(max, packet.length), 0);
  const stride = Math.ceil(longest / STRIDE) * STRIDE;
  const count = packets.length;
  const batch = {
    packets: new Uint8Array(count * stride),
    offsets: new Uint32Array(count),
    lengths: new Uint32Array(count),
    entries: new Uint32Array(count),
    times: new Float64Array(count),
    offloaded: new Uint8Array(count),
    results: new Int32Array(count),
    out: new Uint8Array(OUT_PLACES * OUT_STRIDE),
    stride: OUT_STRIDE,
  };
  const numbers = new Map<EntryPlace, number>();
  for (const [i, { packet, entry }] of packets.entries()) {
    batch.packets.set(packet, i * stride);
    batch.offsets[i] = i * stride;
    batch.lengths[i] = packet.length;
    let number = numbers.get(entry);
    if (number === undefined) {
      number = entryOf(entry);
      numbers.set(entry, number);
    }
    batch.entries[i] = number;
  }
  return batch;
}

const OUT_PLACES = 4096;
const OUT_STRIDE = 128;

/** Give every packet its time, from `nowNs` on; returns when the last one was. */
export function stamp(batch: NativeBatch, nowNs: number, stepNs = STEP_NS): number {
  let at = nowNs;
  for (let i = 0; i < batch.times.length; i++) {
    at += stepNs;
    batch.times[i] = at;
  }
  return at;
}
