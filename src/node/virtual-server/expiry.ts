/**
 * Who is to end next, corrected when a deadline comes that was put off.
 * @module
 */
import { Heap } from '../../conntrack/heap.ts';

/** What ends at a time that may still move, but only to later. */
export interface Expiring {
  expiresNs: number;
}

export class Expiry<T extends Expiring> {
  readonly #due = new Heap<T>();

  add(entry: T): void {
    this.#due.add(entry.expiresNs, entry);
  }

  /** Take out one whose deadline has passed; null when there is none. */
  take(nowNs: number): T | null {
    for (;;) {
      const first = this.#due.least();
      if (first === null || first.rank > nowNs) return null;
      this.#due.drop();
      if (first.entry.expiresNs <= nowNs) return first.entry;
      this.add(first.entry);
    }
  }
}
