/**
 * IPv6 header and its chain of extension headers (RFC 8200, AH: RFC 4302).
 *
 *   0               4       6       7       8                24                40
 *   +---------------+-------+-------+-------+-----------------+-----------------+
 *   |ver|class|flow | length| next  |hop lim| source address  | destination     |
 *   +---------------+-------+-------+-------+-----------------+-----------------+
 *
 * `check` refuses what `ip6_rcv_core` (net/ipv6/ip6_input.c) refuses; hop-by-hop options are read
 * by each host (node/ip/hop-by-hop.ts). The chain is walked by `findTransport`, which answers as
 * `ipv6_find_hdr` and `ipv6_skip_exthdr` do; a chain that it can not walk is no reason to drop
 * until somebody needs it.
 *
 * Not done: jumbograms (RFC 2675), which no Azure network carries; they count as malformed.
 * @module
 */
import { type Address, readIpv6, writeAddress } from '../address/address.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from '../bytes.ts';
import type { HeaderFault } from '../drop-reason.ts';
import { Protocol } from '../protocol.ts';

export const HEADER_LENGTH = 40;
export const FRAGMENT_HEADER_LENGTH = 8;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
export const SOURCE = 8;
export const DESTINATION = 24;

export interface Ipv6 {
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly src: Address;
  readonly dst: Address;
}

/** What stands behind the extension headers. */
export interface Ipv6Transport {
  readonly protocol: number;
  /** First byte behind the last extension header, maybe past the packet; -1 when `fault` is set. */
  readonly offset: number;
  /** In bytes; 0 when whole or first. */
  readonly fragmentOffset: number;
  readonly moreFragments: boolean;
  /**
   * Offset of the fragment header, and of the byte that names it as next; -1 when there is none.
   */
  readonly fragmentHeader: number;
  readonly fragmentPointer: number;
  readonly fault: HeaderFault | null;
}

/** Check that the fixed header can be read and the kernel would take it. */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < HEADER_LENGTH) return 'ipv6Truncated';
  if (b.length - off < HEADER_LENGTH) return 'headerCut';
  if (u8(b, off) >>> 4 !== 6) return 'ipv6BadVersion';
  if (payloadLength(b, off) > end - off - HEADER_LENGTH) return 'ipv6BadPayloadLength';
  return null;
}

export function trafficClass(b: Uint8Array, off: number): number {
  return (u16(b, off) >>> 4) & 0xff;
}

export function flowLabel(b: Uint8Array, off: number): number {
  return u32(b, off) & 0xfffff;
}

/** Length of everything behind the fixed header. */
export function payloadLength(b: Uint8Array, off: number): number {
  return u16(b, off + PAYLOAD_LENGTH);
}

export function setPayloadLength(b: Uint8Array, off: number, length: number): void {
  setU16(b, off + PAYLOAD_LENGTH, length);
}

export function nextHeader(b: Uint8Array, off: number): number {
  return u8(b, off + NEXT_HEADER);
}

export function hopLimit(b: Uint8Array, off: number): number {
  return u8(b, off + HOP_LIMIT);
}

export function setHopLimit(b: Uint8Array, off: number, value: number): void {
  setU8(b, off + HOP_LIMIT, value);
}

export function src(b: Uint8Array, off: number): Address {
  return readIpv6(b, off + SOURCE);
}

export function dst(b: Uint8Array, off: number): Address {
  return readIpv6(b, off + DESTINATION);
}

/** How many bytes of an extension header must be there for it to be stepped over. */
interface LeastExtension {
  readonly fragment: number;
  readonly other: number;
}

const WHOLE_UNIT: LeastExtension = { fragment: 8, other: 8 };
/** In the packet that an error quotes: what says how long the header is (`ipv6_skip_exthdr`). */
export const QUOTED_EXTENSION: LeastExtension = { fragment: 4, other: 2 };

/**
 * Walk the extension headers to the transport header.
 *
 * A later fragment ends the walk behind its fragment header, whatever that names as next.
 * Precondition: `check` accepted the header at `off`; `end` is one past the packet on the wire.
 */
