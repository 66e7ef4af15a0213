/**
 * Bytes that come piece by piece: a file, a pipe, what gunzip makes of them.
 * @module
 */

/** Chunks in order; null at the end. Rejects when reading fails. */
export interface Chunks {
  next(): Promise<Uint8Array | null>;
  /** Bytes in front of each chunk, in its buffer, that its taker may write to. */
  readonly headroom?: number;
  /** A chunk of which no view is left: its memory may serve another one. */
  reuse?(chunk: Uint8Array): void;
  close(): Promise<void>;
}
