/**
 * IPv4 header (RFC 791).
 *
 *   0        1        2               4               6               8
 *   +--------+--------+---------------+---------------+---------------+
 *   |ver| ihl|  tos   | total length  |identification |flags| offset/8|
 *   +--------+--------+---------------+---------------+---------------+
 *   |  ttl   |protocol|   checksum    |         source address        |
 *   +--------+--------+---------------+-------------------------------+
 *   |      destination address        |  options up to ihl * 4        |
 *   +---------------------------------+-------------------------------+
 *
 * `check` refuses what the kernel's `ip_rcv_core` (net/ipv4/ip_input.c) refuses, in its order;
 * options are read by who routes the packet (node/ip/ipv4-options.ts).
 * @module
 */
import { type Address, readIpv4, writeAddress } from '../address/address.ts';
import { setU8, setU16, u8, u16 } from '../bytes.ts';
import { checksum as internetChecksum, update16 } from '../checksum.ts';
import type { HeaderFault } from '../drop-reason.ts';

export const MIN_HEADER_LENGTH = 20;
const TOS = 1;
const TOTAL_LENGTH = 2;
const ID = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
export const SOURCE = 12;
export const DESTINATION = 16;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

export interface Ipv4 {
  readonly tos: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  /** A multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

/**
 * Check that the whole header can be read and the kernel would not drop the packet for it.
 *
 * @param end one past the last byte on the wire that can belong to the packet
 */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < MIN_HEADER_LENGTH) return 'ipv4Truncated';
  if (b.length - off < MIN_HEADER_LENGTH) return 'headerCut';
  if (u8(b, off) >>> 4 !== 4) return 'ipv4BadVersion';
  const header = headerLength(b, off);
  if (header < MIN_HEADER_LENGTH || header > end - off) return 'ipv4BadHeaderLength';
  if (header > b.length - off) return 'headerCut';
  if (internetChecksum(b, off, off + header) !== 0) return 'ipv4BadChecksum';
  const total = totalLength(b, off);
  if (total < header || total > end - off) return 'ipv4BadTotalLength';
  return null;
}

export function headerLength(b: Uint8Array, off: number): number {
  return (u8(b, off) & 0x0f) * 4;
}

export function tos(b: Uint8Array, off: number): number {
  return u8(b, off + TOS);
}

/** Length of header and payload. */
export function totalLength(b: Uint8Array, off: number): number {
  return u16(b, off + TOTAL_LENGTH);
}

export function id(b: Uint8Array, off: number): number {
  return u16(b, off + ID);
}

export function dontFragment(b: Uint8Array, off: number): boolean {
  return (u16(b, off + FRAGMENT) & DONT_FRAGMENT) !== 0;
}

export function moreFragments(b: Uint8Array, off: number): boolean {
  return (u16(b, off + FRAGMENT) & MORE_FRAGMENTS) !== 0;
}

/** Where this fragment's payload stands in the whole datagram, in bytes. */
export function fragmentOffset(b: Uint8Array, off: number): number {
  return (u16(b, off + FRAGMENT) & OFFSET_MASK) * 8;
}

export function ttl(b: Uint8Array, off: number): number {
  return u8(b, off + TTL);
}

export function protocol(b: Uint8Array, off: number): number {
  return u8(b, off + PROTOCOL);
}

export function src(b: Uint8Array, off: number): Address {
  return readIpv4(b, off + SOURCE);
}

export function dst(b: Uint8Array, off: number): Address {
  return readIpv4(b, off + DESTINATION);
}

/** Set TTL and keep the header checksum right (`ip_decrease_ttl`, xt_HL). */
export function setTtl(b: Uint8Array, off: number, value: number): void {
  const before = u16(b, off + TTL);
  setU8(b, off + TTL, value);
  setU16(b, off + CHECKSUM, update16(u16(b, off + CHECKSUM), before, u16(b, off + TTL)));
}

/** Compute the header checksum anew. */
export function fillChecksum(b: Uint8Array, off: number): void {
  setU16(b, off + CHECKSUM, 0);
  setU16(b, off + CHECKSUM, internetChecksum(b, off, off + headerLength(b, off)));
}

/** Change an address and keep the header checksum right; the transport's is the caller's. */
export function setAddress(b: Uint8Array, off: number, field: number, address: Address): void {
  let sum = u16(b, off + CHECKSUM);
  sum = update16(sum, u16(b, off + field), address.w3 >>> 16);
  sum = update16(sum, u16(b, off + field + 2), address.w3 & 0xffff);
  writeAddress(b, off + field, address);
  setU16(b, off + CHECKSUM, sum);
}

/** Read a checked header as a value. */
export function parse(b: Uint8Array, off: number): Ipv4 {
  return {
    tos: tos(b, off),
    id: id(b, off),
    dontFragment: dontFragment(b, off),
    moreFragments: moreFragments(b, off),
    fragmentOffset: fragmentOffset(b, off),
    ttl: ttl(b, off),
    protocol: protocol(b, off),
    src: src(b, off),
    dst: dst(b, off),
    options: b.slice(off + MIN_HEADER_LENGTH, off + headerLength(b, off)),
  };
}

/** Make a packet: header with its checksum, then a copy of `payload`. */
export function emit(header: Ipv4, payload: Uint8Array): Uint8Array {
  const length = MIN_HEADER_LENGTH + header.options.length;
  const b = new Uint8Array(length + payload.length);
  setU8(b, 0, 0x40 | (length / 4));
  setU8(b, TOS, header.tos);
  setU16(b, TOTAL_LENGTH, b.length);
  setU16(b, ID, header.id);
  const flags =
    (header.dontFragment ? DONT_FRAGMENT : 0) | (header.moreFragments ? MORE_FRAGMENTS : 0);
  setU16(b, FRAGMENT, flags | (header.fragmentOffset / 8));
  setU8(b, TTL, header.ttl);
  setU8(b, PROTOCOL, header.protocol);
  writeAddress(b, SOURCE, header.src);
  writeAddress(b, DESTINATION, header.dst);
  b.set(header.options, MIN_HEADER_LENGTH);
  fillChecksum(b, 0);
  b.set(payload, length);
  return b;
}
