/**
 * Tables, chains, rules and sets of nft as data: the second rule language of a plan.
 *
 * Source: nftables 1.0.6 nft(8); include/uapi/linux/netfilter/nf_tables.h (Linux 6.18).
 * @module
 */
import type { Family } from '../../wire/address/address.ts';
import type { Hook, TableName } from '../hook.ts';
import type { NftTableName, Provenance } from '../rule.ts';
import type { NftType } from './datatype.ts';
import type { NftExpression, NftKey } from './expression.ts';
import type {
  NftCounter,
  NftLimit,
  NftQuota,
  NftStatement,
  NftVerdict,
  StatefulStatement,
} from './statement.ts';

export const NFT_FAMILIES = ['ip', 'ip6', 'inet'] as const;
export type NftFamily = (typeof NFT_FAMILIES)[number];

/**
 * All of a host's own nft tables, in the order in which they were made: of chains with equal
 * priority on one hook, the one that was made last sees a packet first (`nf_hook_entries_grow`).
 */
export interface NftRuleset {
  readonly tables: readonly NftTable[];
  /**
   * Tables of iptables that were made after the first `after` of `tables`; those that are not named
   * here were there before any.
   */
  readonly iptables?: readonly {
    readonly family: Family;
    readonly name: TableName;
    readonly after: number;
  }[];
}

export interface NftTable {
  readonly family: NftFamily;
  readonly name: string;
  /** Its chains hang on no hook. */
  readonly dormant?: true;
  readonly comment?: string;
  readonly objects: readonly NftObject[];
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/** A counter, limit or quota that several rules share. */
export type NftObject = { readonly name: string; readonly comment?: string } & (
  | { readonly kind: 'counter'; readonly counter: NftCounter }
  | { readonly kind: 'limit'; readonly limit: NftLimit }
  | { readonly kind: 'quota'; readonly quota: NftQuota }
);

export const CHAIN_TYPES = ['filter', 'nat', 'route'] as const;
export type ChainType = (typeof CHAIN_TYPES)[number];

/** A chain that hangs on a hook. */
export interface NftBase {
  readonly type: ChainType;
  readonly hook: Hook;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

export interface NftChain {
  readonly name: string;
  readonly base?: NftBase;
  readonly comment?: string;
  readonly rules: readonly NftRule[];
  /** `FILE:LINE` of a chain that was read. */
  readonly place?: string;
}

export interface NftRule {
  readonly statements: readonly NftStatement[];
  readonly comment?: string;
  readonly origin?: readonly Provenance[];
  /** `FILE:LINE` of a rule that was read. */
  readonly place?: string;
}

export const SET_FLAGS = ['constant', 'interval', 'timeout', 'dynamic'] as const;
export type NftSetFlag = (typeof SET_FLAGS)[number];

/**
 * A set, a map (elements have data) or a verdict map (elements have verdicts). Anonymous ones have
 * no name.
 */
export interface NftSet {
  readonly name: string;
  readonly kind: 'set' | 'map' | 'vmap';
  /** One for each part of a concatenation. */
  readonly type: readonly NftType[];
  /** Declared by what is looked up in it (`typeof ip saddr . tcp dport`). */
  readonly of?: NftExpression;
  /** Of a map's data. */
  readonly data?: readonly NftType[];
  readonly dataOf?: NftExpression;
  readonly flags: readonly NftSetFlag[];
  readonly timeoutMs?: number;
  readonly gcMs?: number;
  readonly size?: number;
  readonly policy?: 'performance' | 'memory';
  readonly autoMerge?: true;
  readonly comment?: string;
  /** What every element remembers. */
  readonly state?: readonly StatefulStatement[];
  readonly elements: readonly NftElement[];
  readonly place?: string;
}

export interface NftElement {
  /** Null for the element that everything else falls to (`*`). */
  readonly key: NftKey | null;
  readonly data?: NftKey;
  readonly verdict?: NftVerdict;
  readonly timeoutMs?: number;
  readonly expiresMs?: number;
  readonly comment?: string;
  readonly state?: readonly StatefulStatement[];
}

export type NftSetReference =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'anonymous'; readonly set: NftSet };

/** `inet fw`: what reports call a table. */
export function nftTableName(table: {
  readonly family: NftFamily;
  readonly name: string;
}): NftTableName {
  return `${table.family} ${table.name}`;
}

/** Does a table of this family see packets of that one? */
export function seesFamily(table: NftFamily, family: Family): boolean {
  return table === 'inet' || (table === 'ip6') === (family === 6);
}
