/**
 * Several workers' rows as one sequence: by their keys, each row as soon as no worker can send one
 * that goes before it.
 * @module
 */

interface Lane<T> {
  keys: number[];
  rows: T[];
  next: number;
  /** Rows with keys up to this one have all been pushed. */
  through: number;
}

export class OrderedMerge<T> {
  readonly #lanes: readonly Lane<T>[];
  readonly #emit: (row: T) => void;

  constructor(workers: number, emit: (row: T) => void) {
    this.#lanes = Array.from({ length: workers }, () => {
      return { keys: [], rows: [], next: 0, through: Number.NEGATIVE_INFINITY };
    });
    this.#emit = emit;
  }

  /** Take in a worker's rows, which have all up to `through` with those before. */
  push(worker: number, rows: Iterable<readonly [number, T]>, through: number): void {
    const lane = this.#lanes[worker];
    if (lane === undefined) throw new RangeError(`there is no worker ${worker}`);
    for (const [key, row] of rows) {
      lane.keys.push(key);
      lane.rows.push(row);
    }
    lane.through = through;
    this.#drain(Math.min(...this.#lanes.map((other) => other.through)));
  }

  /** The key up to which rows of all workers have been emitted. */
  get through(): number {
    return Math.min(...this.#lanes.map((lane) => lane.through));
  }

  #drain(limit: number): void {
    for (;;) {
      let first: Lane<T> | null = null;
      let least = Number.POSITIVE_INFINITY;
      for (const lane of this.#lanes) {
        const key = lane.keys[lane.next];
        if (key === undefined || key > limit || key >= least) continue;
        first = lane;
        least = key;
      }
      if (first === null) break;
      this.#run(first, least);
    }
    for (const lane of this.#lanes) forget(lane);
  }

  /** Emit the rows of one key: they are all in one lane, one behind the other. */
  #run(lane: Lane<T>, key: number): void {
    while (lane.keys[lane.next] === key) {
      this.#emit(lane.rows[lane.next] as T);
      lane.next++;
    }
  }
}

/** Give back what was emitted. */
function forget(lane: Lane<unknown>): void {
  if (lane.next === 0) return;
  lane.keys = lane.keys.slice(lane.next);
  lane.rows = lane.rows.slice(lane.next);
  lane.next = 0;
}
