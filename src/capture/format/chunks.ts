/**
 * Bytes that come piece by piece: a file, a pipe, what gunzip makes of them.
 * @module
 */

/** Chunks in order; null at the end. Rejects when reading fails. */
export interface Chunks {
  next(): Promise<Uint8Array | null>;
  close(): Promise<void>;
}
