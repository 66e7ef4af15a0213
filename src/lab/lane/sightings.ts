/**
 * Packets told from copies of themselves in native code (native/src/lane/sightings.hh), where lanes
 * do it for theirs: one table for all, by the rules of traffic/duplicates.ts.
 * @module
 */
import { type NativeLanes, Seen } from '../../engine/compiled/lane-door.ts';
import type { Datagram } from '../datagram/datagram.ts';
import { endsOf, type Repeat, type Sightings } from '../traffic/duplicates.ts';

const NO_FRAGMENT = 0n;
/** The lowest bits of a vantage are its packet's TTL. */
const TTL_BITS = 8n;

export class NativeSightings implements Sightings {
  readonly #native: NativeLanes;

  constructor(native: NativeLanes) {
    this.#native = native;
  }

  note(d: Datagram, vantage: string, nowNs: number, whose = endsOf(d)): Repeat | null {
    const { fragment } = d;
    const seen = this.#native.note(
      d.bytes,
      payloadOf(d),
      headOf(d),
      hashOf(whose),
      fragment === null ? NO_FRAGMENT : hashOf(`${fragment.key} ${fragment.offset}`) >> TTL_BITS,
      vantageOf(vantage) | BigInt(d.ttl),
      nowNs,
    );
    return seen === Seen.first ? null : { beyondSender: seen === Seen.repeatBeyond };
  }
}

const HEAD = new Float64Array(6);

/** What stands in front of a packet's payload, as native code compares it; valid until the next. */
export function headOf({ protocol, id, wireLength, tcp }: Datagram): Float64Array {
  const flags = tcp ? 8 | (tcp.syn ? 1 : 0) | (tcp.fin ? 2 : 0) | (tcp.rst ? 4 : 0) : 0;
  HEAD.set([protocol, id, wireLength, tcp?.seq ?? 0, tcp?.ack ?? 0, flags]);
  return HEAD;
}

/** Where the payload begins that is compared: behind the fixed transport header. */
export function payloadOf({ l4, tcp }: Datagram): number {
  return l4 < 0 ? 20 : l4 + (tcp ? 20 : 8);
}

/** A vantage as native code has it: the lowest bits are free. */
export function vantageOf(vantage: string): bigint {
  return BigInt.asUintN(64, hashOf(vantage) << TTL_BITS);
}

/** 64 bits of a name. */
export function hashOf(text: string): bigint {
  let a = 0x811c9dc5;
  let b = 0x2f0b4c47;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x5bd1e995);
    b ^= b >>> 15;
  }
  a ^= b >>> 13;
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
  b = Math.imul(b ^ (a >>> 13), 0xc2b2ae35);
  return (BigInt(a >>> 0) << 32n) | BigInt((b ^ (b >>> 16)) >>> 0);
}
