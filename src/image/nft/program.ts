/**
 * The nft program of a host: chains with every name resolved, expressions as loads, and the tests
 * that nft adds by itself (`tcp dport` asks first whether it is TCP).
 *
 * Made by lowering/nft, which has proved that names exist, types fit and no chain reaches itself;
 * nothing here is checked again while walking.
 * @module
 */

import type { Hook, TableName } from '../../netfilter/hook.ts';
import type {
  BitOperator,
  CtKey,
  FibFlag,
  MetaKey,
  RawBase,
} from '../../netfilter/nft/expression.ts';
import type { NftBase, NftFamily } from '../../netfilter/nft/ruleset.ts';
import type {
  Comparison,
  NatFlag,
  NftLimit,
  NftQuota,
  RejectCode,
} from '../../netfilter/nft/statement.ts';
import type { NftTableName, Provenance, RuleAddress } from '../../netfilter/rule.ts';
import type { Family } from '../../wire/address/address.ts';
import type { LookupSet } from './lookup-set.ts';

/** What puts one number into a register. */
export type NftLoad =
  | { readonly kind: 'meta'; readonly key: MetaKey }
  | {
      readonly kind: 'ct';
      readonly key: CtKey;
      readonly direction: 'original' | 'reply' | null;
      readonly family: Family | null;
    }
  | PayloadLoad
  | {
      readonly kind: 'fib';
      readonly flags: readonly FibFlag[];
      readonly result: 'oif' | 'oifname' | 'type' | 'check';
    }
  | {
      readonly kind: 'numgen';
      readonly mode: 'random' | 'inc';
      readonly modulus: number;
      readonly offset: number;
      /** Dense over the host. */
      readonly id: number;
    }
  | {
      readonly kind: 'jhash';
      readonly of: readonly NftLoad[];
      /** Of each load, in bytes as registers hold them. */
      readonly bytes: readonly number[];
      readonly modulus: number;
      readonly seed: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'bits';
      readonly operator: BitOperator;
      readonly left: NftLoad;
      readonly right: bigint;
      readonly bits: number;
    };

/** Bytes of a header, and which bits of them. */
export interface PayloadLoad {
  readonly kind: 'payload';
  readonly base: RawBase;
  readonly offset: number;
  readonly length: number;
  readonly shift: number;
  readonly bits: number;
  /** The kernel reads it without looking at fragments (`nft_payload_fast_eval`). */
  readonly isFast: boolean;
}

/** What is held against a number; bounds are inclusive. */
export type NftTest =
  | { readonly kind: 'bounds'; readonly low: bigint; readonly high: bigint }
  | { readonly kind: 'order'; readonly operator: Comparison; readonly value: bigint }
  | { readonly kind: 'any'; readonly bits: bigint };

export type NftLinkedVerdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'continue' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: NftLinkedChain };

/** Where a number or an address comes from: loads, a constant, or what a map has for loads. */
export type NftSource =
  | { readonly kind: 'loads'; readonly loads: readonly NftLoad[] }
  | { readonly kind: 'constant'; readonly values: readonly Bounds[] }
  | { readonly kind: 'mapped'; readonly loads: readonly NftLoad[]; readonly set: LookupSet };

/** The least and the greatest value of a part. */
export type Bounds = readonly [low: bigint, high: bigint];

/** A limit or quota, of one rule, or of an object that several share. */
export interface NftMeter {
  /** Names its memory. */
  readonly key: string;
}

export type NftOperation =
  | {
      readonly kind: 'test';
      readonly loads: readonly NftLoad[];
      readonly tests: readonly NftTest[];
      readonly negate: boolean;
    }
  | {
      readonly kind: 'lookup';
      readonly loads: readonly NftLoad[];
      readonly set: LookupSet;
      readonly negate: boolean;
    }
  | { readonly kind: 'verdict'; readonly verdict: NftLinkedVerdict }
  | { readonly kind: 'vmap'; readonly loads: readonly NftLoad[]; readonly set: LookupSet }
  /** `object` is its number among the host's named counters; null counts for the rule. */
  | { readonly kind: 'counter'; readonly object: number | null }
  | ({ readonly kind: 'limit'; readonly limit: NftLimit } & NftMeter)
  | ({ readonly kind: 'quota'; readonly quota: NftQuota } & NftMeter)
  | { readonly kind: 'mark'; readonly of: 'packet' | 'connection'; readonly source: NftSource }
  | { readonly kind: 'write'; readonly at: PayloadLoad; readonly source: NftSource }
  | {
      readonly kind: 'nat';
      readonly manip: 'source' | 'destination';
      /** Packets of another family pass on. */
      readonly family: Family | null;
      readonly address: NftSource | null;
      readonly port: NftSource | null;
      readonly flags: readonly NatFlag[];
      readonly prefix: boolean;
    }
  | {
      readonly kind: 'masquerade' | 'redirect';
      readonly port: NftSource | null;
      readonly flags: readonly NatFlag[];
    }
  | { readonly kind: 'reject'; readonly code: RejectCode }
  | { readonly kind: 'notrack' }
  /** Nothing that a packet could show. */
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'update';
      readonly operation: 'add' | 'update' | 'delete';
      readonly set: LookupSet;
      readonly loads: readonly NftLoad[];
      readonly timeoutMs: number | null;
      readonly data: NftSource | null;
      readonly meters: readonly ElementMeter[];
    };

/** What an element of a set measures for itself. */
export type ElementMeter =
  | { readonly kind: 'limit'; readonly limit: NftLimit }
  | { readonly kind: 'quota'; readonly quota: NftQuota };

export interface NftLinkedRule {
  /** Dense over the host's nft rules. */
  readonly id: number;
  readonly address: RuleAddress;
  readonly operations: readonly NftOperation[];
  /** The place of the rule's own counter among its operations; -1 for none. */
  readonly counterAt: number;
  readonly home: NftLinkedChain;
  readonly origin: readonly Provenance[];
  /** The bits of the mark that it looks at: whose origins a verdict of this rule has. */
  readonly markBits: number;
}

export interface NftLinkedChain {
  /** `inet fw`. */
  readonly table: NftTableName;
  readonly family: NftFamily;
  readonly name: string;
  readonly base: NftBase | null;
  readonly rules: readonly NftLinkedRule[];
}

/** What hangs on a hook beside the tables of iptables, in the order in which packets see it. */
export type HookEntry =
  | { readonly kind: 'nft'; readonly priority: number; readonly chain: NftLinkedChain }
  | {
      readonly kind: 'table';
      readonly priority: number;
      readonly table: TableName;
      readonly variant: 'only' | 'legacy';
    };

/** Texts of rules, made only when asked for. */
export interface NftTexts {
  rule(id: number): string;
  /** One statement; nft's own tests belong to the statement they were made for. */
  statement(id: number, operation: number): string;
  /** The part of the rule that acts: its last statement. */
  action(id: number): string;
}

export interface NftProgram {
  readonly rules: readonly NftLinkedRule[];
  /** Base chains of type filter and route, and tables of iptables, on a hook. */
  entries(family: Family, hook: Hook): readonly HookEntry[];
  /** What is asked for a translation: nat chains and nat tables. */
  translations(family: Family, hook: Hook): readonly HookEntry[];
  /** Named counters, `inet fw counter cc`. */
  readonly counters: readonly string[];
  readonly texts: NftTexts;
}
