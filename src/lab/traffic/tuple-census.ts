/**
 * How many connections a capture has, near enough, and which addresses sent or were sent fragments:
 * what must be known before its connections are shared out among workers.
 *
 * Linear counting (Whang, Vander-Zanden and Taylor 1990): each tuple sets one bit of many; how many
 * are left unset says how many tuples there were.
 * @module
 */
import { type Address, addressKey } from '../../wire/address/address.ts';
import type { Datagram } from '../datagram/datagram.ts';

/** Bits; up to some ten times as many tuples are counted well. */
const BITS = 2 ** 21;

/** Names a protocol of an address. */
export function fragmentKey(protocol: number, address: Address): string {
  return String.fromCharCode(protocol) + addressKey(address);
}

/** An address that sent or was sent fragments of a protocol. */
export interface FragmentEnd {
  readonly protocol: number;
  readonly address: Address;
}

export class TupleCensus {
  /** Both ends of every fragment as captured, by `fragmentKey`. */
  readonly fragmented = new Map<string, FragmentEnd>();
  /** Bits of another census, of packets looked at elsewhere (native/src/lane/findings.hh). */
  elsewhere = 0;
  readonly #bits = new Uint32Array(BITS / 32);
  #set = 0;

  add(d: Datagram): void {
    if (d.fragment !== null) {
      for (const address of [d.src, d.dst]) {
        const end = { protocol: d.protocol, address };
        this.fragmented.set(fragmentKey(d.protocol, address), end);
      }
    }
    // Equal for both directions.
    const a = mix(hashOf(d.src) ^ (d.sport ?? 0));
    const b = mix(hashOf(d.dst) ^ (d.dport ?? 0));
    const bit = mix((a + b) ^ d.protocol) & (BITS - 1);
    const word = this.#bits[bit >>> 5] ?? 0;
    const mask = 1 << (bit & 31);
    if (word & mask) return;
    this.#bits[bit >>> 5] = word | mask;
    this.#set++;
  }

  /** What was counted, as plain data. */
  get bits(): Uint32Array {
    return this.#bits;
  }

  /** Add what another census of the same capture counted. */
  absorb({ bits, fragmented }: Pick<TupleCensus, 'bits' | 'fragmented'>): void {
    for (const [key, end] of fragmented) this.fragmented.set(key, end);
    this.#set = uniteBits(this.#bits, bits);
  }

  /** About how many different tuples were seen, at most. */
  get tuples(): number {
    return countOf(this.#set) + countOf(this.elsewhere);
  }
}

/** Set the bits of another census, too; how many are set then. */
export function uniteBits(bits: Uint32Array, others: Uint32Array): number {
  let set = 0;
  for (let i = 0; i < bits.length; i++) {
    let word = (bits[i] ?? 0) | (others[i] ?? 0);
    bits[i] = word;
    for (; word !== 0; word &= word - 1) set++;
  }
  return set;
}

/** How many tuples have set so many bits, most likely. */
function countOf(set: number): number {
  const unset = BITS - set;
  return unset === 0 ? Number.POSITIVE_INFINITY : Math.ceil(-BITS * Math.log(unset / BITS));
}

function hashOf({ w0, w1, w2, w3 }: Address): number {
  return mix(mix(mix(w0) ^ w1) ^ w2) ^ w3;
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
