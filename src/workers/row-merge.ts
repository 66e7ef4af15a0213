/**
 * Text of several workers' rows as one sequence: by their keys, each row as soon as no worker can
 * send one that goes before it. Rows stay bytes, and are moved by runs, not one by one.
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

/** Rows of a chunk, one behind the other. */
interface Run {
  readonly chunk: RowChunk;
  readonly from: number;
  readonly to: number;
}

export interface RowMergeOptions {
  /** Told of rows, in order. */
  readonly write: (bytes: Uint8Array) => void;
  /** Several rows may be told at once. */
  readonly areLines: boolean;
}

export class RowMerge {
  readonly #lanes: readonly Lane[];
  readonly #options: RowMergeOptions;

  constructor(workers: number, options: RowMergeOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: workers }, () => {
      return { chunks: [], next: 0, through: Number.NEGATIVE_INFINITY };
    });
  }

  /** Take in a worker's rows, which have all up to `through` with those before. */
  push(worker: number, chunk: RowChunk, through: number): void {
    const lane = this.#lanes[worker];
    if (lane === undefined) throw new RangeError(`there is no worker ${worker}`);
    if (chunk.keys.length > 0) lane.chunks.push(chunk);
    lane.through = through;
    const runs = this.#taken(Math.min(...this.#lanes.map((other) => other.through)));
    if (this.#options.areLines) this.#writeAll(runs);
    else for (const run of runs) this.#writeEach(run);
  }

  /** Take out what goes first, as far as nothing can go before it. */
  #taken(limit: number): readonly Run[] {
    const runs: Run[] = [];
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
      if (first === null || least > limit) return runs;
      takeBefore(first, least, Math.min(limit, second), runs);
    }
  }

  #writeAll(runs: readonly Run[]): void {
    const [first] = runs;
    if (first === undefined) return;
    if (runs.length === 1) {
      this.#options.write(bytesOf(first));
      return;
    }
    const length = runs.reduce((sum, run) => sum + endOf(run) - startOf(run), 0);
    const all = Buffer.allocUnsafeSlow(length);
    let used = 0;
    for (const run of runs) {
      all.set(bytesOf(run), used);
      used += endOf(run) - startOf(run);
    }
    this.#options.write(all);
  }

  #writeEach({ chunk, from, to }: Run): void {
    for (let row = from; row < to; row++) {
      this.#options.write(bytesOf({ chunk, from: row, to: row + 1 }));
    }
  }
}

/** The key of the row that comes next; infinite when none has come. */
function keyOf({ chunks: [chunk], next }: Lane): number {
  return chunk?.keys[next] ?? Number.POSITIVE_INFINITY;
}

/**
 * Take out the rows of one key, which are all of one worker, and those up to `limit` behind them:
 * another worker's row of that key goes first where it has one.
 */
function takeBefore(lane: Lane, key: number, limit: number, runs: Run[]): void {
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
  runs.push({ chunk, from, to });
  lane.next = to;
  if (to < keys.length) return;
  lane.chunks.shift();
  lane.next = 0;
}

function startOf({ chunk: { ends }, from }: Run): number {
  return from === 0 ? 0 : (ends[from - 1] ?? 0);
}

function endOf({ chunk: { ends }, to }: Run): number {
  return ends[to - 1] ?? 0;
}

function bytesOf(run: Run): Uint8Array {
  return run.chunk.bytes.subarray(startOf(run), endOf(run));
}
