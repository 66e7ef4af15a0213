/**
 * IP sets as data (ipset(8), net/netfilter/ipset/*). Lookup lives in image/set/ip-set.ts.
 * @module
 */
import type { Address, Family, Prefix } from '../wire/address/address.ts';

export const SET_TYPES = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:net,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'bitmap:port',
  'list:set',
] as const;
export type SetType = (typeof SET_TYPES)[number];

/** One member; which fields are there follows from the set's type. */
export type SetMember = SetElement & {
  /** Seconds left when the plan was made, 0 for ever; only in sets with a timeout. */
  readonly timeout?: number;
};

type SetElement =
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
  | {
      readonly kind: 'ip,port,ip';
      readonly address: Address;
      readonly protocol: number;
      readonly port: number;
      /** The third dimension. */
      readonly second: Address;
    }
  | {
      readonly kind: 'ip,port,net';
      readonly address: Address;
      readonly protocol: number;
      readonly port: number;
      /** The third dimension. */
      readonly within: Prefix;
      readonly nomatch: boolean;
    }
  /** A port of TCP and of UDP alike. */
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'set'; readonly set: string };

export interface IpSet {
  readonly name: string;
  readonly type: SetType;
  /** Absent for list:set, which takes the family of its members, and for bitmap:port: both. */
  readonly family?: Family;
  readonly maxElements: number;
  /** bitmap:port only: the ports that can be members. */
  readonly range?: { readonly low: number; readonly high: number };
  readonly members: readonly SetMember[];
  /** Seconds that new members live unless they say otherwise, 0 for ever; absent: no timeouts. */
  readonly timeout?: number;
  /** Rules name it, and nobody knows what is in it; type and members say nothing then. */
  readonly membersUnknown?: true;
  /** What the set stands for, in words, for reports (`pods labelled app=web`). */
  readonly describes?: string;
}
