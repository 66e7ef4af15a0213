/**
 * Addresses whose kind is written in their bits (include/linux/in.h `ipv4_is_*`,
 * net/ipv6/addrconf_core.c `__ipv6_addr_type`).
 * @module
 */
import { type Address, ipv4, ipv6, type Prefix } from '../../wire/address/address.ts';

/** 0.0.0.0/8 or, for IPv6, `::`. */
export function isZeroNet(a: Address): boolean {
  return a.family === 4 ? a.w3 >>> 24 === 0 : isUnspecified(a);
}

export function isUnspecified(a: Address): boolean {
  return a.family === 4 ? a.w3 === 0 : (a.w0 | a.w1 | a.w2 | a.w3) === 0;
}

export function isLimitedBroadcast(a: Address): boolean {
  return a.family === 4 && a.w3 === 0xffffffff;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(a: Address): boolean {
  return a.family === 4 ? a.w3 >>> 28 === 0xe : a.w0 >>> 24 === 0xff;
}

/** 224.0.0.0/24: never forwarded. */
export function isLocalMulticast(a: Address): boolean {
  return a.family === 4 && a.w3 >>> 8 === 0xe00000;
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(a: Address): boolean {
  return a.family === 4 ? a.w3 >>> 24 === 127 : a.w3 === 1 && (a.w0 | a.w1 | a.w2) === 0;
}

/** fe80::/10; IPv4 link-local addresses are ordinary unicast to the kernel. */
export function isLinkLocal6(a: Address): boolean {
  return a.family === 6 && a.w0 >>> 22 === 0x3fa;
}

/** IPV6_ADDR_UNICAST: neither multicast nor unspecified (loopback and link-local are). */
export function isUnicast6(a: Address): boolean {
  return a.family === 6 && !isMulticast(a) && !isUnspecified(a);
}

/** Where the questions above, and their like all over the IP layer, change their answers. */
export const ADDRESS_KINDS: readonly Prefix[] = [
  { address: ipv4(0), length: 8 },
  { address: ipv4(0), length: 32 },
  { address: ipv4(0x7f000000), length: 8 },
  { address: ipv4(0xe0000000), length: 4 },
  { address: ipv4(0xe0000000), length: 24 },
  { address: ipv4(0xe0000001), length: 32 },
  { address: ipv4(0xffffffff), length: 32 },
  { address: ipv6(0, 0, 0, 0), length: 128 },
  { address: ipv6(0, 0, 0, 1), length: 128 },
  { address: ipv6(0xfe800000, 0, 0, 0), length: 10 },
  { address: ipv6(0xff000000, 0, 0, 0), length: 8 },
];
