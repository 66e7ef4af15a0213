/**
 * Values by tuple and zone: the table of connections is asked several times a packet, so tuples are
 * hashed by their numbers (as `hash_conntrack_raw` does) instead of being made into texts.
 * @module
 */
import type { Address } from '../wire/address/address.ts';
import { equalTuple, type Tuple } from './tuple.ts';

/** One of the tuples of one hash. */
interface Entry<Value> {
  readonly tuple: Tuple;
  readonly zone: number;
  value: Value;
  next: Entry<Value> | null;
}

export class TupleMap<Value> {
  readonly #chains = new Map<number, Entry<Value>>();

  get(tuple: Tuple, zone = 0): Value | undefined {
    return this.#find(hashOf(tuple, zone), tuple, zone)?.value;
  }

  has(tuple: Tuple, zone = 0): boolean {
    return this.#find(hashOf(tuple, zone), tuple, zone) !== null;
  }

  set(tuple: Tuple, value: Value, zone = 0): void {
    const hash = hashOf(tuple, zone);
    const known = this.#find(hash, tuple, zone);
    if (known !== null) known.value = value;
    else this.#chains.set(hash, { tuple, zone, value, next: this.#chains.get(hash) ?? null });
  }

  /** Whether there was one. */
  delete(tuple: Tuple, zone = 0): boolean {
    const hash = hashOf(tuple, zone);
    let before: Entry<Value> | null = null;
    for (let at = this.#chains.get(hash) ?? null; at !== null; before = at, at = at.next) {
      if (at.zone !== zone || !equalTuple(at.tuple, tuple)) continue;
      if (before !== null) before.next = at.next;
      else if (at.next !== null) this.#chains.set(hash, at.next);
      else this.#chains.delete(hash);
      return true;
    }
    return false;
  }

  #find(hash: number, tuple: Tuple, zone: number): Entry<Value> | null {
    for (let at = this.#chains.get(hash) ?? null; at !== null; at = at.next) {
      if (at.zone === zone && equalTuple(at.tuple, tuple)) return at;
    }
    return null;
  }
}

/** 32 bits; what is equal has equal ones, and neighbours in any field do not meet. */
function hashOf({ protocol, src, dst, sport, dport }: Tuple, zone: number): number {
  const ports = mix((protocol << 16) ^ zone, (sport << 16) | dport);
  return mixAddress(mixAddress(ports, src), dst);
}

function mixAddress(hash: number, { family, w0, w1, w2, w3 }: Address): number {
  if (family === 4) return mix(hash, w3);
  return mix(mix(mix(mix(hash, w0), w1), w2), w3);
}

/** One step of MurmurHash3, with the shift of its end so that low bits see high ones. */
function mix(hash: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  const h = hash ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const m = Math.imul((h << 13) | (h >>> 19), 5) + 0x38495ab5;
  return m ^ (m >>> 16);
}
