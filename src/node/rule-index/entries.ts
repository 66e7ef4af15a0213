/**
 * A chain as one list: its rules in the order in which the walk comes to them, those of short
 * chains that it jumps to behind the jump.
 *
 * An entry *passes* when a packet that holds it goes on at the next entry and nothing has changed
 * but counters: rules without a target, and jumps into chains that stand in the list. A MARK rule
 * whose mark the packet has already adds its origins to the mark's, no more. At any other entry
 * that may hold, the walk stops and looks; so it does at jumps that ask for ports, which few
 * packets hold and each scan of ports holds others of.
 * @module
 */
import type { LinkedChain, LinkedRule } from '../../image/program.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import { conditionOf, type Literal } from './literal.ts';

export interface Entry {
  readonly rule: LinkedRule;
  /** The jumps that lead here from the chain itself, outermost first. */
  readonly path: readonly LinkedRule[];
  readonly passes: boolean;
  /** Of a MARK rule that packets which have the mark pass by. */
  readonly marks: Marks | null;
}

export interface Marks {
  readonly value: number;
  readonly mask: number;
  /** Whom the walk would name for it. */
  readonly origin: readonly Provenance[];
}

/** Told the entries of a chain, and all that is asked on the way to each and there. */
export type Listed = (entry: Entry, literals: readonly Literal[]) => void;

/** Chains of more entries than this are not listed behind the jumps that lead to them. */
const MOST_LISTED = 64;

/** Targets that do nothing at all to a packet. */
const IDLE: ReadonlySet<string> = new Set(['none', 'log', 'nflog', 'trace', 'audit', 'classify']);

export class Chains {
  readonly #sizes = new Map<LinkedChain, number>();

  /** How many entries the chain has. */
  sizeOf(chain: LinkedChain): number {
    const known = this.#sizes.get(chain);
    if (known !== undefined) return known;
    const size = chain.rules.reduce((sum, rule) => sum + 1 + this.#listedBehind(rule), 0);
    this.#sizes.set(chain, size);
    return size;
  }

  /** The entries of a chain, in order. */
  list(chain: LinkedChain, listed: Listed): void {
    for (const rule of chain.rules) this.#list(rule, [], [], listed);
  }

  #list(
    rule: LinkedRule,
    path: readonly LinkedRule[],
    before: readonly Literal[],
    listed: Listed,
  ): void {
    const { literals: own, isWhole } = conditionOf(rule);
    const literals = before.length === 0 ? own : [...before, ...own];
    const mayPass = isWhole && !own.some(({ question }) => question.looks !== 0);
    const inner = mayPass && this.#isListed(rule) ? rule.chain : null;
    const passes = mayPass && (inner !== null || IDLE.has(rule.target.kind));
    listed({ rule, path, passes, marks: mayPass ? marksOf(rule, path) : null }, literals);
    if (inner === null) return;
    const further = [...path, rule];
    for (const next of inner.rules) this.#list(next, further, literals, listed);
  }

  #listedBehind(rule: LinkedRule): number {
    return rule.chain !== null && this.#isListed(rule) ? this.sizeOf(rule.chain) : 0;
  }

  /** Does the chain that the rule jumps to stand behind it? */
  #isListed({ target, chain }: LinkedRule): boolean {
    return target.kind === 'jump' && chain !== null && this.sizeOf(chain) <= MOST_LISTED;
  }
}

/** As `#originOf` of hook/walk.ts, where that can be told from the list; else null. */
function marksOf(rule: LinkedRule, path: readonly LinkedRule[]): Marks | null {
  const { target } = rule;
  if (target.kind !== 'mark') return null;
  for (let at: LinkedRule | undefined = rule, up = path.length; at !== undefined; at = path[--up]) {
    const { origin, markBits } = at;
    if (origin.length > 0) return { value: target.value, mask: target.mask, origin };
    if (markBits !== 0) return null;
  }
  return null;
}
