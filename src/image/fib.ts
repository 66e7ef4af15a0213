/**
 * Routes of one host, compiled. (Signatures first; bodies follow.)
 * @module
 */
import type { AddressType } from '../netfilter/match.ts';
import type { Address, Family } from '../wire/address.ts';

export interface RouteQuery {
  readonly destination: Address;
  readonly source?: Address;
  /** Input device; absent for packets of the host itself, as if `lo` for `iif` rules. */
  readonly inDevice?: string;
  /** Only routes out of this device. */
  readonly outDevice?: string;
  readonly mark: number;
}

/** What a lookup found. `none` is «no route»: ENETUNREACH. */
export interface RouteResult {
  readonly type:
    | 'unicast'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | 'none';
  readonly device: string;
  readonly via: Address | null;
  /** Address a packet of the host itself gets as source by this route; null when there is none. */
  readonly source: Address | null;
  readonly scope: 'global' | 'link' | 'host';
  readonly table: number;
  readonly prefixLength: number;
}

export interface Fib {
  lookup(query: RouteQuery): RouteResult;
  /** Kind of an address, by the local table alone (inet_addr_type, ipv6 chk_addr), or as seen by one device. */
  addressType(address: Address, device?: string): AddressType;
  isLocal(address: Address): boolean;
  readonly families: readonly Family[];
}
