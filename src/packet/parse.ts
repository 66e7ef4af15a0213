/**
 * Read a packet's headers from its frame, and make new packets.
 *
 * `parseFrame` drops what a host's `ip_rcv_core`, `ip6_rcv_core` or `arp_rcv` would drop, and
 * nothing else: a TCP header with a bad offset or a wrong transport checksum is forwarded by Linux
 * too, and only connection tracking calls it INVALID. A snaplen cut is never malformed; it is
 * `headerCut`, and only when it lies inside a header that is wanted.
 * @module
 */
import { ANY4 } from '../wire/address/address.ts';
import { u16 } from '../wire/bytes.ts';
import type { HeaderFault } from '../wire/drop-reason.ts';
import * as arp from '../wire/header/arp.ts';
import * as ethernet from '../wire/header/ethernet.ts';
import * as icmp from '../wire/header/icmp.ts';
import * as icmpv6 from '../wire/header/icmpv6.ts';
import * as ipv4 from '../wire/header/ipv4.ts';
import * as ipv6 from '../wire/header/ipv6.ts';
import * as sctp from '../wire/header/sctp.ts';
import * as tcp from '../wire/header/tcp.ts';
import * as udp from '../wire/header/udp.ts';
import { EtherType, Protocol } from '../wire/protocol.ts';
import type { Packet } from './packet.ts';

/** Make a packet of a frame. Nothing is parsed yet: call `parseFrame`. */
export function newPacket(options: {
  readonly frame: number;
  readonly bytes: Uint8Array;
  /** Length on the wire; defaults to `bytes.length`. */
  readonly wireLength?: number;
  readonly checksumOffloaded?: boolean;
}): Packet {
  return {
    frame: options.frame,
    bytes: options.bytes,
    wireLength: options.wireLength ?? options.bytes.length,
    checksumOffloaded: options.checksumOffloaded ?? false,
    etherType: 0,
    vlanTags: [],
    family: 0,
    l3: 0,
    l4: -1,
    end: 0,
    protocol: 0,
    src: ANY4,
    dst: ANY4,
    fragmentOffset: 0,
    moreFragments: false,
    fragmentPieces: null,
    inDevice: '',
    outDevice: '',
    physIn: '',
    physOut: '',
    mark: 0,
    markOrigins: null,
    ctState: 'none',
    connection: null,
    ctDirection: 'original',
    virtualServed: false,
    ctTemplate: null,
  };
}

/**
 * Copy a packet, bytes too, as `skb_copy` does for a flood: mark and connection stay attached, and
 * the mark's origins are copied.
 */
export function clonePacket(packet: Packet): Packet {
  return {
    ...packet,
    bytes: packet.bytes.slice(),
    markOrigins: packet.markOrigins === null ? null : new Map(packet.markOrigins),
  };
}

/**
 * Fill the header fields from `packet.bytes`.
 *
 * @returns null, or why the host that gets the frame would drop it, or `headerCut`. A frame that is
 * neither IP nor ARP is no fault: `family` is 0 and `etherType` says what it is.
 */
export function parseFrame(packet: Packet): HeaderFault | null {
  const b = packet.bytes;
  packet.family = 0;
  packet.l4 = -1;
  packet.protocol = 0;
  packet.fragmentOffset = 0;
  packet.moreFragments = false;
  const fault = ethernet.check(b, packet.wireLength);
  if (fault !== null) return fault;
  packet.etherType = ethernet.etherType(b);
  packet.vlanTags = ethernet.tags(b);
  packet.l3 = ethernet.payloadOffset(b);
  packet.end = packet.wireLength;
  if (packet.etherType === EtherType.ipv4) return parseIpv4(packet);
  if (packet.etherType === EtherType.ipv6) return parseIpv6(packet);
  if (packet.etherType === EtherType.arp) return arp.check(b, packet.l3, packet.wireLength);
  return null;
}

function parseIpv4(packet: Packet): HeaderFault | null {
  const { bytes: b, l3 } = packet;
  const fault = ipv4.check(b, l3, packet.wireLength);
  if (fault !== null) return fault;
  packet.family = 4;
  packet.end = l3 + ipv4.totalLength(b, l3);
  packet.protocol = ipv4.protocol(b, l3);
  packet.src = ipv4.src(b, l3);
  packet.dst = ipv4.dst(b, l3);
  packet.fragmentOffset = ipv4.fragmentOffset(b, l3);
  packet.moreFragments = ipv4.moreFragments(b, l3);
  setTransport(packet, l3 + ipv4.headerLength(b, l3));
  return null;
}

function parseIpv6(packet: Packet): HeaderFault | null {
  const { bytes: b, l3 } = packet;
  const fault = ipv6.check(b, l3, packet.wireLength);
  if (fault !== null) return fault;
  packet.family = 6;
  packet.end = l3 + ipv6.HEADER_LENGTH + ipv6.payloadLength(b, l3);
  packet.src = ipv6.src(b, l3);
  packet.dst = ipv6.dst(b, l3);
  const found = ipv6.findTransport(b, l3, packet.end);
  packet.protocol = found.protocol;
  packet.fragmentOffset = found.fragmentOffset;
  packet.moreFragments = found.moreFragments;
  setTransport(packet, found.offset);
  return null;
}

