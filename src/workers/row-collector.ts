/**
 * The rows of one output that a worker has written, until they are sent as bytes.
 * @module
 */
import { ByteText } from '../report/text/byte-text.ts';
import type { RowChunk } from './job.ts';

/** Memory of a chunk that was written, to be used again; null: there is none. */
export type Reuse = () => ArrayBuffer | null;

export class RowCollector {
  readonly #reuse: Reuse;
  #text = new ByteText();
  #keys: number[] = [];
  #ends: number[] = [];

  constructor(reuse: Reuse) {
    this.#reuse = reuse;
  }

  /** Rows are added here, and said to be by `added`; another one after `take`. */
  get text(): ByteText {
    return this.#text;
  }

  /** A row was; `key` is its place among all workers' rows, never lower than the last one's. */
  added(key: number): void {
    this.#keys.push(key);
    this.#ends.push(this.#text.size);
  }

  /** What was added since this was last asked, to be moved to another thread. */
  take(): RowChunk {
    const { bytes } = this.#text;
    const keys = new Float64Array(this.#keys);
    const ends = new Uint32Array(this.#ends);
    this.#text = new ByteText(this.#reuse() ?? undefined);
    this.#keys = [];
    this.#ends = [];
    return { keys, ends, bytes };
  }
}