export function findTransport(
  b: Uint8Array,
  off: number,
  end: number,
  least: LeastExtension = WHOLE_UNIT,
): Ipv6Transport {
  let protocol = nextHeader(b, off);
  let at = off + HEADER_LENGTH;
  let pointer = off + NEXT_HEADER;
  let fragment = { fragmentOffset: 0, moreFragments: false };
  let place = { fragmentHeader: -1, fragmentPointer: -1 };
  for (;;) {
    const size = extensionSize(b, at, end, protocol, least);
    if (typeof size === 'string') {
      return { protocol, offset: -1, ...fragment, ...place, fault: size };
    }
    if (size === 0) return { protocol, offset: at, ...fragment, ...place, fault: null };
    const isFragment = protocol === Protocol.fragment;
    protocol = u8(b, at);
    if (isFragment) {
      const field = u16(b, at + 2);
      fragment = { fragmentOffset: field & 0xfff8, moreFragments: (field & 1) !== 0 };
      place = { fragmentHeader: at, fragmentPointer: pointer };
      if (fragment.fragmentOffset !== 0) {
        // What a later fragment is part of is known only when no header more comes before it.
        if (isExtension(protocol)) {
          return { protocol, offset: -1, ...fragment, ...place, fault: 'ipv6BadExtension' };
        }
        return { protocol, offset: at + size, ...fragment, ...place, fault: null };
      }
    }
    pointer = at;
    at += size;
  }
}

/** Size of the extension header at `at`, 0 when `protocol` is none, or why it can not be read. */
function extensionSize(
  b: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  least: LeastExtension,
): number | HeaderFault {
  if (!isExtension(protocol)) return 0;
  const needed = protocol === Protocol.fragment ? least.fragment : least.other;
  if (end - at < needed) return 'ipv6BadExtension';
  if (b.length - at < needed) return 'headerCut';
  const units = u8(b, at + 1);
  let size = (units + 1) * 8;
  if (protocol === Protocol.fragment) size = FRAGMENT_HEADER_LENGTH;
  if (protocol === Protocol.ah) size = (units + 2) * 4;
  // One that runs past the packet is stepped over all the same (`ipv6_find_hdr`).
  return end > b.length && size > b.length - at ? 'headerCut' : size;
}

function isExtension(protocol: number): boolean {
  return (
    protocol === Protocol.hopopts ||
    protocol === Protocol.routing ||
    protocol === Protocol.fragment ||
    protocol === Protocol.ah ||
    protocol === Protocol.dstopts
  );
}

/** Read a checked fixed header as a value. */
export function parse(b: Uint8Array, off: number): Ipv6 {
  return {
    trafficClass: trafficClass(b, off),
    flowLabel: flowLabel(b, off),
    nextHeader: nextHeader(b, off),
    hopLimit: hopLimit(b, off),
    src: src(b, off),
    dst: dst(b, off),
  };
}

/** Make a packet: fixed header, then a copy of `payload` (extension headers are part of it). */
export function emit(header: Ipv6, payload: Uint8Array): Uint8Array {
  const b = new Uint8Array(HEADER_LENGTH + payload.length);
  setU32(b, 0, 0x60000000 + header.trafficClass * 0x100000 + header.flowLabel);
  setU16(b, PAYLOAD_LENGTH, payload.length);
  setU8(b, NEXT_HEADER, header.nextHeader);
  setU8(b, HOP_LIMIT, header.hopLimit);
  writeAddress(b, SOURCE, header.src);
  writeAddress(b, DESTINATION, header.dst);
  b.set(payload, HEADER_LENGTH);
  return b;
}

/** Make the eight bytes of a fragment header; `offset` in bytes, a multiple of 8. */
export function emitFragmentHeader(
  next: number,
  offset: number,
  more: boolean,
  id: number,
): Uint8Array {
  const b = new Uint8Array(FRAGMENT_HEADER_LENGTH);
  setU8(b, 0, next);
  setU16(b, 2, offset | (more ? 1 : 0));
  setU32(b, 4, id);
  return b;
}

/** Identification in the fragment header at `at`. */
export function fragmentId(b: Uint8Array, at: number): number {
  return u32(b, at + 4);
}