function setTransport(packet: Packet, at: number): void {
  if (at < 0 || packet.fragmentOffset !== 0) return;
  const { bytes, end, protocol, family } = packet;
  packet.l4 = checkTransport(bytes, at, end, protocol, family) === null ? at : -1;
}

/**
 * Check that the header which matches on `protocol` look at can be read at `at` (the length that
 * xt_tcpudp, xt_sctp and the ICMP matches ask of `skb_header_pointer`). Other protocols have none.
 */
export function checkTransport(
  b: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  family: 4 | 6 | 0,
): HeaderFault | null {
  if (protocol === Protocol.tcp) return tcp.check(b, at, end);
  if (protocol === Protocol.udp || protocol === Protocol.udplite) return udp.check(b, at, end);
  if (protocol === Protocol.sctp) return sctp.check(b, at, end);
  if (protocol === Protocol.icmp && family === 4) return icmp.check(b, at, end);
  if (protocol === Protocol.icmpv6 && family === 6) return icmpv6.check(b, at, end);
  return null;
}

/**
 * Why `l4` is -1 although the packet is whole or a first fragment: the header is too short on the
 * wire (rules that need it drop the packet, `hotdrop`), or cut by the capture (no verdict can be
 * given). Null when `l4` can be read and for later fragments.
 */
export function transportFault(packet: Packet): HeaderFault | null {
  if (packet.family === 0 || packet.l4 >= 0 || packet.fragmentOffset !== 0) return null;
  const at = transportOffset(packet);
  if (typeof at === 'string') return at;
  return checkTransport(packet.bytes, at, packet.end, packet.protocol, packet.family);
}

/**
 * Where the payload of the IP header and its extensions starts, fragment or not, or the fault of
 * the extension chain. Precondition: `parseFrame` gave null and `family` is not 0.
 */
export function transportOffset(packet: Packet): number | HeaderFault {
  const { bytes: b, l3 } = packet;
  if (packet.family === 4) return l3 + ipv4.headerLength(b, l3);
  const found = ipv6.findTransport(b, l3, packet.end);
  return found.fault ?? found.offset;
}

/** Whether the protocol's header starts with two 16-bit ports. */
export function hasPorts(protocol: number): boolean {
  return (
    protocol === Protocol.tcp ||
    protocol === Protocol.udp ||
    protocol === Protocol.sctp ||
    protocol === Protocol.udplite ||
    protocol === Protocol.dccp
  );
}

/** Source port; -1 when the packet has none to read. */
export function sport(packet: Packet): number {
  return portAt(packet, 0);
}

/** Destination port; -1 when the packet has none to read. */
export function dport(packet: Packet): number {
  return portAt(packet, 2);
}

function portAt(packet: Packet, field: number): number {
  const at = packet.l4 + field;
  if (packet.l4 < 0 || !hasPorts(packet.protocol) || at + 2 > packet.bytes.length) return -1;
  return u16(packet.bytes, at);
}

/** Identifier of an ICMP or ICMPv6 query; -1 for every other packet. */
export function icmpId(packet: Packet): number {
  if (packet.l4 < 0) return -1;
  if (packet.family === 4 && packet.protocol === Protocol.icmp) {
    return icmp.isQuery(icmp.type(packet.bytes, packet.l4)) ? icmp.id(packet.bytes, packet.l4) : -1;
  }
  if (packet.family === 6 && packet.protocol === Protocol.icmpv6) {
    const type = icmpv6.type(packet.bytes, packet.l4);
    return icmpv6.isQuery(type) ? icmpv6.id(packet.bytes, packet.l4) : -1;
  }
  return -1;
}

/** Whether the packet is a fragment, first or later. */
export function isFragment(packet: Packet): boolean {
  return packet.fragmentOffset !== 0 || packet.moreFragments;
}

/** The IP packet as it would stand on the wire, without link header and padding; may be cut. */
export function ipBytes(packet: Packet): Uint8Array {
  return packet.bytes.subarray(packet.l3, Math.min(packet.end, packet.bytes.length));
}

/** Put an IP packet into an untagged Ethernet frame; the type follows its version. */
export function buildFrame(
  ip: Uint8Array,
  macs: { readonly source: string; readonly destination: string },
): Uint8Array {
  const etherType = (ip[0] ?? 0) >>> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4;
  return ethernet.emit({ ...macs, tags: [], etherType }, ip);
}

/**
 * Give the packet a new, untagged Ethernet header for its next link, and cut off link padding.
 * Header offsets are moved along, so nothing is parsed again. Precondition: `family` is not 0.
 */
export function rewriteEthernet(
  packet: Packet,
  macs: { readonly source: string; readonly destination: string },
): void {
  const captured = Math.min(packet.end, packet.bytes.length);
  const payload = packet.bytes.subarray(packet.l3, captured);
  const shift = ethernet.HEADER_LENGTH - packet.l3;
  packet.bytes = ethernet.emit({ ...macs, tags: [], etherType: packet.etherType }, payload);
  packet.wireLength = packet.end + shift;
  packet.l3 += shift;
  if (packet.l4 >= 0) packet.l4 += shift;
  packet.end += shift;
  packet.vlanTags = [];
}
