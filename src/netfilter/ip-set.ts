/**
 * IP sets as data (ipset(8), net/netfilter/ipset/*). Lookup lives in image/ip-set.ts.
 * @module
 */
import type { Address, Family, Prefix } from '../wire/address.ts';

export const SET_TYPES = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:net,port',
  'list:set',
] as const;
export type SetType = (typeof SET_TYPES)[number];

/** One member; which fields are there follows from the set's type. */
export type SetMember =
  | { readonly kind: 'ip'; readonly address: Address }
  | { readonly kind: 'net'; readonly net: Prefix; readonly nomatch: boolean }
  | {
      readonly kind: 'ip,port';
      readonly address: Address;
      readonly protocol: number;
      readonly port: number;
    }
  | {
      readonly kind: 'net,port';
      readonly net: Prefix;
      readonly protocol: number;
      readonly port: number;
      readonly nomatch: boolean;
    }
  | { readonly kind: 'set'; readonly set: string };

export interface IpSet {
  readonly name: string;
  readonly type: SetType;
  /** Absent for list:set, which takes the family of its members. */
  readonly family?: Family;
  readonly maxElements: number;
  readonly members: readonly SetMember[];
  /** Rules name it, and nobody knows what is in it; type and members say nothing then. */
  readonly membersUnknown?: true;
  /** What the set stands for, in words, for reports (`pods labelled app=web`). */
  readonly describes?: string;
}
