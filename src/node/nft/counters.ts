/**
 * What the nft rules of one host count: for a rule with a counter what it counted, for any other
 * how often its last statement was reached; and named counters.
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

  /** By `inet fw/forward rule 1` and `inet fw counter NAME`. */
  snapshot(): readonly (readonly [string, Count])[] {
    const { rules, counters } = this.#program;
    return [
      ...rules.map(
        (rule) => [formatRuleAddress(rule.address), this.#rules.get(rule.id) ?? NOTHING] as const,
      ),
      ...counters.map((name, i) => [name, this.#named.get(i) ?? NOTHING] as const),
    ];
  }
}

function more(before: Count = NOTHING, length: number): Count {
  return { packets: before.packets + 1, bytes: before.bytes + length };
}
