/**
 * The classes of one side's addresses of one family: two addresses are in one class exactly when no
 * question asked so far tells them apart.
 *
 * Partition refinement: each question adds its prefixes as regions, then splits the classes whose
 * regions it answers differently. A question costs as much as there are regions in its prefixes.
 * @module
 */
import type { Address, Family } from '../../wire/address/address.ts';
import { type Answered, ClassBook, type ClassOrigin } from './class-book.ts';
import type { AddressCut, PrefixAnswer } from './cut.ts';
import { FORK, PrefixTrie, ROOT } from './prefix-trie.ts';

export class AddressClasses {
  readonly family: Family;
  readonly trie: PrefixTrie;
  readonly #book: ClassBook;
  /** Nodes whose region has changed its class since this was last emptied. */
  readonly #changed = new Set<number>();

  /** With `nodes` the classes of a trie that was made before. */
  constructor(family: Family, nodes?: Uint32Array) {
    this.family = family;
    this.trie = new PrefixTrie(family, nodes);
    this.#book = new ClassBook(regionsByClass(this.trie));
  }

  get count(): number {
    return this.#book.count;
  }

  classOf(address: Address): number {
    return this.trie.classOf(address);
  }

  originOf(cls: number): ClassOrigin | undefined {
    return this.#book.originOf(cls);
  }

  /** The nodes whose class has changed since the last call. */
  takeChanged(): readonly number[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** Ask one more question. */
  refine(cut: Pick<AddressCut, 'answers' | 'chained' | 'what'>): void {
    const sorted = byLength(cut.answers());
    const whole = sorted[0]?.prefix.length === 0 ? sorted[0] : undefined;
    const rest = whole?.answer ?? '';
    const asked = new Map<number, string>();
    const top: number[] = [];
    for (const entry of whole === undefined ? sorted : sorted.slice(1)) {
      const { node, isNew } = this.trie.add(entry.prefix);
      if (isNew) this.#book.grow(this.trie.region(node));
      asked.set(node, entry.answer);
      top.push(node);
    }
    const byClass = this.#collect(top, asked, { rest, chained: cut.chained });
    for (const [cls, answered] of byClass) {
      this.#book.split(cls, { answered, rest, what: cut.what }, (node, to) => {
        this.trie.setRegion(node, to);
        this.#changed.add(node);
      });
    }
  }

  /** The regions in the prefixes, by class and answer. Shorter prefixes come first in `top`. */
  #collect(
    top: readonly number[],
    asked: ReadonlyMap<number, string>,
    how: { readonly rest: string; readonly chained: boolean },
  ): Map<number, Answered<number>> {
    const byClass = new Map<number, Answered<number>>();
    const done = new Set<number>();
    const visit = (node: number, around: string): void => {
      const own = asked.get(node);
      if (own !== undefined) done.add(node);
      const answer = own === undefined ? around : how.chained ? `${around}/${own}` : own;
      const cls = this.trie.region(node);
      if (cls !== FORK) note(byClass, cls, answer, node);
      for (const side of [0, 1]) {
        const child = this.trie.child(node, side);
        if (child !== ROOT) visit(child, answer);
      }
    };
    for (const node of top) if (!done.has(node)) visit(node, how.rest);
    return byClass;
  }
}

function note(
  byClass: Map<number, Answered<number>>,
  cls: number,
  answer: string,
  node: number,
): void {
  let answered = byClass.get(cls);
  if (answered === undefined) {
    answered = new Map();
    byClass.set(cls, answered);
  }
  const members = answered.get(answer);
  if (members === undefined) answered.set(answer, [node]);
  else members.push(node);
}

/** Shortest first; where a prefix is given twice the first answer counts. */
function byLength(answers: readonly PrefixAnswer[]): readonly PrefixAnswer[] {
  if (answers.length < 2) return answers;
  return answers.toSorted((a, b) => a.prefix.length - b.prefix.length);
}

function regionsByClass(trie: PrefixTrie): readonly number[] {
  const sizes: number[] = [];
  for (let node = 0; node < trie.size; node++) {
    const cls = trie.region(node);
    if (cls !== FORK) sizes[cls] = (sizes[cls] ?? 0) + 1;
  }
  return Array.from(sizes, (size) => size ?? 0);
}
