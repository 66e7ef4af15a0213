/**
 * Who is to end next: a heap of deadlines, corrected when a deadline comes that was put off.
 * @module
 */

/** What ends at a time that may still move, but only to later. */
export interface Expiring {
  expiresNs: number;
}

interface Due<T> {
  readonly dueNs: number;
  readonly entry: T;
}

export class Expiry<T extends Expiring> {
  readonly #heap: Due<T>[] = [];

  add(entry: T): void {
    this.#push({ dueNs: entry.expiresNs, entry });
  }

  /** Take out one whose deadline has passed; null when there is none. */
  take(nowNs: number): T | null {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.dueNs > nowNs) return null;
      this.#pop();
      if (first.entry.expiresNs <= nowNs) return first.entry;
      this.add(first.entry);
    }
  }

  #push(due: Due<T>): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (dueOf(heap[above]) <= due.dueNs) break;
      swap(heap, at, above);
      at = above;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      const least = dueOf(heap[right]) < dueOf(heap[left]) ? right : left;
      if (dueOf(heap[least]) >= last.dueNs) return;
      swap(heap, at, least);
      at = least;
    }
  }
}

function dueOf(due: Due<unknown> | undefined): number {
  return due?.dueNs ?? Number.POSITIVE_INFINITY;
}

function swap<T>(heap: Due<T>[], a: number, b: number): void {
  const [one, other] = [heap[a], heap[b]];
  if (one === undefined || other === undefined) return;
  heap[a] = other;
  heap[b] = one;
}
