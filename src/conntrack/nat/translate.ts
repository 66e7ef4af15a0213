/**
 * Rewriting a packet as its connection's translation says, checksums included.
 *
 * At a hook that can change the destination, packets of the original direction get the reply's
 * source as destination, and answers get back what the first packet asked for; likewise for
 * sources. An ICMP error is changed inside and outside, so that it quotes what its receiver once
 * sent.
 *
 * Kernel: net/netfilter/nf_nat_core.c `nf_nat_packet`, net/netfilter/nf_nat_proto.c
 * `nf_nat_manip_pkt`, `l4proto_manip_pkt`, `nf_nat_icmp_reply_translation`, Linux 6.18.
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { parseFrame } from '../../packet/parse.ts';
import { fillSegment, verifyChecksum } from '../../packet/transport-checksum.ts';
import { type Address, readIpv4, readIpv6, writeAddress } from '../../wire/address/address.ts';
import { setU16, u8, u16 } from '../../wire/bytes.ts';
import { sumAddress, updatePartial, updateSum } from '../../wire/checksum.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as sctp from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Connection } from '../connection.ts';
import { pullPieces } from '../fragment/refragment.ts';
import { quotedTransport } from '../protocol/icmp.ts';
import { connectionOf } from '../table.ts';
import { invertTuple, type Tuple, tupleHasPorts } from '../tuple.ts';
import type { Manip } from './nat.ts';

/** Which end a hook of the nat table can change (`HOOK2MANIP`). */
export function manipOfHook(hook: 'prerouting' | 'input' | 'output' | 'postrouting'): Manip {
  return hook === 'postrouting' || hook === 'input' ? 'source' : 'destination';
}

/**
 * Rewrite the packet at a hook, if its connection is translated. Header fields of the packet
 * follow.
 *
 * @returns null, or why the packet can not be translated
 * Precondition: `track` ran, and for the first packet the translation is decided (nat.ts).
 */
export function translatePacket(packet: Packet, manip: Manip): DropReason | null {
  const connection = connectionOf(packet);
  if (connection === null || packet.family === 0) return null;
  const isError = packet.ctState === 'related' && isIcmp(packet);
  // Errors are summed before anybody asks whether there is something to translate.
  const isBroken = isError && !packet.checksumOffloaded && verifyChecksum(packet) === 'wrong';
  if (isBroken) return 'ctInvalid';
  if (isError && isRedirect(packet) && !mayRedirect(connection)) return 'ctInvalid';
  if (!isTranslated(connection, manip, packet.ctDirection)) return null;
  // What goes the other way, turned round, is what this packet shall look like.
  const otherWay = packet.ctDirection === 'original' ? connection.reply : connection.original;
  const target = invertTuple(otherWay);
  if (target === null) return null;
  const isShort = packet.protocol === Protocol.gre && packet.end - packet.l4 < LEAST_QUOTE;
  if (isShort) return 'greTruncated';
  if (isError) return translateError(packet, otherWay, target, manip);
  rewrite(packet, { l3: packet.l3, l4: packet.l4, protocol: packet.protocol }, target, manip);
  parseFrame(packet);
  return null;
}

function isTranslated(
  connection: Connection,
  manip: Manip,
  direction: 'original' | 'reply',
): boolean {
  const ofSource = (manip === 'source') === (direction === 'original');
  return ofSource ? connection.sourceNat : connection.destinationNat;
}

function isIcmp(packet: Packet): boolean {
  return packet.protocol === (packet.family === 4 ? Protocol.icmp : Protocol.icmpv6);
}

function isRedirect(packet: Packet): boolean {
  const type = packet.family === 4 ? icmp.IcmpType.redirect : icmpv6.Icmpv6Type.redirect;
  return icmp.type(packet.bytes, packet.l4) === type;
}

/** A redirect about a connection that is, or may yet be, translated would mislead its sender. */
function mayRedirect(connection: Connection): boolean {
  const decided = connection.sourceNatDone && connection.destinationNatDone;
  return decided && !connection.sourceNat && !connection.destinationNat;
}

/** Bytes of a transport header that must be there to be rewritten (`l4proto_manip_pkt`). */
const LEAST_QUOTE = 8;

/** Rewrite the quoted packet the other way round, then the error itself. */
function translateError(
  packet: Packet,
  otherWay: Tuple,
  target: Tuple,
  manip: Manip,
): DropReason | null {
  if (packet.family === 0) return null;
  const { bytes, l4 } = packet;
  const innerL3 = l4 + icmp.HEADER_LENGTH;
  const inner = quotedTransport(bytes, innerL3, packet.end, packet.family);
  if (inner === null || inner === 'headerCut') return 'icmpTruncated';
  const isPlain = inner.protocol === Protocol.gre || inner.protocol === packet.protocol;
  const isKnown = isPlain || tupleHasPorts(inner.protocol);
  if (isKnown && packet.end - inner.off < LEAST_QUOTE) return 'icmpTruncated';
  const opposite = manip === 'source' ? 'destination' : 'source';
  const place = { l3: innerL3, l4: inner.off, protocol: inner.protocol };
  rewrite(packet, place, otherWay, opposite);
  rewrite(packet, { l3: packet.l3, l4: -1, protocol: packet.protocol }, target, manip);
  parseFrame(packet);
  const { src, dst, end, protocol } = packet;
  if (end <= bytes.length) fillSegment({ bytes, off: l4, end, protocol, src, dst });
  return null;
}

