/**
 * What a rule of nft does, part by part from left to right; one that does not hold ends the rule.
 *
 * Source: nftables 1.0.6 nft(8), section "Statements"; net/netfilter/nft_*.c (Linux 6.18).
 * @module
 */
import type { RejectWith } from '../target.ts';
import type { NftExpression, NftKey } from './expression.ts';
import type { NftSetReference } from './ruleset.ts';

export type NftVerdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'continue' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export type Comparison = '==' | '!=' | '<' | '>' | '<=' | '>=';

/** What the left side is held against. */
export type NftRight =
  | { readonly kind: 'key'; readonly key: NftKey }
  /** `ct state new,established`: some of these bits. */
  | { readonly kind: 'any'; readonly bits: bigint }
  | { readonly kind: 'set'; readonly set: NftSetReference };

/** ICMP codes of both families that `icmpx` stands for. */
export type RejectCode =
  | { readonly kind: 'icmp' | 'icmpv6'; readonly with: RejectWith }
  | {
      readonly kind: 'icmpx';
      readonly code: 'port-unreachable' | 'admin-prohibited' | 'no-route' | 'host-unreachable';
    }
  | { readonly kind: 'tcp-reset' };

export interface NftLimit {
  readonly rate: number;
  /** Seconds of the rate's unit: 1, 60, 3600, 86400, 604800. */
  readonly seconds: number;
  readonly unit: 'packets' | 'bytes';
  readonly burst: number;
  readonly over: boolean;
}

export interface NftQuota {
  readonly bytes: number;
  readonly used: number;
  readonly over: boolean;
}

export interface NftCounter {
  readonly packets: number;
  readonly bytes: number;
}

/** What remembers packets: in a rule, or for each element of a set. */
export type StatefulStatement =
  | { readonly kind: 'counter'; readonly counter: NftCounter }
  | { readonly kind: 'limit'; readonly limit: NftLimit }
  | { readonly kind: 'quota'; readonly quota: NftQuota };

/** Named objects that rules refer to. */
export const OBJECT_KINDS = ['counter', 'limit', 'quota'] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

export const NAT_FLAGS = ['random', 'fully-random', 'persistent'] as const;
export type NatFlag = (typeof NAT_FLAGS)[number];

export type NftStatement =
  | StatefulStatement
  | {
      readonly kind: 'match';
      readonly left: NftExpression;
      readonly operator: Comparison;
      readonly right: NftRight;
    }
  | { readonly kind: 'verdict'; readonly verdict: NftVerdict }
  | { readonly kind: 'vmap'; readonly key: NftExpression; readonly map: NftSetReference }
  | { readonly kind: 'object'; readonly object: ObjectKind; readonly name: string }
  | {
      readonly kind: 'mangle';
      readonly target:
        | { readonly kind: 'meta'; readonly key: 'mark' }
        | { readonly kind: 'ct'; readonly key: 'mark' }
        | { readonly kind: 'payload'; readonly protocol: string; readonly field: string };
      readonly value: NftExpression;
    }
  | {
      readonly kind: 'snat' | 'dnat';
      /** Said in tables of both families, and where a map gives address and port. */
      readonly family?: 'ip' | 'ip6';
      /** An address, or an address and a port. */
      readonly address?: NftExpression;
      readonly port?: NftExpression;
      readonly flags: readonly NatFlag[];
      /** The net is replaced, the host part stays (`prefix`). */
      readonly prefix?: true;
    }
  | {
      readonly kind: 'masquerade' | 'redirect';
      readonly port?: NftExpression;
      readonly flags: readonly NatFlag[];
    }
  | { readonly kind: 'reject'; readonly code: RejectCode }
  | { readonly kind: 'notrack' }
  /** Written down elsewhere; decides nothing. `text` as it was written. */
  | { readonly kind: 'log' | 'note'; readonly text: string }
  | {
      readonly kind: 'update';
      readonly operation: 'add' | 'update' | 'delete';
      readonly set: string;
      readonly key: NftExpression;
      readonly timeoutMs?: number;
      readonly state: readonly StatefulStatement[];
      /** Of maps. */
      readonly data?: NftExpression;
    };
