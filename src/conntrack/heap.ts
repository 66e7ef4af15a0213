/**
 * What comes first of many: entries with a number each, of which the least is at hand.
 * @module
 */

interface Ranked<T> {
  readonly rank: number;
  readonly entry: T;
}

/** A binary heap; entries of one rank come in any order. */
export class Heap<T> {
  readonly #heap: Ranked<T>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The entry of the least rank; null when there is none. */
  least(): Ranked<T> | null {
    return this.#heap[0] ?? null;
  }

  add(rank: number, entry: T): void {
    const heap = this.#heap;
    const added = { rank, entry };
    let at = heap.push(added) - 1;
    for (; at > 0; at = (at - 1) >> 1) {
      const above = heap[(at - 1) >> 1];
      if (above === undefined || above.rank <= rank) break;
      heap[at] = above;
    }
    heap[at] = added;
  }

  /** Take the least one out. */
  drop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const least = rankOf(heap[left + 1]) < rankOf(heap[left]) ? left + 1 : left;
      const below = heap[least];
      if (below === undefined || below.rank >= last.rank) break;
      heap[at] = below;
      at = least;
    }
    heap[at] = last;
  }
}

function rankOf(ranked: Ranked<unknown> | undefined): number {
  return ranked?.rank ?? Number.POSITIVE_INFINITY;
}
