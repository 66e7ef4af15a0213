/**
 * Matches on the network and link headers: length, TTL, traffic class, address ranges, MAC, kind of
 * frame.
 *
 * Source: net/netfilter/xt_length.c, xt_hl.c, xt_dscp.c, xt_iprange.c, xt_mac.c, xt_pkttype.c.
 * @module
 */
import {
  type AddressRange,
  type Match,
  type Negatable,
  type PacketType,
  REDACTED_MAC,
} from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import type { Address } from '../../../wire/address/address.ts';
import { isAssumedMac } from '../../../wire/address/assumed-mac.ts';
import { BROADCAST_MAC, ZERO_MAC } from '../../../wire/address/mac.ts';
import { u8 } from '../../../wire/bytes.ts';
import * as ethernet from '../../../wire/header/ethernet.ts';
import * as ipv4 from '../../../wire/header/ipv4.ts';
import * as ipv6 from '../../../wire/header/ipv6.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import type { Answer } from '../answer.ts';

type MatchOf<K extends Match['kind']> = Extract<Match, { kind: K }>;

export function lengthHolds(match: MatchOf<'length'>, packet: Packet): boolean {
  const length = packet.end - packet.l3;
  return (length >= match.range.low && length <= match.range.high) !== match.negate;
}

/** TTL or hop limit. */
export function packetTtl(packet: Packet): number {
  const { bytes, l3 } = packet;
  return packet.family === 4 ? ipv4.ttl(bytes, l3) : ipv6.hopLimit(bytes, l3);
}

/** TOS or traffic class. */
export function packetClass(packet: Packet): number {
  const { bytes, l3 } = packet;
  return packet.family === 4 ? ipv4.tos(bytes, l3) : ipv6.trafficClass(bytes, l3);
}

export function ttlHolds(match: MatchOf<'ttl' | 'hl'>, packet: Packet): boolean {
  const ttl = packetTtl(packet);
  switch (match.comparison) {
    case 'eq':
      return (ttl === match.value) !== match.negate;
    case 'lt':
      return ttl < match.value;
    case 'gt':
      return ttl > match.value;
  }
}

export function classHolds(match: MatchOf<'dscp' | 'tos'>, packet: Packet): boolean {
  const value = packetClass(packet);
  const same =
    match.kind === 'dscp' ? value >>> 2 === match.value : (value & match.mask) === match.value;
  return same !== match.negate;
}

export function ipRangeHolds(match: MatchOf<'iprange'>, packet: Packet): boolean {
  const holds = (want: Negatable<AddressRange> | undefined, address: Address) =>
    want === undefined || isWithin(want.value, address) !== want.negate;
  return holds(match.source, packet.src) && holds(match.destination, packet.dst);
}

function isWithin({ low, high }: AddressRange, address: Address): boolean {
  return orderOf(low, address) <= 0 && orderOf(address, high) <= 0;
}

function orderOf(a: Address, b: Address): number {
  return a.w0 - b.w0 || a.w1 - b.w1 || a.w2 - b.w2 || a.w3 - b.w3;
}

/** Does the packet still have the Ethernet header that it came with? */
function hasLinkHeader(ctx: WalkContext, packet: Packet): boolean {
  const device = ctx.image.interfaces.get(packet.inDevice);
  return device !== undefined && device.kind !== 'loopback' && packet.l3 >= ethernet.HEADER_LENGTH;
}

/**
 * A packet without Ethernet header never matches, negated or not. Nobody knows the sender of a
 * frame that an injection made around an IP packet (its source is zero), nor that of somebody whose
 * address was made up.
 */
export function matchMac(ctx: WalkContext, match: MatchOf<'mac'>, packet: Packet): Answer {
  if (!hasLinkHeader(ctx, packet)) return 'miss';
  const source = ethernet.source(packet.bytes);
  const isKnown = source !== ZERO_MAC && !isAssumedMac(source);
  if (!isKnown || match.address === REDACTED_MAC) return 'unanswerable';
  return (source === match.address) !== match.negate ? 'hit' : 'miss';
}

/** How the link layer addressed it; packets of the host itself count as unicast. */
export function packetType(ctx: WalkContext, packet: Packet): PacketType {
  if (!hasLinkHeader(ctx, packet)) return 'unicast';
  if ((u8(packet.bytes, 0) & 1) === 0) return 'unicast';
  return ethernet.destination(packet.bytes) === BROADCAST_MAC ? 'broadcast' : 'multicast';
}
