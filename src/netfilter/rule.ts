/**
 * Rules, chains and tables of iptables as data, with where each rule comes from.
 * @module
 */
import type { Family } from '../wire/address/address.ts';
import type { TableName } from './hook.ts';
import type { IpMatch, Match } from './match.ts';
import type { Target } from './target.ts';

/**
 * Why a rule exists: the object that somebody wrote, for reports. Opaque to whatever forwards.
 *
 * `object` is `NAMESPACE/KIND/NAME`, `field` the part of it that became this rule
 * (`spec.ingress[0].from[1]`), `source` is `FILE:LINE`. `effect` says what the rule does for it:
 * `select` sends chosen packets to the policy, `allow` lets them pass, `isolate` refuses what
 * no policy of that direction allowed.
 */
export interface Provenance {
  readonly object: string;
  readonly direction?: 'ingress' | 'egress';
  readonly effect: 'select' | 'allow' | 'isolate' | 'platform';
  readonly field?: string;
  readonly source?: string;
}

export interface Counters {
  readonly packets: number;
  readonly bytes: number;
}

export interface Rule {
  readonly ip: IpMatch;
  readonly matches: readonly Match[];
  readonly target: Target;
  readonly origin?: readonly Provenance[];
  readonly counters?: Counters;
  /** `FILE:LINE` of a rule that was read from a dump. */
  readonly place?: string;
}

export interface Chain {
  readonly name: string;
  /** Built-in chains only: what happens at the end. User chains return. */
  readonly policy?: 'ACCEPT' | 'DROP';
  readonly rules: readonly Rule[];
  readonly counters?: Counters;
}

export interface Table {
  readonly family: Family;
  readonly name: TableName;
  readonly chains: readonly Chain[];
  /** Of iptables-legacy, on a host where iptables-nft has rules in this table as well. */
  readonly legacy?: true;
}

/** A table of nft's own, `inet fw`. */
export type NftTableName = `${'ip' | 'ip6' | 'inet'} ${string}`;

/** A rule's place: what reports call it, `TABLE/CHAIN rule N` with N from 1. */
export interface RuleAddress {
  readonly family: Family;
  readonly table: TableName | NftTableName;
  readonly chain: string;
  readonly index: number;
  /** Of iptables-legacy beside a table of the same name. */
  readonly legacy?: true;
}

export function formatRuleAddress(a: RuleAddress): string {
  return `${a.legacy ? 'legacy ' : ''}${a.table}/${a.chain} rule ${a.index}`;
}
