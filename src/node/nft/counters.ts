/**
 * What the counters of one host's nft rules counted, and its named counters.
 *
 * Source: net/netfilter/nft_counter.c.
 * @module
 */
import type { NftLinkedRule, NftProgram } from '../../image/nft/program.ts';
import { formatRuleAddress } from '../../netfilter/rule.ts';

/** What counted: a rule, or a named counter by its number. */
export type NftCounter = NftLinkedRule | number;

export interface Count {
  readonly packets: number;
  readonly bytes: number;
}

const NOTHING: Count = { packets: 0, bytes: 0 };

export class NftCounters {
  readonly #program: NftProgram;
  readonly #rules = new Map<number, Count>();
  readonly #named = new Map<number, Count>();

  constructor(program: NftProgram) {
    this.#program = program;
  }

  /** `length` is skb->len: from the network header on. */
  add(counter: NftCounter, length: number): void {
    this.addMany(counter, 1, length);
  }

  /** Count packets of `bytes` in all. */
  addMany(counter: NftCounter, packets: number, bytes: number): void {
    const isNamed = typeof counter === 'number';
    const [counts, key] = isNamed ? [this.#named, counter] : [this.#rules, counter.id];
    const before = counts.get(key) ?? NOTHING;
    counts.set(key, { packets: before.packets + packets, bytes: before.bytes + bytes });
  }

  /** Rules with a counter by `inet fw/forward rule 1`, named ones by `inet fw counter NAME`. */
  snapshot(): readonly (readonly [string, Count])[] {
    const { rules, counters } = this.#program;
    return [
      ...rules
        .filter(({ counterAt }) => counterAt >= 0)
        .map(({ id, address }) => {
          return [formatRuleAddress(address), this.#rules.get(id) ?? NOTHING] as const;
        }),
      ...counters.map((name, i) => [name, this.#named.get(i) ?? NOTHING] as const),
    ];
  }
}
