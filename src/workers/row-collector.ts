/**
 * The rows of one output that a worker has written, until they are sent as bytes.
 * @module
 */
import type { RowChunk } from './job.ts';

export class RowCollector {
  #keys: number[] = [];
  #texts: string[] = [];

  /** Add a row; `key` is its place among all workers' rows, never lower than the last one's. */
  add(key: number, text: string): void {
    this.#keys.push(key);
    this.#texts.push(text);
  }

  /** What was added since this was last asked. */
  take(): RowChunk {
    const texts = this.#texts;
    const all = texts.join('');
    const length = Buffer.byteLength(all, 'utf8');
    const bytes = Buffer.allocUnsafeSlow(length);
    const isPlain = length === all.length;
    bytes.write(all, isPlain ? 'latin1' : 'utf8');
    const ends = new Uint32Array(texts.length);
    let end = 0;
    for (const [i, text] of texts.entries()) {
      end += isPlain ? text.length : Buffer.byteLength(text, 'utf8');
      ends[i] = end;
    }
    const keys = Float64Array.from(this.#keys);
    this.#keys = [];
    this.#texts = [];
    return { keys, ends, bytes };
  }
}
