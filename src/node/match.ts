/**
 * The matches of rules: what each xt_* module asks of a packet.
 *
 * A match can answer more than yes and no: a header that is truly too short makes the kernel drop
 * the packet on the spot (`hotdrop`); one that the capture cut, or a question that no packet
 * answers, leaves the rule open (`cut`, `unanswerable`), and so does one about a part of the host
 * that nobody described (`missing`).
 *
 * Source: net/ipv4/netfilter/ip_tables.c `ip_packet_match`, net/ipv6/netfilter/ip6_tables.c
 * `ip6_packet_match`, net/netfilter/xt_*.c as named beside each match.
 * @module
 */
import { unreachable } from '../diagnostic/diagnostic.ts';
import { isAssumedDevice } from '../image/gaps.ts';
import { PORT_CUT, type SetView } from '../image/ip-set.ts';
import type { IpMatch, Match, Negatable } from '../netfilter/match.ts';
import type { Packet } from '../packet/packet.ts';
import { transportOffset } from '../packet/parse.ts';
import { contains, type Family } from '../wire/address.ts';
import { u8, u16 } from '../wire/bytes.ts';
import { Protocol } from '../wire/protocol.ts';
import { connmarkHolds, conntrackDetailHolds, statesHold } from './match-conntrack.ts';
import { isOpen } from './match-gap.ts';
import {
  classHolds,
  ipRangeHolds,
  lengthHolds,
  matchMac,
  matchOwner,
  packetType,
  ttlHolds,
} from './match-header.ts';
import { matchAddressType, matchReversePath } from './match-route.ts';
import {
  limitHolds,
  type MatchPlace,
  nthHolds,
  randomHolds,
  recentHolds,
} from './match-stateful.ts';
import {
  matchIcmp,
  matchMultiport,
  matchPorts,
  matchTcp,
  transportHeader,
} from './match-transport.ts';
import type { WalkContext } from './walk.ts';

export type Answer = 'hit' | 'miss' | 'hotdrop' | 'cut' | 'unanswerable' | 'missing';

export function answer(holds: boolean): Answer {
  return holds ? 'hit' : 'miss';
}

export type HeadPart =
  | 'source'
  | 'destination'
  | 'inInterface'
  | 'outInterface'
  | 'protocol'
  | 'fragment';

/**
 * Can the packet's protocol not be told? Only IPv6 hides it behind extension headers: a broken one
 * makes a rule with `-p` drop the packet (ip6_packet_match), a cut one leaves it open.
 */
export function protocolFault(ip: IpMatch, packet: Packet): 'hotdrop' | 'cut' | null {
  if (packet.family !== 6 || !ip.protocol || ip.protocol.value === 0) return null;
  const at = transportOffset(packet);
  if (typeof at === 'number') return null;
  return at === 'headerCut' ? 'cut' : 'hotdrop';
}

/**
 * The first part of a rule's head that does not hold, or null; in the kernel's order. The protocol
 * is asked only where it is known (`protocolFault`).
 */
export function missedHead(ip: IpMatch, packet: Packet): HeadPart | null {
  if (ip.source && contains(ip.source.value, packet.src) === ip.source.negate) return 'source';
  if (ip.destination && contains(ip.destination.value, packet.dst) === ip.destination.negate) {
    return 'destination';
  }
  if (!interfaceHolds(ip.inInterface, packet.inDevice)) return 'inInterface';
  if (!interfaceHolds(ip.outInterface, packet.outDevice)) return 'outInterface';
  const { protocol, fragment } = ip;
  if (protocol && protocol.value !== 0 && protocolFault(ip, packet) === null) {
    if ((packet.protocol === protocol.value) === protocol.negate) return 'protocol';
  }
  if (fragment && packet.fragmentOffset > 0 === fragment.negate) return 'fragment';
  return null;
}

