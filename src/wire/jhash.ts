/**
 * Bob Jenkins' hash (lookup3), as `jhash` and `jhash2` of include/linux/jhash.h on a little-endian
 * machine.
 * @module
 */

const INITIAL = 0xdeadbeef;

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** `jhash`: of bytes, as a number of 32 bits. */
export function jhash(key: Uint8Array, seed: number): number {
  // Bytes behind the key count as zero, as the kernel's fallthrough adds nothing for them.
  const byte = (at: number) => key[at] ?? 0;
  const word = (at: number) =>
    byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24);
  const words = Array.from({ length: Math.ceil(key.length / 4) }, (_, i) => word(4 * i));
  return mix(words, key.length, seed);
}

/** `jhash2`: of 32-bit words. */
export function jhash2(words: readonly number[], seed: number): number {
  return mix(words, words.length * 4, seed);
}

function mix(words: readonly number[], length: number, seed: number): number {
  let a = (INITIAL + length + seed) | 0;
  let b = a;
  let c = a;
  let i = 0;
  const word = (at: number) => words[at] ?? 0;
  for (; words.length - i > 3; i += 3) {
    a = (a + word(i)) | 0;
    b = (b + word(i + 1)) | 0;
    c = (c + word(i + 2)) | 0;
    a = ((a - c) | 0) ^ rotate(c, 4);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 6);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 8);
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ rotate(c, 16);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 19);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 4);
    b = (b + a) | 0;
  }
  if (words.length === i) return c >>> 0;
  a = (a + word(i)) | 0;
  b = (b + word(i + 1)) | 0;
  c = (c + word(i + 2)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  return ((c ^ b) - rotate(b, 24)) >>> 0;
}
