/**
 * What a rule of nft reads: from the packet, its connection, the routing table, or by chance.
 *
 * Source: nftables 1.0.6 nft(8), section "Expressions"; net/netfilter/nft_{meta,ct,payload,fib,
 * numgen,hash,bitwise,lookup}.c (Linux 6.18).
 * @module
 */
import type { NftSetReference } from './ruleset.ts';

export const META_KEYS = [
  'length',
  'protocol',
  'nfproto',
  'l4proto',
  'mark',
  'iif',
  'oif',
  'iifname',
  'oifname',
  'iiftype',
  'oiftype',
  'pkttype',
  'skuid',
  'skgid',
] as const;
export type MetaKey = (typeof META_KEYS)[number];

export const CT_KEYS = [
  'state',
  'direction',
  'status',
  'mark',
  'expiration',
  'l3proto',
  'protocol',
  'saddr',
  'daddr',
  'proto-src',
  'proto-dst',
  'packets',
  'bytes',
  'avgpkt',
  'zone',
] as const;
export type CtKey = (typeof CT_KEYS)[number];

export const FIB_FLAGS = ['saddr', 'daddr', 'mark', 'iif', 'oif'] as const;
export type FibFlag = (typeof FIB_FLAGS)[number];

export type BitOperator = '&' | '|' | '^' | '<<' | '>>';

/** Where a load of raw bits starts: network or transport header. */
export type RawBase = 'nh' | 'th';

export type NftExpression =
  | { readonly kind: 'meta'; readonly key: MetaKey }
  | {
      readonly kind: 'ct';
      readonly key: CtKey;
      readonly direction?: 'original' | 'reply';
      /** Of addresses. */
      readonly family?: 'ip' | 'ip6';
    }
  | { readonly kind: 'payload'; readonly protocol: string; readonly field: string }
  /** `@th,16,16`; both numbers are bits. */
  | {
      readonly kind: 'raw';
      readonly base: RawBase;
      readonly offset: number;
      readonly length: number;
    }
  | {
      readonly kind: 'fib';
      readonly flags: readonly FibFlag[];
      /** `check`: is there a route at all (`oif exists`). */
      readonly result: 'oif' | 'oifname' | 'type' | 'check';
    }
  | {
      readonly kind: 'numgen';
      readonly mode: 'random' | 'inc';
      readonly modulus: number;
      readonly offset: number;
    }
  /** Of a hash without a seed nobody knows the key. */
  | {
      readonly kind: 'jhash';
      readonly of: NftExpression;
      readonly modulus: number;
      readonly seed: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'bits';
      readonly operator: BitOperator;
      readonly left: NftExpression;
      readonly right: bigint;
    }
  | { readonly kind: 'concat'; readonly parts: readonly NftExpression[] }
  /** A constant, one part for each dimension; ranges stand only where addresses are chosen. */
  | { readonly kind: 'constant'; readonly key: NftKey }
  | { readonly kind: 'map'; readonly key: NftExpression; readonly map: NftSetReference };

/** What a value is held against, in one dimension. */
export type NftPattern =
  | { readonly kind: 'value'; readonly value: bigint }
  /** `value` has no bits behind the first `length` ones. */
  | { readonly kind: 'prefix'; readonly value: bigint; readonly length: number }
  | { readonly kind: 'range'; readonly low: bigint; readonly high: bigint };

/** One pattern for each part of a concatenation. */
export type NftKey = readonly NftPattern[];

/** The least and the greatest value of a pattern. */
export function boundsOf(pattern: NftPattern, bits: number): readonly [bigint, bigint] {
  switch (pattern.kind) {
    case 'value':
      return [pattern.value, pattern.value];
    case 'prefix':
      return [pattern.value, pattern.value | ((1n << BigInt(bits - pattern.length)) - 1n)];
    case 'range':
      return [pattern.low, pattern.high];
  }
}
