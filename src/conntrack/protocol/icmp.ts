/**
 * Tracking of ICMP and ICMPv6: queries are connections, errors belong to the connection they quote.
 *
 * An error is RELATED when the packet it quotes, turned round, is known, and when the error goes to
 * whom that packet came from; everything else about unknown packets is INVALID. Neighbour discovery
 * and multicast listener messages are never tracked.
 *
 * Kernel: net/netfilter/nf_conntrack_proto_icmp.c `nf_conntrack_icmpv4_error`,
 * `nf_conntrack_inet_error`, net/netfilter/nf_conntrack_proto_icmpv6.c, Linux 6.18.
 * @module
 */
import { verifySegment } from '../../packet/transport-checksum.ts';
import { type Address, readIpv4, readIpv6 } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import * as icmp from '../../wire/header/icmp.ts';
import { IcmpType } from '../../wire/header/icmp.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import { Icmpv6Type } from '../../wire/header/icmpv6.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import { type Connection, refresh } from '../connection.ts';
import { invertTuple, type Tuple, tupleAt } from '../tuple.ts';
import type { TrackedSegment, TrackVerdict } from './segment.ts';
import type { ConntrackSettings } from './timeouts.ts';

/** The highest ICMP type that the kernel knows (`NR_ICMP_TYPES`). */
const LAST_ICMP_TYPE = 18;
const REDIRECT_LENGTH = 40;
const OPTION_REDIRECTED_HEADER = 4;
const REDIRECTED_HEADER_LENGTH = 8;
const HOP_LIMIT_UNROUTED = 255;

/**
 * What an ICMP message is to the tracker: a query with a tuple of its own, an error that quotes the
 * packet whose tuple, turned round, is `inner`, or nothing to track.
 */
export type IcmpKind =
  | { readonly kind: 'query' | 'untracked' | 'invalid' | 'headerCut' }
  | { readonly kind: 'error'; readonly inner: Tuple };

/** Sort a message before any lookup; `hopLimit` is that of the IPv6 packet. */
export function classifyIcmp(s: TrackedSegment, hopLimit: number): IcmpKind {
  const fault = icmp.check(s.bytes, s.off, s.end);
  if (fault === 'headerCut') return { kind: 'headerCut' };
  if (fault !== null) return { kind: 'invalid' };
  if (s.verifyChecksum && verifySegment(s) !== 'right') return { kind: 'invalid' };
  return s.src.family === 4 ? classifyIcmpv4(s) : classifyIcmpv6(s, hopLimit);
}

function classifyIcmpv4(s: TrackedSegment): IcmpKind {
  const type = icmp.type(s.bytes, s.off);
  if (type > LAST_ICMP_TYPE) return { kind: 'invalid' };
  if (!icmp.isError(type)) return { kind: 'query' };
  return quoted(s, s.off + icmp.HEADER_LENGTH);
}

function classifyIcmpv6(s: TrackedSegment, hopLimit: number): IcmpKind {
  const type = icmpv6.type(s.bytes, s.off);
  const isDiscovery =
    (type >= Icmpv6Type.listenerQuery && type <= Icmpv6Type.neighborAdvertisement) ||
    type === Icmpv6Type.listenerReport2;
  if (isDiscovery) return { kind: 'untracked' };
  if (type === Icmpv6Type.redirect) return classifyRedirect(s, hopLimit);
  if (!icmpv6.isError(type)) return { kind: 'query' };
  return quoted(s, s.off + icmpv6.HEADER_LENGTH);
}

/**
 * RFC 4861 section 8: a redirect quotes its packet in an option (`nf_conntrack_icmpv6_redirect`).
 */
