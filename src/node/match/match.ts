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
import { unreachable } from '../../diagnostic/diagnostic.ts';
import { isAssumedDevice } from '../../image/gaps.ts';
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import type { IpMatch, Match, Negatable } from '../../netfilter/match.ts';
import type { Packet } from '../../packet/packet.ts';
import { transportOffset } from '../../packet/parse.ts';
import { type Address, contains } from '../../wire/address/address.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { type Answer, answer } from './answer.ts';
import { connmarkHolds, conntrackDetailHolds, statesHold } from './host/conntrack.ts';
import { isOpen } from './host/gap.ts';
import { matchAddressType, matchReversePath } from './host/route.ts';
import { PacketSetView, setMemory } from './host/set.ts';
import { matchCgroup, matchOwner, matchSocket } from './host/socket.ts';
import { matchTime } from './host/time.ts';
import { virtualHolds } from './host/virtual.ts';
import { matchConnbytes, matchConnlimit, quotaHolds } from './memory/connlimit.ts';
import { matchHashlimit } from './memory/hashlimit.ts';
import { recentHolds } from './memory/recent.ts';
import { matchLimit, nthHolds, randomHolds } from './memory/stateful.ts';
import { matchDccp, matchSctp } from './packet/chunks.ts';
import {
  classHolds,
  ipRangeHolds,
  lengthHolds,
  matchMac,
  packetType,
  ttlHolds,
} from './packet/header.ts';
import { matchString, matchU32 } from './packet/payload.ts';
import { matchIcmp, matchMultiport, matchPorts, matchTcp } from './packet/transport.ts';
import type { MatchPlace } from './place.ts';

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
  if (ip.source && isIn(ip.source.value, packet.src) === ip.source.negate) return 'source';
  if (ip.destination && isIn(ip.destination.value, packet.dst) === ip.destination.negate) {
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

function isIn(net: HeadNetwork, address: Address): boolean {
  const { mask } = net;
  if (mask === undefined) return contains(net, address);
  const same = (at: 'w0' | 'w1' | 'w2' | 'w3') =>
    (address[at] & mask[at]) >>> 0 === (net.address[at] & mask[at]) >>> 0;
  if (address.family !== mask.family) return false;
  return same('w3') && (address.family === 4 || (same('w0') && same('w1') && same('w2')));
}

/** Compare a device with a name, or with the beginning of one when it ends in `+`. */
export function nameMatches(pattern: string, name: string): boolean {
  if (pattern === name) return true;
  return pattern.endsWith('+') && name.startsWith(pattern.slice(0, -1));
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
      return matchSctp(match, packet);
    case 'dccp':
      return matchDccp(match, packet);
    case 'icmp':
    case 'icmp6':
      return matchIcmp(match, packet);
    case 'multiport':
      return matchMultiport(match, packet);
    case 'set': {
      const found =
        set === null
          ? false
          : set.test(new PacketSetView(packet), match.directions, setMemory(ctx));
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
      return matchHashlimit(ctx, match, packet);
    case 'connlimit':
      return matchConnlimit(ctx, match, place, packet);
    case 'limit':
      return matchLimit(ctx, match, place);
    case 'connbytes':
      return matchConnbytes(match, packet);
    case 'u32':
      return matchU32(match, packet);
    case 'string':
      return matchString(match, packet);
    case 'time':
      return matchTime(ctx, match);
    case 'socket':
      return matchSocket(packet);
    case 'cgroup':
      return matchCgroup(match, packet);
    case 'ipvs':
      return answer(virtualHolds(ctx, match, packet));
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
      | 'connlimit'
      | 'limit'
      | 'connbytes'
      | 'u32'
      | 'string'
      | 'time'
      | 'socket'
      | 'cgroup'
      | 'ipvs';
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
    case 'quota':
      return quotaHolds(ctx, match, place, packet);
    case 'policy':
      // No packet here was ever, or will be, protected by IPsec (xt_policy.c `policy_mt`).
      return match.policy === 'none';
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