/** An IP header and its transport header somewhere in a packet; `l4` -1 leaves the latter alone. */
interface Place {
  readonly l3: number;
  readonly l4: number;
  readonly protocol: number;
}

/** Write one end of a packet, ports and checksums included, whatever its connection says. */
export function rewriteEnds(packet: Packet, target: Tuple, manip: Manip): void {
  rewrite(packet, { l3: packet.l3, l4: packet.l4, protocol: packet.protocol }, target, manip);
  parseFrame(packet);
}

function rewrite(packet: Packet, place: Place, target: Tuple, manip: Manip): void {
  const b = packet.bytes;
  const atSource = manip === 'source';
  const address = atSource ? target.src : target.dst;
  const field = addressField(packet.family, atSource);
  const old = packet.family === 4 ? readIpv4(b, place.l3 + field) : readIpv6(b, place.l3 + field);
  if (place.l4 >= 0) rewriteTransport(packet, place, target, manip, { from: old, to: address });
  if (packet.family === 4) ipv4.setAddress(b, place.l3, field, address);
  else writeAddress(b, place.l3 + field, address);
}

function addressField(family: 4 | 6 | 0, atSource: boolean): number {
  if (family === 4) return atSource ? ipv4.SOURCE : ipv4.DESTINATION;
  return atSource ? ipv6.SOURCE : ipv6.DESTINATION;
}

interface AddressChange {
  readonly from: Address;
  readonly to: Address;
}

/**
 * Change ports or identifier and the checksum. A quote may end before its checksum field; the ports
 * of its first eight bytes are changed all the same.
 */
function rewriteTransport(
  packet: Packet,
  place: Place,
  target: Tuple,
  manip: Manip,
  change: AddressChange,
): void {
  const { bytes: b, checksumOffloaded } = packet;
  const { l4, protocol } = place;
  const end = Math.min(packet.end, b.length);
  const quoted = place.l3 !== packet.l3;
  pullPieces(packet, l4 + writtenLength(protocol, packet.end - l4));
  const number = numberField(b, place, packet.family, manip);
  if (number >= 0 && number + 2 > end) return;
  const from = number < 0 ? 0 : u16(b, number);
  const to = number < 0 ? 0 : newNumber(target, protocol, packet.family, manip);
  if (number >= 0) setU16(b, number, to);
  if (protocol === Protocol.sctp) {
    // A quote that has the field is summed as far as it goes.
    const hasField = !quoted || packet.end - l4 >= sctp.HEADER_LENGTH;
    if (hasField && packet.end <= b.length) sctp.fillChecksum(b, l4, packet.end);
    return;
  }
  const field = checksumField(protocol, packet.family);
  if (field < 0 || l4 + field + 2 > end) return;
  const old = u16(b, l4 + field);
  // ICMP for IPv4 has no pseudo header: addresses do not count.
  const pseudo = !(protocol === Protocol.icmp && packet.family === 4);
  const before = pseudo ? sumAddress(change.from) : 0;
  const after = pseudo ? sumAddress(change.to) : 0;
  if (checksumOffloaded && !quoted) {
    setU16(b, l4 + field, updatePartial(old, before, after));
    return;
  }
  const isUdp = protocol === Protocol.udp;
  if (isUdp && old === 0) return;
  const sum = updateSum(old, before + from, after + to);
  setU16(b, l4 + field, isUdp && sum === 0 ? 0xffff : sum);
}

/** How much of a transport header is made writable (`tcp_manip_pkt` and its like). */
function writtenLength(protocol: number, room: number): number {
  const whole = protocol === Protocol.tcp ? tcp.MIN_HEADER_LENGTH : sctp.HEADER_LENGTH;
  const isLong = protocol === Protocol.tcp || protocol === Protocol.sctp;
  return isLong && room >= whole ? whole : LEAST_QUOTE;
}

/** Offset of the port or identifier to change, or -1. */
function numberField(b: Uint8Array, place: Place, family: 4 | 6 | 0, manip: Manip): number {
  const { l4, protocol } = place;
  if (tupleHasPorts(protocol)) return l4 + (manip === 'source' ? 0 : 2);
  if (l4 >= b.length) return -1;
  const type = u8(b, l4);
  if (protocol === Protocol.icmp && family === 4) return icmp.isQuery(type) ? l4 + 4 : -1;
  if (protocol === Protocol.icmpv6 && family === 6) return icmpv6.isQuery(type) ? l4 + 4 : -1;
  return -1;
}

function newNumber(target: Tuple, protocol: number, family: 4 | 6 | 0, manip: Manip): number {
  const isQuery = protocol === (family === 4 ? Protocol.icmp : Protocol.icmpv6);
  return manip === 'source' || isQuery ? target.sport : target.dport;
}

function checksumField(protocol: number, family: 4 | 6 | 0): number {
  if (protocol === Protocol.tcp) return tcp.CHECKSUM;
  if (protocol === Protocol.udp || protocol === Protocol.udplite) return udp.CHECKSUM;
  if (protocol === Protocol.icmp && family === 4) return icmp.CHECKSUM;
  return protocol === Protocol.icmpv6 && family === 6 ? icmpv6.CHECKSUM : -1;
}
