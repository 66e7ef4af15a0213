/**
 * Packets told from copies of themselves in native code (native/src/lane/sightings.hh), where lanes
 * do it for theirs: one table for all, by the rules of traffic/duplicates.ts.
 * @module
 */
import { type NativeLanes, Seen } from '../../engine/compiled/lane-door.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Repeat, Sightings } from '../traffic/duplicates.ts';

const NO_FRAGMENT = 0n;
/** The lowest bits of a vantage are its packet's TTL. */
const TTL_BITS = 8n;

export class NativeSightings implements Sightings {
  readonly #native: NativeLanes;
  readonly #vantages = new Map<string, bigint>();

  constructor(native: NativeLanes) {
    this.#native = native;
  }

  note(d: Datagram, vantage: string, nowNs: number, whose?: string): Repeat | null {
    const { fragment } = d;
    const seen = this.#native.note(
      d.bytes,
      payloadOf(d),
      headOf(d),
      whoseOf(d, whose),
      fragment === null ? NO_FRAGMENT : hashOf(`${fragment.key} ${fragment.offset}`) >> TTL_BITS,
      this.#vantageOf(vantage) | BigInt(d.ttl),
      nowNs,
    );
    return seen === Seen.first ? null : { beyondSender: seen === Seen.repeatBeyond };
  }

  /** There are few. */
  #vantageOf(vantage: string): bigint {
    const known = this.#vantages.get(vantage);
    if (known !== undefined) return known;
    if (this.#vantages.size >= MOST_VANTAGES) this.#vantages.clear();
    const made = vantageOf(vantage);
    this.#vantages.set(vantage, made);
    return made;
  }
}

/** Vantages remembered; beyond that all are forgotten. */
const MOST_VANTAGES = 1024;

/** A packet's connection and direction as native code has it: under a name, or by its ends. */
export function whoseOf({ src, dst, sport, dport }: Datagram, name?: string): bigint {
  if (name !== undefined) return hashOf(name);
  let a = mixed(0x811c9dc5, sport ?? -1);
  let b = mixed(0x2f0b4c47, dport ?? -1);
  for (const { family, w0, w1, w2, w3 } of [src, dst]) {
    a = mixed(mixed(mixed(a, w3), w2), family);
    b = mixed(mixed(mixed(b, w0), w1), a ^ w3);
  }
  a = mixed(a, b >>> 13);
  return (BigInt(a >>> 0) << 32n) | BigInt(mixed(b, a) >>> 0);
}

/** One step of MurmurHash3. */
function mixed(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
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
