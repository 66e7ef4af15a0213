/**
 * Addresses and ranges as the API server reads them (k8s.io/utils/net ParseIPSloppy,
 * ParseCIDRSloppy).
 * @module
 */
import type { Address, Prefix } from '../../wire/address/address.ts';
import { parseAddress, parsePrefix } from '../../wire/address/address.ts';

/** Leading zeros of IPv4 octets are tolerated, as decimal. */
function withoutLeadingZeros(address: string): string {
  return address.includes(':') ? address : address.replace(/(^|\.)0+(?=\d)/g, '$1');
}

/** An address, or `null`. */
export function parseIp(written: string): Address | null {
  return parseAddress(withoutLeadingZeros(written));
}

/**
 * A CIDR as the API server reads it: a length is needed, host bits are allowed, and leading zeros
 * of IPv4 octets are tolerated as decimal (ParseCIDRSloppy). Null when it is none.
 */
export function parseCidr(written: string): Prefix | null {
  const parts = written.split('/');
  if (parts.length !== 2) return null;
  const [address = '', length = ''] = parts;
  return parsePrefix(`${withoutLeadingZeros(address)}/${length.replace(/^0+(?=\d)/, '')}`);
}
