/**
 * Sets of a chain's entries, one bit each.
 * @module
 */

/** Room for `size` bits, none of them on. */
export function emptyBits(size: number): Uint32Array {
  return new Uint32Array((size + 31) >>> 5);
}

export function setBit(words: Uint32Array, at: number): void {
  words[at >>> 5] = (words[at >>> 5] ?? 0) | (1 << (at & 31));
}

/** The first bit that is on at `from` or behind; infinite when there is none. */
export function nextBit(words: Uint32Array, from: number): number {
  for (let w = from >>> 5; w < words.length; w++) {
    const left = (words[w] ?? 0) & (w === from >>> 5 ? -1 << (from & 31) : -1);
    if (left !== 0) return (w << 5) + lowestBit(left);
  }
  return Number.POSITIVE_INFINITY;
}

/** The bits of the word at `word` that lie in `from..to` (`to` not included). */
export function rangeMask(word: number, from: number, to: number): number {
  const low = from - (word << 5);
  const high = to - (word << 5);
  const above = low <= 0 ? -1 : low >= 32 ? 0 : -1 << low;
  const below = high >= 32 ? -1 : high <= 0 ? 0 : ~(-1 << high);
  return above & below;
}

/** The lowest bit that is on in a word that is not 0. */
export function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The first bit from `from` on that is on in both; infinite when there is none. */
export function nextOfBoth(a: Uint32Array, b: Uint32Array, from: number): number {
  for (let w = from >>> 5; w < a.length; w++) {
    const left = (a[w] ?? 0) & (b[w] ?? 0) & (w === from >>> 5 ? -1 << (from & 31) : -1);
    if (left !== 0) return (w << 5) + lowestBit(left);
  }
  return Number.POSITIVE_INFINITY;
}

/** The bits that are on in all of them. */
export function commonBits([first, ...others]: readonly Uint32Array[]): Uint32Array {
  const common = first?.slice() ?? emptyBits(0);
  for (const other of others) {
    for (let w = 0; w < common.length; w++) common[w] = (common[w] ?? 0) & (other[w] ?? 0);
  }
  return common;
}

/** Told every bit that is on in `from..to`, rising. */
export function eachBit(
  words: Uint32Array,
  from: number,
  to: number,
  told: (at: number) => void,
): void {
  for (let w = from >>> 5; w << 5 < to; w++) {
    let left = (words[w] ?? 0) & rangeMask(w, from, to);
    while (left !== 0) {
      told((w << 5) + lowestBit(left));
      left &= left - 1;
    }
  }
}
