/**
 * The indexes of one host's long chains, each made when the first packet comes to its chain.
 * @module
 */
import type { LinkedChain } from '../../image/program.ts';
import { ChainIndex } from './chain-index.ts';
import { Chains } from './entries.ts';

/** Shorter chains are walked as fast as they are looked up. */
export const SHORTEST_INDEXED = 24;

export class RuleIndexes {
  readonly #shortest: number;
  readonly #chains = new Chains();
  readonly #known = new Map<LinkedChain, ChainIndex | null>();

  /** `shortest`: how many rules a chain has at least, with those of chains that it jumps to. */
  constructor(shortest = SHORTEST_INDEXED) {
    this.#shortest = shortest;
  }

  /** The index of a chain; null when it is too short for one. */
  of(chain: LinkedChain): ChainIndex | null {
    const known = this.#known.get(chain);
    if (known !== undefined) return known;
    const isLong = this.#chains.sizeOf(chain) >= this.#shortest;
    const made = isLong ? new ChainIndex(chain, this.#chains) : null;
    this.#known.set(chain, made);
    return made;
  }
}
