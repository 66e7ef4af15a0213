/**
 * The classes of one protocol's ports on one side, and what tells them apart: as
 * image/classes/address-classes.ts, over 65,536 values in one direct table.
 * @module
 */
import { type Answered, ClassBook, type ClassOrigin } from './class-book.ts';
import type { PortCut } from './cut.ts';

export const PORTS = 65_536;

export class PortClasses {
  readonly #book: ClassBook;
  #table: Uint16Array;
  /** Somebody else reads the table too: it is copied before the first change. */
  #isShared: boolean;

  /** With `table` the classes that it has, which stay as they are. */
  constructor(table?: Uint16Array) {
    this.#isShared = table !== undefined;
    this.#table = table ?? new Uint16Array(PORTS);
    const sizes: number[] = [];
    for (const cls of this.#table) sizes[cls] = (sizes[cls] ?? 0) + 1;
    this.#book = new ClassBook(Array.from(sizes, (size) => size ?? 0));
  }

  /** The class of each port, as it is now: valid until the next change. */
  get table(): Uint16Array {
    return this.#table;
  }

  get count(): number {
    return this.#book.count;
  }

  originOf(cls: number): ClassOrigin | undefined {
    return this.#book.originOf(cls);
  }

  classOf(port: number): number {
    return this.#table[port] ?? 0;
  }

  /** Ask one more question; true when it told ports apart that were in one class. */
  refine({ answers, what }: Pick<PortCut, 'answers' | 'what'>): boolean {
    const byClass = new Map<number, Answered<number>>();
    for (const { low, high, answer } of answers()) {
      for (let port = low; port <= high; port++) {
        const cls = this.classOf(port);
        const answered = byClass.get(cls) ?? new Map<string, number[]>();
        byClass.set(cls, answered);
        const members = answered.get(answer);
        if (members === undefined) answered.set(answer, [port]);
        else members.push(port);
      }
    }
    const before = this.count;
    for (const [cls, answered] of byClass) {
      this.#book.split(cls, { answered, rest: '', what }, (port, to) => {
        this.#own();
        this.#table[port] = to;
      });
    }
    return this.count > before;
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#table = this.#table.slice();
    this.#isShared = false;
  }
}
