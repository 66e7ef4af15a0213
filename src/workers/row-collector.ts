/**
 * The rows of one output that a worker has written, until they are sent as bytes.
 * @module
 */
import { ByteText } from '../report/text/byte-text.ts';
import type { RowChunk } from './job.ts';

export class RowCollector {
  /** Rows are added here, and said to be by `added`. */
  readonly text = new ByteText();
  #keys: number[] = [];
  #ends: number[] = [];

  /** A row was; `key` is its place among all workers' rows, never lower than the last one's. */
  added(key: number): void {
    this.#keys.push(key);
    this.#ends.push(this.text.size);
  }

  /** What was added since this was last asked. */
  take(): RowChunk {
    const bytes = Buffer.allocUnsafeSlow(this.text.size);
    bytes.set(this.text.bytes);
    const keys = Float64Array.from(this.#keys);
    const ends = Uint32Array.from(this.#ends);
    this.text.clear();
    this.#keys = [];
    this.#ends = [];
    return { keys, ends, bytes };
  }
}
