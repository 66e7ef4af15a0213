/**
 * Matches on transport headers: ports, flags, options, ICMP types.
 *
 * Later fragments never match, negated or not; a first fragment too short for the header that the
 * module reads is dropped at once.
 * Source: net/netfilter/xt_tcpudp.c, xt_sctp.c, xt_dccp.c, xt_multiport.c. Where iptables-nft turns
 * port matches into payload expressions, Linux 6.18 reads the data of later fragments as ports
 * (nft_payload.c `nft_payload_fast_eval`): a bug that is not followed, and that cannot show where
 * connection tracking puts fragments together first.
 * @module
 */
import type { Match, Negatable, PortRange } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { transportOffset } from '../../../packet/parse.ts';
import { u8, u16 } from '../../../wire/bytes.ts';
import { type Answer, answer } from '../answer.ts';

/**
 * Where the transport header starts, when `length` bytes of it can be read; else why not: the
 * packet is a later fragment, truly too short, or cut by the capture.
 */
export function transportHeader(
  packet: Packet,
  length: number,
): number | 'fragment' | 'short' | 'cut' {
  if (packet.fragmentOffset > 0) return 'fragment';
  const at = transportOffset(packet);
  if (typeof at === 'string') return at === 'headerCut' ? 'cut' : 'short';
  if (at + length > packet.end) return 'short';
  return at + length > packet.bytes.length ? 'cut' : at;
}

/** What a module answers when it can not read its header. */
export function unreadable(why: 'fragment' | 'short' | 'cut'): Answer {
  if (why === 'fragment') return 'miss';
  return why === 'short' ? 'hotdrop' : 'cut';
}

function inRange(range: PortRange, port: number): boolean {
  return port >= range.low && port <= range.high;
}

function portHolds(want: Negatable<PortRange> | undefined, port: number): boolean {
  return want === undefined || inRange(want.value, port) !== want.negate;
}

type PortsMatch = Extract<Match, { kind: 'udp' | 'sctp' | 'dccp' | 'udplite' }>;

/**
 * The ports of UDP, UDP-Lite, SCTP and DCCP: `length` is how much header the module wants to see.
 */
export function matchPorts(match: PortsMatch, packet: Packet, length: number): Answer {
  const at = transportHeader(packet, length);
  if (typeof at !== 'number') return unreadable(at);
  return answer(
    portHolds(match.sport, u16(packet.bytes, at)) &&
      portHolds(match.dport, u16(packet.bytes, at + 2)),
  );
}

const TCP_HEADER = 20;
/**
 * A second fragment at byte 8 could overwrite TCP flags: xt_tcpudp drops it (RFC 1858), but only
 * over IPv4, because it compares with 1 and ip6_tables counts offsets in bytes.
 */
const EVIL_FRAGMENT_OFFSET = 8;

export function matchTcp(match: Extract<Match, { kind: 'tcp' }>, packet: Packet): Answer {
  if (packet.family === 4 && packet.fragmentOffset === EVIL_FRAGMENT_OFFSET) return 'hotdrop';
  const at = transportHeader(packet, TCP_HEADER);
  if (typeof at !== 'number') return unreadable(at);
  const { bytes } = packet;
  if (!portHolds(match.sport, u16(bytes, at))) return 'miss';
  if (!portHolds(match.dport, u16(bytes, at + 2))) return 'miss';
  const { flags, option } = match;
  if (flags) {
    const on = (u8(bytes, at + 13) & flags.value.mask) === flags.value.set;
    if (on === flags.negate) return 'miss';
  }
  return option ? tcpOption(option, packet, at) : 'hit';
}

function tcpOption(option: Negatable<number>, packet: Packet, at: number): Answer {
  const headerLength = (u8(packet.bytes, at + 12) >>> 4) * 4;
  if (headerLength < TCP_HEADER) return 'hotdrop';
  const whole = transportHeader(packet, headerLength);
  if (typeof whole !== 'number') return unreadable(whole);
  const end = at + headerLength;
  for (let i = at + TCP_HEADER; i < end; ) {
    const kind = u8(packet.bytes, i);
    if (kind === option.value) return answer(!option.negate);
    const length = kind < 2 || i + 1 >= end ? 1 : u8(packet.bytes, i + 1);
    i += length === 0 ? 1 : length;
  }
  return answer(option.negate);
}

const ICMP_HEADER = 8;
const ANY_ICMP_TYPE = 255;

export function matchIcmp(
  match: Extract<Match, { kind: 'icmp' | 'icmp6' }>,
  packet: Packet,
): Answer {
  const at = transportHeader(packet, ICMP_HEADER);
  if (typeof at !== 'number') return unreadable(at);
  const { value, negate } = match.type;
  const any = match.kind === 'icmp' && value.type === ANY_ICMP_TYPE;
  const same =
    u8(packet.bytes, at) === value.type && inRange(value.codes, u8(packet.bytes, at + 1));
  return answer((any || same) !== negate);
}

/** xt_multiport.c reads the two ports only, whatever the protocol. */
export function matchMultiport(
  match: Extract<Match, { kind: 'multiport' }>,
  packet: Packet,
): Answer {
  const at = transportHeader(packet, 4);
  if (typeof at !== 'number') return unreadable(at);
  const sport = u16(packet.bytes, at);
  const dport = u16(packet.bytes, at + 2);
  const found = match.ports.some(
    (range) =>
      (match.which !== 'dports' && inRange(range, sport)) ||
      (match.which !== 'sports' && inRange(range, dport)),
  );
  return answer(found !== match.negate);
}
