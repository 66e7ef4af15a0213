/**
 * The rule program: a plan's chains with every name resolved, ready to be walked.
 *
 * Jumps point at chain objects, set matches at compiled sets, and each rule has a dense number, so
 * that counters are one typed array a host. Made by lowering/link.ts, which has proved that every
 * name exists and that no chain reaches itself; nothing here is checked again while walking.
 * @module
 */
import type { Hook, TableName } from '../netfilter/hook.ts';
import type { IpMatch, Match } from '../netfilter/match.ts';
import type { Provenance, Rule, RuleAddress } from '../netfilter/rule.ts';
import type { Target } from '../netfilter/target.ts';
import type { Family } from '../wire/address/address.ts';
import type { CompiledSet } from './set/ip-set.ts';

/** A match, and the set it names when it is a set match. */
export interface LinkedMatch {
  readonly match: Match;
  readonly set: CompiledSet | null;
}

export interface LinkedRule {
  /** Dense over the host, from 0: the index of its counters. */
  readonly id: number;
  readonly address: RuleAddress;
  readonly ip: IpMatch;
  readonly matches: readonly LinkedMatch[];
  readonly target: Target;
  /** The set that a SET target changes. */
  readonly targetSet: CompiledSet | null;
  /** The chain it stands in. */
  readonly home: LinkedChain;
  /** Where a jump or goto leads; null for every other target. */
  readonly chain: LinkedChain | null;
  readonly origin: readonly Provenance[];
  /** The bits that the rule's mark matches look at: whose origins a verdict of this rule has. */
  readonly markBits: number;
  /** The rule as the plan has it, for its text. */
  readonly source: Rule;
}

export interface LinkedChain {
  readonly family: Family;
  readonly table: TableName;
  readonly name: string;
  /** What happens at the end of a built-in chain; null for user chains, which return. */
  readonly policy: 'accept' | 'drop' | null;
  readonly rules: readonly LinkedRule[];
}

export interface LinkedTable {
  readonly family: Family;
  readonly name: TableName;
  /** The built-in chain of each hook that the table hangs on. */
  readonly entry: ReadonlyMap<Hook, LinkedChain>;
  readonly chains: ReadonlyMap<string, LinkedChain>;
  readonly legacy?: true;
}

export interface RuleProgram {
  /**
   * By family and table; absent tables are empty ones. `legacy` asks for the table of
   * iptables-legacy on a host where iptables-nft has one of that name as well.
   */
  table(family: Family, name: TableName, legacy?: 'legacy'): LinkedTable | null;
  /** Every rule, by id. */
  readonly rules: readonly LinkedRule[];
}

/** Index tables by family and name. */
export function makeProgram(
  tables: readonly LinkedTable[],
  rules: readonly LinkedRule[],
): RuleProgram {
  const byName = { 4: new Map<TableName, Named>(), 6: new Map<TableName, Named>() };
  for (const table of tables) {
    const known = byName[table.family].get(table.name) ?? { legacy: null, table: null };
    byName[table.family].set(table.name, { ...known, [table.legacy ? 'legacy' : 'table']: table });
  }
  return {
    table: (family, name, legacy) => byName[family].get(name)?.[legacy ?? 'table'] ?? null,
    rules,
  };
}

/** The tables of one name. */
interface Named {
  readonly table: LinkedTable | null;
  readonly legacy: LinkedTable | null;
}
