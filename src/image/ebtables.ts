/**
 * ebtables of one host as the image holds them: the shapes of plan/model.ts (`EbTable`), said here
 * because an image does not know plans. node/ebtables.ts compiles them when a host starts.
 * @module
 */
import type { Prefix } from '../wire/address.ts';

export type ImageEbMatch =
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

export type ImageEbVerdict = 'ACCEPT' | 'DROP' | 'CONTINUE' | 'RETURN';

export type ImageEbTarget =
  | { readonly kind: 'accept' | 'drop' | 'continue' | 'return' }
  | { readonly kind: 'jump'; readonly chain: string }
  | {
      readonly kind: 'snat';
      readonly mac: string;
      readonly arp: boolean;
      readonly then: ImageEbVerdict;
    }
  | { readonly kind: 'dnat' | 'arpreply'; readonly mac: string; readonly then: ImageEbVerdict }
  | { readonly kind: 'redirect'; readonly then: ImageEbVerdict };

export interface ImageEbRule {
  readonly matches: readonly ImageEbMatch[];
  readonly target: ImageEbTarget;
}

export interface ImageEbChain {
  readonly name: string;
  readonly policy: ImageEbVerdict;
  readonly builtin: boolean;
  readonly rules: readonly ImageEbRule[];
}

export interface ImageEbTable {
  readonly name: 'nat' | 'filter' | 'broute';
  readonly chains: readonly ImageEbChain[];
}
