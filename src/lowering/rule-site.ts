/**
 * Where a rule stands, for judging whether the kernel would take it.
 * @module
 */
import type { Hook } from '../netfilter/hook.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { Chain, Table } from '../netfilter/rule.ts';

export interface RuleSite {
  readonly table: Table;
  readonly chain: Chain;
  /** The hooks from which the chain is reached. */
  readonly hooks: ReadonlySet<Hook>;
  readonly sets: ReadonlyMap<string, IpSet>;
}
