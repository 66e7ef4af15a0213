/**
 * Ranges of addresses as prefixes.
 * @module
 */
import { type Address, bits, type Family, ipv4, ipv6, type Prefix } from './address.ts';

const WORD = 32n;
const WORD_MASK = 0xffffffffn;

/** The fewest prefixes that hold exactly the addresses from `low` to `high`. */
export function prefixesOfRange(low: Address, high: Address): readonly Prefix[] {
  const { family } = low;
  const width = bits(family);
  const last = toNumber(high);
  const found: Prefix[] = [];
  for (let at = toNumber(low); at <= last; ) {
    let size = 0;
    while (size < width && fits(at, size + 1, last)) size += 1;
    found.push({ address: addressOf(family, at), length: width - size });
    at += 1n << BigInt(size);
  }
  return found;
}

/** Whether the block of 2^size addresses that starts here is aligned and ends in the range. */
function fits(at: bigint, size: number, last: bigint): boolean {
  const block = 1n << BigInt(size);
  return at % block === 0n && at + block - 1n <= last;
}

function toNumber({ family, w0, w1, w2, w3 }: Address): bigint {
  if (family === 4) return BigInt(w3);
  return [w0, w1, w2, w3].reduce((value, word) => (value << WORD) | BigInt(word), 0n);
}

function addressOf(family: Family, value: bigint): Address {
  const word = (at: bigint) => Number((value >> (at * WORD)) & WORD_MASK);
  return family === 4 ? ipv4(word(0n)) : ipv6(word(3n), word(2n), word(1n), word(0n));
}
