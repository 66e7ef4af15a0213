/**
 * Small copies of bytes side by side in shared buffers: a buffer of its own costs more than its
 * bytes. A buffer lives as long as any of its copies.
 * @module
 */

const CHUNK_BYTES = 65_536;
const LARGEST_SHARED = 2048;
let chunk = new Uint8Array(CHUNK_BYTES);
let used = 0;

/** The bytes `from..to`, copied; the copy is its holder's to write to. */
export function sharedCopy(b: Uint8Array, from = 0, to = b.length): Uint8Array {
  const length = to - from;
  if (length > LARGEST_SHARED) return b.slice(from, to);
  if (used + length > CHUNK_BYTES) {
    chunk = new Uint8Array(CHUNK_BYTES);
    used = 0;
  }
  const copy = chunk.subarray(used, used + length);
  copy.set(from === 0 && to === b.length ? b : b.subarray(from, to));
  used += length;
  return copy;
}
