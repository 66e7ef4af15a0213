/**
 * What the counters of one host's nft rules counted, and its named counters.
 *
 * Source: net/netfilter/nft_counter.c.
 * @module
 */
import type { NftLinkedRule, NftProgram } from '../../image/nft/program.ts';
import { formatRuleAddress } from '../../netfilter/rule.ts';

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
  add(rule: NftLinkedRule, length: number): void {
    this.#rules.set(rule.id, more(this.#rules.get(rule.id), length));
  }

  addNamed(counter: number, length: number): void {
    this.#named.set(counter, more(this.#named.get(counter), length));
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

function more(before: Count = NOTHING, length: number): Count {
  return { packets: before.packets + 1, bytes: before.bytes + length };
}