/** Compare a device with a name, or with the beginning of one when it ends in `+`. */
export function nameMatches(pattern: string, name: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

function interfaceHolds(want: Negatable<string> | undefined, name: string): boolean {
  if (want === undefined || asksUnknownDevice(want, name)) return true;
  return nameMatches(want.value, name) !== want.negate;
}

/** Does the name decide, and nobody knows it? A device that packets cross is never loopback. */
function asksUnknownDevice(want: Negatable<string> | undefined, name: string): boolean {
  return want !== undefined && isAssumedDevice(name) && want.value !== '+' && want.value !== 'lo';
}

/** The part of the head that asks for the name of a device that nobody listed, or null. */
export function openDevice(ip: IpMatch, packet: Packet): 'inInterface' | 'outInterface' | null {
  if (asksUnknownDevice(ip.inInterface, packet.inDevice)) return 'inInterface';
  return asksUnknownDevice(ip.outInterface, packet.outDevice) ? 'outInterface' : null;
}

/** Ask one match; `place` is where its memory is kept. */
export function ask(ctx: WalkContext, place: MatchPlace, packet: Packet): Answer {
  const linked = place.rule.matches[place.index];
  if (linked === undefined) return 'hit';
  const { match, set } = linked;
  switch (match.kind) {
    case 'tcp':
      return matchTcp(match, packet);
    case 'udp':
    case 'udplite':
      return matchPorts(match, packet, 8);
    case 'sctp':
    case 'dccp':
      return matchPorts(match, packet, 12);
    case 'icmp':
    case 'icmp6':
      return matchIcmp(match, packet);
    case 'multiport':
      return matchMultiport(match, packet);
    case 'set': {
      const found = set === null ? false : set.test(new PacketSetView(packet), match.directions);
      return typeof found === 'string' ? found : answer(found !== match.negate);
    }
    case 'mac':
      return matchMac(ctx, match, packet);
    case 'owner':
      return matchOwner(match, packet);
    case 'addrtype':
    case 'rpfilter':
    case 'physdev':
      if (isOpen(ctx, match, packet)) return 'missing';
      return answer(holds(ctx, match, place, packet));
    case 'hashlimit':
    case 'connlimit':
      return 'unanswerable';
    default:
      return answer(holds(ctx, match, place, packet));
  }
}

type PlainMatch = Exclude<
  Match,
  {
    kind:
      | 'tcp'
      | 'udp'
      | 'udplite'
      | 'sctp'
      | 'dccp'
      | 'icmp'
      | 'icmp6'
      | 'multiport'
      | 'set'
      | 'owner'
      | 'mac'
      | 'hashlimit'
      | 'connlimit';
  }
>;

/** The matches that every packet answers with yes or no. */
function holds(ctx: WalkContext, match: PlainMatch, place: MatchPlace, packet: Packet): boolean {
  switch (match.kind) {
    case 'conntrack':
    case 'state':
      return statesHold(ctx, match.states, packet) !== match.negate;
    case 'conntrackDetail':
      return conntrackDetailHolds(ctx, match, packet);
    case 'connmark':
      return connmarkHolds(ctx, match, packet);
    case 'mark':
      return ((packet.mark & match.mask) >>> 0 === match.value >>> 0) !== match.negate;
    case 'physdev':
      return physdevHolds(match, packet);
    case 'addrtype':
      return matchAddressType(ctx, match, packet);
    case 'rpfilter':
      return matchReversePath(ctx, match, packet);
    case 'limit':
      return limitHolds(ctx, match, place);
    case 'random':
      return randomHolds(ctx, match, place, packet);
    case 'nth':
      return nthHolds(ctx, match, place);
    case 'recent':
      return recentHolds(ctx, match, packet);
    case 'length':
      return lengthHolds(match, packet);
    case 'ttl':
    case 'hl':
      return ttlHolds(match, packet);
    case 'pkttype':
      return (packetType(ctx, packet) === match.type) !== match.negate;
    case 'iprange':
      return ipRangeHolds(match, packet);
    case 'dscp':
    case 'tos':
      return classHolds(match, packet);
    case 'helper':
      // No connection here was ever expected by a helper (xt_helper.c `helper_mt`: no master).
      return match.negate;
    case 'nfacct':
    case 'comment':
      return true;
    default:
      return unreachable(match);
  }
}

/**
 * xt_physdev.c `physdev_mt`: bridge ports exist only while br_netfilter holds the packet; for any
 * other packet every question is answered as if nothing were there. «Bridged» means that the
 * output port is known. A known packet without an output port never passes a test of
 * `--physdev-out`, negated or not, and one without an input port passes any of `--physdev-in`.
 */
function physdevHolds(match: Extract<Match, { kind: 'physdev' }>, packet: Packet): boolean {
  const { physIn, physOut } = packet;
  const { isBridged, isIn, isOut } = match;
  if (physIn === '' && physOut === '') {
    const asked = [isBridged, isIn, isOut, match.physIn, match.physOut];
    return asked.every((part) => part === undefined || part.negate);
  }
  if (isBridged && (physOut !== '') === isBridged.negate) return false;
  if (isIn && (physIn !== '') === isIn.negate) return false;
  if (isOut && (physOut !== '') === isOut.negate) return false;
  if (match.physIn && physIn !== '' && !interfaceHolds(match.physIn, physIn)) return false;
  if (!match.physOut) return true;
  return physOut !== '' && interfaceHolds(match.physOut, physOut);
}

/**
 * A packet as sets see it (ip_set_getport.c): a later IPv4 fragment has no port where its protocol
 * has ports, and port 0 where it has none (ICMPv6 over IPv4 counts as such); a later IPv6 fragment
 * never has one.
 */
class PacketSetView implements SetView {
  readonly #packet: Packet;

  constructor(packet: Packet) {
    this.#packet = packet;
  }

  get family(): Family {
    return this.#packet.family === 6 ? 6 : 4;
  }

  get src() {
    return this.#packet.src;
  }

  get dst() {
    return this.#packet.dst;
  }

  get protocol() {
    return this.#packet.protocol;
  }

  setPort(direction: 'src' | 'dst'): number {
    const packet = this.#packet;
    if (packet.family === 6 ? packet.fragmentOffset > 0 : packet.protocol === 0) return -1;
    const length = SET_HEADER_LENGTH.get(packet.protocol);
    if (length === undefined) return 0;
    if (packet.fragmentOffset > 0) return packet.protocol === Protocol.icmpv6 ? 0 : -1;
    const at = transportHeader(packet, length);
    if (at === 'cut') return PORT_CUT;
    if (typeof at !== 'number') return -1;
    const isIcmp = packet.protocol === Protocol.icmp || packet.protocol === Protocol.icmpv6;
    if (isIcmp) return (u8(packet.bytes, at) << 8) | u8(packet.bytes, at + 1);
    return u16(packet.bytes, direction === 'src' ? at : at + 2);
  }
}

/** How much of the header ip_set_getport.c wants to see before it answers. */
const SET_HEADER_LENGTH: ReadonlyMap<number, number> = new Map([
  [Protocol.tcp, 20],
  [Protocol.sctp, 12],
  [Protocol.udp, 8],
  [Protocol.udplite, 8],
  [Protocol.icmp, 8],
  [Protocol.icmpv6, 8],
]);
