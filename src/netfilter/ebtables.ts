/**
 * ebtables rules as data (ebtables(8), legacy syntax): the part of it that Azure CNI and kubenet
 * program. The bridge walks them (node/bridge/ebtables.ts), plans print them
 * (plan/ebtables/text.ts).
 * @module
 */
import type { Prefix } from '../wire/address/address.ts';

export type EbMatch =
  | { readonly kind: 'protocol'; readonly etherType: number; readonly negate: boolean }
  | {
      readonly kind: 'inInterface' | 'outInterface' | 'logicalIn' | 'logicalOut';
      readonly name: string;
      readonly negate: boolean;
    }
  | {
      readonly kind: 'source' | 'destination';
      readonly mac: string;
      readonly mask: string;
      readonly negate: boolean;
    }
  | { readonly kind: 'arpOperation'; readonly operation: number; readonly negate: boolean }
  | {
      readonly kind: 'arpSource' | 'arpDestination' | 'ipSource' | 'ipDestination';
      readonly net: Prefix;
      readonly negate: boolean;
    };

export type EbTarget =
  | { readonly kind: 'accept' | 'drop' | 'continue' | 'return' }
  | { readonly kind: 'jump'; readonly chain: string }
  | {
      readonly kind: 'snat';
      readonly mac: string;
      readonly arp: boolean;
      readonly verdict: EbVerdict;
    }
  | { readonly kind: 'dnat'; readonly mac: string; readonly verdict: EbVerdict }
  | { readonly kind: 'redirect'; readonly verdict: EbVerdict }
  | { readonly kind: 'arpreply'; readonly mac: string; readonly verdict: EbVerdict };

export type EbVerdict = 'ACCEPT' | 'DROP' | 'CONTINUE' | 'RETURN';

export interface EbRule {
  readonly matches: readonly EbMatch[];
  readonly target: EbTarget;
}

export interface EbChain {
  readonly name: string;
  readonly policy: EbVerdict;
  readonly builtin: boolean;
  readonly rules: readonly EbRule[];
}

export interface EbTable {
  readonly name: 'nat' | 'filter' | 'broute';
  /** What holds the table: the kernel's ebtables where absent, or nftables (ebtables-nft). */
  readonly backend?: 'nft';
  readonly chains: readonly EbChain[];
}
