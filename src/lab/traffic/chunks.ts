/**
 * A capture's records in chunks that can be looked at apart, in the first pass: what of it hangs on
 * the order of packets is remembered over the last packets before a chunk, and no further, whoever
 * looks at the chunk before.
 *
 *   ─── chunk 3 ────────────┬─ kept in mind ─┤├─── chunk 4 ────────┬─ kept in mind ─┤├─── …
 *
 * @module
 */

/** Records of a chunk, and of the one before it that are kept in mind: so far back one looks. */
export const CHUNK = { records: 2 ** 19, ahead: 2 ** 15 };

/** What is done with a record, and with those behind it up to a place; one of both, or nothing. */
export interface ChunkPart {
  readonly isLookedAt: boolean;
  readonly isKeptInMind: boolean;
  /** The place behind the last record of which the same holds; places count from 0. */
  readonly until: number;
}

/** Says which chunk is to be looked at next: each time a later one. */
export type Claim = () => number;

/** All of them. */
export function everyChunk(): Claim {
  let next = 0;
  return () => next++;
}

export class Chunks {
  readonly #claim: Claim;
  readonly #sizes: typeof CHUNK;
  #chunk = -1;
  #claimed = -1;

  constructor(claim = everyChunk(), sizes = CHUNK) {
    this.#claim = claim;
    this.#sizes = sizes;
  }

  /** The chunk that is looked at now, or will be. */
  get claimed(): number {
    return this.#claimed;
  }

  /** What is done with the record at a place. Places never go back. */
  at(place: number): ChunkPart {
    const { records, ahead } = this.#sizes;
    const chunk = Math.floor(place / records);
    if (chunk !== this.#chunk) this.#enter(chunk);
    const end = (chunk + 1) * records;
    const isLookedAt = this.#claimed === chunk;
    if (isLookedAt) return { isLookedAt, isKeptInMind: false, until: end };
    const isTail = place >= end - ahead;
    const isKeptInMind = isTail && this.#claimed === chunk + 1;
    return { isLookedAt, isKeptInMind, until: isTail ? end : end - ahead };
  }

  #enter(chunk: number): void {
    this.#chunk = chunk;
    while (this.#claimed < chunk) this.#claimed = this.#claim();
  }
}
