/**
 * Counts by name that can be added up: each remembers the frame that it came from first, so that
 * names stand in one order whoever counted, and in however many parts.
 * @module
 */

/** One count; `order` tells apart what came from one frame. */
export interface Count {
  count: number;
  firstFrame: number;
  order: number;
}

/** Plain data: the counts of one part of a run. */
export type CountsPart = readonly (readonly [string, Count])[];

export class Counts {
  readonly #counts = new Map<string, Count>();
  #changes = 0;

  /** Count more, by default one; the first was met at this frame. */
  add(name: string, frame: number, count = 1): void {
    const known = this.#counts.get(name);
    if (known === undefined) {
      this.#counts.set(name, { count, firstFrame: frame, order: this.#changes++ });
      return;
    }
    known.count += count;
    if (frame < known.firstFrame) {
      known.firstFrame = frame;
      known.order = this.#changes++;
    }
  }

  get(name: string): number {
    return this.#counts.get(name)?.count ?? 0;
  }

  total(): number {
    let total = 0;
    for (const { count } of this.#counts.values()) total += count;
    return total;
  }

  /** By their first frame. */
  inOrder(): readonly (readonly [string, Count])[] {
    return [...this.#counts].sort(([, a], [, b]) => compareFirst(a, b));
  }

  part(): CountsPart {
    return [...this.#counts];
  }

  /** Add what another part of the run counted; no frame is in two parts. */
  absorb(part: CountsPart): void {
    for (const [name, other] of part) {
      const known = this.#counts.get(name);
      if (known === undefined) this.#counts.set(name, { ...other });
      else {
        known.count += other.count;
        takeEarlier(known, other);
      }
    }
  }
}

interface First {
  firstFrame: number;
  order: number;
}

/** The order of what was met first in a run. */
export function compareFirst(a: First, b: First): number {
  return a.firstFrame - b.firstFrame || a.order - b.order;
}

/** Let `known` have been met when either was. */
export function takeEarlier(known: First, other: First): void {
  if (compareFirst(other, known) >= 0) return;
  known.firstFrame = other.firstFrame;
  known.order = other.order;
}
