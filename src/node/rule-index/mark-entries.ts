/**
 * MARK rules of a chain whose mark a packet may have already, by what they set.
 *
 * NPM marks a packet once a policy that selects it; all but the first change nothing but whose the
 * mark is.
 * @module
 */
import type { Provenance } from '../../netfilter/rule.ts';
import { markAfter } from '../target/target.ts';
import { emptyBits, setBit } from './bit-vector.ts';
import type { Marks } from './entries.ts';

/** All MARK rules of a chain that set the same. */
export interface MarkEntries {
  readonly value: number;
  readonly mask: number;
  readonly words: Uint32Array;
  readonly origins: Map<number, readonly Provenance[]>;
}

/** What packets with one mark pass by, and where they stop. */
export interface Division {
  readonly number: number;
  readonly stops: Uint32Array;
  readonly passes: Uint32Array;
  /** Of those passed by, the MARK rules. */
  readonly marks: readonly MarkEntries[];
}

export class MarkTargets {
  readonly #size: number;
  readonly #targets = new Map<string, MarkEntries>();
  readonly #divisions = new Map<string, Division>();

  /** For a chain of `size` entries. */
  constructor(size: number) {
    this.#size = size;
  }

  add(entry: number, { value, mask, origin }: Marks): void {
    const key = `${value}/${mask}`;
    let target = this.#targets.get(key);
    if (target === undefined) {
      target = { value, mask, words: emptyBits(this.#size), origins: new Map() };
      this.#targets.set(key, target);
    }
    setBit(target.words, entry);
    target.origins.set(entry, origin);
  }

  /** `stops` and `passes` as they are for a packet with this mark. */
  divide(mark: number, stops: Uint32Array, passes: Uint32Array): Division {
    const marks = [...this.#targets.values()].filter((target) => markAfter(target, mark) === mark);
    const key = marks.map(({ value, mask }) => `${value}/${mask}`).join();
    const known = this.#divisions.get(key);
    if (known !== undefined) return known;
    const own = { stops: stops.slice(), passes: passes.slice() };
    for (const { words } of marks) {
      for (let w = 0; w < words.length; w++) {
        own.stops[w] = (own.stops[w] ?? 0) & ~(words[w] ?? 0);
        own.passes[w] = (own.passes[w] ?? 0) | (words[w] ?? 0);
      }
    }
    const made = { number: this.#divisions.size, ...own, marks };
    this.#divisions.set(key, made);
    return made;
  }
}
