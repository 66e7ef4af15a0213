/**
 * Results in capture order, though some are settled later than others.
 *
 * A fragment's fate is that of its datagram, which is known when the last fragment came or the
 * kernel's fragment timer ran out. Results behind it wait here; the wait is bounded by that timer.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';

interface Place<T> {
  value: T | null;
}

/** A slot in the order that is not filled yet. */
export interface Pending<T> {
  settle(value: T): void;
}

export class FrameQueue<T> {
  readonly #emit: (value: T) => void;
  #waiting: Place<T>[] = [];
  #head = 0;

  constructor(emit: (value: T) => void) {
    this.#emit = emit;
  }

  /** A result that is known: emitted at once when nothing waits before it. */
  push(value: T): void {
    if (this.isEmpty) this.#emit(value);
    else this.#waiting.push({ value });
  }

  /** Whether no result waits for an earlier one. */
  get isEmpty(): boolean {
    return this.#head === this.#waiting.length;
  }

  /** A result that will be known later. */
  hold(): Pending<T> {
    const place: Place<T> = { value: null };
    this.#waiting.push(place);
    return {
      settle: (value: T) => {
        assert(place.value === null, 'a pending result is settled once');
        place.value = value;
        this.#flush();
      },
    };
  }

  #flush(): void {
    while (this.#head < this.#waiting.length) {
      const value = this.#waiting[this.#head]?.value;
      if (value === null || value === undefined) break;
      this.#head++;
      this.#emit(value);
    }
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
  }
}
