/**
 * The classes of one field by number: how many regions (or values) each has, and which question
 * first told it from others.
 *
 * A class that a question splits keeps its number for those that it says nothing of: what was
 * concluded of the whole class still holds for them, and whoever leaves gets a number that nobody
 * had before (SEMANTICS C8).
 * @module
 */

export interface ClassOrigin {
  readonly what: string;
  readonly answer: string;
}

const EVERYTHING: ClassOrigin = { what: 'everything', answer: '' };

/** Members of one class that a question told apart from the others, by answer. */
export type Answered<T> = Map<string, T[]>;

export class ClassBook {
  /** Members of each class. */
  readonly #sizes: number[];
  readonly #origins: ClassOrigin[] = [EVERYTHING];

  constructor(sizes: readonly number[]) {
    this.#sizes = [...sizes];
  }

  get count(): number {
    return this.#sizes.length;
  }

  sizeOf(cls: number): number {
    return this.#sizes[cls] ?? 0;
  }

  /** Undefined for classes that were made elsewhere. */
  originOf(cls: number): ClassOrigin | undefined {
    return this.#origins[cls];
  }

  grow(cls: number): void {
    this.#sizes[cls] = this.sizeOf(cls) + 1;
  }

  /**
   * Split a class by the answers that some of its members got; all others answered `rest`.
   * `move` is called for each member that leaves, with its new class.
   */
  split<T>(
    cls: number,
    by: { readonly answered: Answered<T>; readonly rest: string; readonly what: string },
    move: (member: T, to: number) => void,
  ): void {
    const { answered, rest, what } = by;
    let left = this.sizeOf(cls);
    for (const members of answered.values()) left -= members.length;
    const stays = left > 0 || answered.has(rest) ? rest : largest(answered);
    for (const [answer, members] of answered) {
      if (answer === stays) continue;
      const made = this.#sizes.length;
      this.#sizes.push(members.length);
      this.#origins[made] = { what, answer };
      this.#sizes[cls] = this.sizeOf(cls) - members.length;
      for (const member of members) move(member, made);
    }
  }
}

function largest(answered: Answered<unknown>): string {
  let best = '';
  let size = -1;
  for (const [answer, members] of answered) {
    if (members.length <= size) continue;
    best = answer;
    size = members.length;
  }
  return best;
}
