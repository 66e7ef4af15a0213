/**
 * The rows of one output that a worker has written, as bytes, until they are sent.
 * @module
 */
import type { RowChunk } from './job.ts';

const FIRST_BYTES = 64 * 1024;

export class RowCollector {
  #keys: number[] = [];
  #ends: number[] = [];
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  /** Add a row; `key` is its place among all workers' rows, never lower than the last one's. */
  add(key: number, text: string): void {
    // A unit of UTF-16 takes at most three bytes.
    const most = this.#length + text.length * 3;
    if (most > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(most, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#length += this.#bytes.write(text, this.#length, 'utf8');
    this.#keys.push(key);
    this.#ends.push(this.#length);
  }

  /** What was added since this was last asked. */
  take(): RowChunk {
    const chunk = {
      keys: Float64Array.from(this.#keys),
      ends: Uint32Array.from(this.#ends),
      bytes: Uint8Array.prototype.slice.call(this.#bytes, 0, this.#length),
    };
    this.#keys = [];
    this.#ends = [];
    this.#length = 0;
    return chunk;
  }
}

/** The rows of a chunk, views of its bytes. */
export function* rowsOf({ keys, ends, bytes }: RowChunk): Generator<readonly [number, Uint8Array]> {
  let from = 0;
  for (let i = 0; i < keys.length; i++) {
    const to = ends[i] ?? from;
    yield [keys[i] ?? 0, bytes.subarray(from, to)];
    from = to;
  }
}
