/**
 * Text of several workers' rows as one sequence: by their keys, each row as soon as no worker can
 * send one that goes before it. Rows stay bytes, and are moved by runs, not one by one; memory of
 * chunks goes back to who sent it.
 * @module
 */
import type { RowChunk } from './job.ts';

/** One worker's rows. */
interface Lane {
  chunks: RowChunk[];
  /** The next row of the first chunk. */
  next: number;
  /** Rows with keys up to this one have all been pushed. */
  through: number;
}

export interface RowMergeOptions {
  /** Told of rows, in order; not good for longer. */
  readonly write: (bytes: Uint8Array) => void;
  /** Several rows may be told at once. */
  readonly areLines: boolean;
}

/** Told of each chunk whose rows have all been written. */
export type Written = (worker: number, chunk: RowChunk) => void;

export class RowMerge {
  readonly #lanes: readonly Lane[];
  readonly #options: RowMergeOptions;
  readonly #written: Written;

  constructor(workers: number, options: RowMergeOptions, written: Written) {
    this.#options = options;
    this.#written = written;
    this.#lanes = Array.from({ length: workers }, () => {
      return { chunks: [], next: 0, through: Number.NEGATIVE_INFINITY };
    });
  }

  /** Take in a worker's rows, which have all up to `through` with those before. */
  push(worker: number, chunk: RowChunk, through: number): void {
    const lane = this.#lanes[worker];
    if (lane === undefined) throw new RangeError(`there is no worker ${worker}`);
    if (chunk.keys.length > 0) lane.chunks.push(chunk);
    else this.#written(worker, chunk);
    lane.through = through;
    this.#writeThrough(Math.min(...this.#lanes.map((other) => other.through)));
  }

  /** Write what goes first, as far as nothing can go before it. */
  #writeThrough(limit: number): void {
    for (;;) {
      let first: Lane | null = null;
      let least = Number.POSITIVE_INFINITY;
      let second = Number.POSITIVE_INFINITY;
      for (const lane of this.#lanes) {
        const key = keyOf(lane);
        if (key < least) {
          second = least;
          least = key;
          first = lane;
        } else if (key < second) second = key;
      }
      if (first === null || least > limit) return;
      this.#writeBefore(first, least, Math.min(limit, second));
    }
  }

  /**
   * Write the rows of one key, which are all of one worker, and those up to `limit` behind them:
   * another worker's row of that key goes first where it has one.
   */
  #writeBefore(lane: Lane, key: number, limit: number): void {
    const [chunk] = lane.chunks;
    if (chunk === undefined) return;
    const { keys } = chunk;
    const from = lane.next;
    let to = from + 1;
    while (to < keys.length) {
      const next = keys[to] ?? limit;
      if (next !== key && next >= limit) break;
      to++;
    }
    if (this.#options.areLines) this.#options.write(bytesOf(chunk, from, to));
    else this.#writeEach(chunk, from, to);
    lane.next = to;
    if (to < keys.length) return;
    lane.chunks.shift();
    lane.next = 0;
    this.#written(this.#lanes.indexOf(lane), chunk);
  }

  #writeEach(chunk: RowChunk, from: number, to: number): void {
    for (let row = from; row < to; row++) this.#options.write(bytesOf(chunk, row, row + 1));
  }
}

/** The key of the row that comes next; infinite when none has come. */
function keyOf({ chunks: [chunk], next }: Lane): number {
  return chunk?.keys[next] ?? Number.POSITIVE_INFINITY;
}

/** Rows of a chunk, one behind the other. */
function bytesOf({ ends, bytes }: RowChunk, from: number, to: number): Uint8Array {
  return bytes.subarray(from === 0 ? 0 : (ends[from - 1] ?? 0), ends[to - 1] ?? 0);
}