function classifyRedirect(s: TrackedSegment, hopLimit: number): IcmpKind {
  const option = s.off + REDIRECT_LENGTH;
  if (option > s.end) return { kind: 'invalid' };
  if (option > s.bytes.length) return { kind: 'headerCut' };
  if (icmpv6.code(s.bytes, s.off) !== 0) return { kind: 'query' };
  const linkLocal = s.src.w0 >>> 22 === 0xfe80 >>> 6;
  if (hopLimit !== HOP_LIMIT_UNROUTED || !linkLocal) return { kind: 'invalid' };
  if (option + 2 > s.end) return { kind: 'invalid' };
  if (option + 2 > s.bytes.length) return { kind: 'headerCut' };
  if (u8(s.bytes, option + 1) === 0) return { kind: 'invalid' };
  if (u8(s.bytes, option) !== OPTION_REDIRECTED_HEADER) return { kind: 'query' };
  return quoted(s, option + REDIRECTED_HEADER_LENGTH);
}

/** The tuple of the quoted packet, turned round: that of a packet that would answer it. */
function quoted(s: TrackedSegment, at: number): IcmpKind {
  const inner = readQuoted(s.bytes, at, s.end, s.src.family);
  if (inner === 'headerCut') return { kind: 'headerCut' };
  const turned = inner === null ? null : invertTuple(inner);
  return turned === null ? { kind: 'invalid' } : { kind: 'error', inner: turned };
}

/**
 * Read the tuple of a packet quoted at `at`. Nothing of it but lengths is believed or checked, as
 * routers change and cut what they quote.
 */
export function readQuoted(
  b: Uint8Array,
  at: number,
  end: number,
  family: 4 | 6,
): Tuple | 'headerCut' | null {
  const place = quotedTransport(b, at, end, family);
  if (place === null || place === 'headerCut') return place;
  const ends = { protocol: place.protocol, ...quotedAddresses(b, at, family) };
  return tupleAt(b, place.off, end, ends);
}

/** Source and destination of the IP header at `at`. Precondition: it can be read. */
export function quotedAddresses(
  b: Uint8Array,
  at: number,
  family: 4 | 6,
): { readonly src: Address; readonly dst: Address } {
  if (family === 4) {
    return { src: readIpv4(b, at + ipv4.SOURCE), dst: readIpv4(b, at + ipv4.DESTINATION) };
  }
  return { src: readIpv6(b, at + ipv6.SOURCE), dst: readIpv6(b, at + ipv6.DESTINATION) };
}

/** Where the quoted packet's transport header is; null when the quote holds none. */
export function quotedTransport(
  b: Uint8Array,
  at: number,
  end: number,
  family: 4 | 6,
): { readonly protocol: number; readonly off: number } | 'headerCut' | null {
  const length = family === 4 ? ipv4.MIN_HEADER_LENGTH : ipv6.HEADER_LENGTH;
  if (end - at < length) return null;
  if (b.length - at < length) return 'headerCut';
  if (family === 6) {
    const found = ipv6.findTransport(b, at, end, ipv6.QUOTED_EXTENSION);
    if (found.fault !== null) return found.fault === 'headerCut' ? 'headerCut' : null;
    if (found.fragmentOffset !== 0 || found.protocol === Protocol.none) return null;
    return { protocol: found.protocol, off: found.offset };
  }
  const off = at + ipv4.headerLength(b, at);
  if (ipv4.fragmentOffset(b, at) !== 0 || off > end) return null;
  return { protocol: ipv4.protocol(b, at), off };
}

const QUERIES4: ReadonlySet<number> = new Set([
  IcmpType.echoRequest,
  IcmpType.timestamp,
  IcmpType.infoRequest,
  IcmpType.addressMask,
]);
const QUERIES6: ReadonlySet<number> = new Set([
  Icmpv6Type.echoRequest,
  Icmpv6Type.nodeInformationQuery,
]);

/** Track a query or its answer; only a question can open a connection. */
export function trackIcmpQuery(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  const v4 = s.src.family === 4;
  const opener = connection.original.dport >>> 8;
  if (!(v4 ? QUERIES4 : QUERIES6).has(opener)) return 'invalid';
  refresh(connection, v4 ? settings.icmpS : settings.icmpv6S, s.nowNs);
  return 'accept';
}
