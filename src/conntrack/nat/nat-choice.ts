/**
 * The address that NAT takes from a range: a fixed hash of both ends, so that one client keeps one
 * address. The kernel's own hash without a random key, so the choice is the real host's.
 *
 * Kernel: net/netfilter/nf_nat_core.c `find_best_ips_proto`, `jhash2` (wire/jhash.ts),
 * Linux 6.18 on a little-endian machine.
 * @module
 */
import { type Address, ipv4, ipv6 } from '../../wire/address/address.ts';
import { jhash2 } from '../../wire/jhash.ts';

/** The address as the kernel holds it: words in network order, read by a little-endian machine. */
function kernelWords(a: Address): readonly number[] {
  const words = a.family === 4 ? [a.w3, 0, 0, 0] : [a.w0, a.w1, a.w2, a.w3];
  return words.map(swap);
}

function swap(word: number): number {
  return ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** `value` of 2^32, scaled to `0 … range - 1` (`reciprocal_scale`). */
function scale(value: number, range: number): number {
  return Math.floor(((value >>> 0) * range) / 2 ** 32);
}

/** Pick an address of `low … high` for packets from `src` to `dst`. */
export function chooseAddress(
  low: Address,
  high: Address,
  ends: { readonly src: Address; readonly dst: Address },
  options: { readonly persistent: boolean },
): Address {
  const dst = kernelWords(ends.dst);
  const last = low.family === 4 ? 0 : 3;
  let j = jhash2(kernelWords(ends.src), options.persistent ? 0 : (dst[last] ?? 0));
  const lows = low.family === 4 ? [low.w3] : [low.w0, low.w1, low.w2, low.w3];
  const highs = high.family === 4 ? [high.w3] : [high.w0, high.w1, high.w2, high.w3];
  let fullRange = false;
  const words = lows.map((least, i) => {
    const most = highs[i] ?? 0;
    // Once below the range's end, later words may be anything.
    const from = fullRange ? 0 : least;
    const count = fullRange ? 0xffffffff : most - least + 1;
    const word = (from + scale(j, count)) >>> 0;
    if (word !== most) fullRange = true;
    if (!options.persistent) j ^= dst[i] ?? 0;
    return word;
  });
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words;
  return low.family === 4 ? ipv4(w0) : ipv6(w0, w1, w2, w3);
}
