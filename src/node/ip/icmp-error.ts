/**
 * The ICMP and ICMPv6 errors that a host makes: when, from which address, quoting how much.
 *
 * Truth: net/ipv4/icmp.c `__icmp_send`, `icmp_glue_bits` (which attaches the connection), net/ipv6/
 * icmp.c `icmp6_send` (Linux 6.18). Not done: rate limits (icmp_ratelimit),
 * icmp_errors_use_inbound_ifaddr; a host does not hear what it sends to everybody (`ip_mc_output`).
 * Our choice: identification 0, flow label 0 (the kernel draws both).
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { RejectWith } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { ipBytes, transportOffset } from '../../packet/parse.ts';
import { fillSegment } from '../../packet/transport-checksum.ts';
import { type Address, ipv4 as ipv4Address } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Passage } from '../passage.ts';
import type { Run } from '../run.ts';
import { echoedOptions, optionTime } from './ipv4-options.ts';
import { isIpv4Multicast, isIpv6Loopback, isIpv6Multicast } from './route-input.ts';

export type ErrorMessage =
  | { readonly kind: 'ttlExpired' | 'noRoute' | 'hostUnreachable' | 'prohibited' }
  | { readonly kind: 'tooBig'; readonly mtu: number }
  /** What is wrong (RFC 4443 section 3.4; IPv4 has no code for it), and where in the packet. */
  | {
      readonly kind: 'parameter';
      readonly code: number;
      readonly pointer: number;
      /** Sent for groups and foreign frames, too (`opt_unrec`). */
      readonly always?: boolean;
    }
  | { readonly kind: 'reject'; readonly with: Exclude<RejectWith, 'tcp-reset'> };

interface Codes {
  readonly type: number;
  readonly code: number;
  readonly rest: number;
}

export const TTL = 64;
/** What goes to a group stays on its link (`mc_ttl`). */
const GROUP_TTL = 1;
const LOOPBACK = ipv4Address(0x7f000001);
/** The whole error is at most this long (RFC 1812 section 4.3.2.3; `room` in `__icmp_send`). */
const MAX_IPV4_ERROR = 576;
const MAX_IPV6_ERROR = 1280;
/** DSCP of the packet kept, precedence raised: `RT_TOS(tos) | IPTOS_PREC_INTERNETCONTROL`. */
const TOS_MASK = 0x1e;
const INTERNET_CONTROL = 0xc0;
const NR_ICMP_TYPES = 18;

const REJECT_CODES: Readonly<Record<Exclude<RejectWith, 'tcp-reset'>, number>> = {
  'icmp-net-unreachable': 0,
  'icmp-host-unreachable': 1,
  'icmp-proto-unreachable': 2,
  'icmp-port-unreachable': 3,
  'icmp-net-prohibited': 9,
  'icmp-host-prohibited': 10,
  'icmp-admin-prohibited': 13,
  'icmp6-no-route': 0,
  'icmp6-adm-prohibited': 1,
  'icmp6-addr-unreachable': 3,
  'icmp6-port-unreachable': 4,
  'icmp6-policy-fail': 5,
  'icmp6-reject-route': 6,
};

/**
 * Answer a packet with an error, when the kernel would: the error is routed and sent by the host.
 */
export function sendIcmpError(run: Run, passage: Passage, message: ErrorMessage): void {
  const { packet } = passage;
  if (packet.family === 0 || passage.local || passage.frameType !== 'host') {
    if (!isBridgedReject(passage, message) && !isAlways(message)) return;
  }
  const ip = packet.family === 4 ? error4(run, passage, message) : error6(passage, message);
  if (ip !== null) run.generate(passage, { kind: 'icmpError', attach: true, ip });
}

function isAlways(message: ErrorMessage): boolean {
  return message.kind === 'parameter' && message.always === true;
}

/**
 * REJECT answers its host's own packets too, and what br_netfilter shows it counts as PACKET_HOST.
 */
function isBridgedReject(passage: Passage, message: ErrorMessage): boolean {
  if (message.kind !== 'reject') return false;
  return passage.local || (passage.bridgeNetfilter !== null && passage.frameType === 'otherHost');
}

function error4(run: Run, passage: Passage, message: ErrorMessage): Uint8Array | null {
  const { packet } = passage;
  const { bytes, l3 } = packet;
  if (packet.fragmentOffset !== 0 || isForGroup4(passage)) return null;
  if (isAboutError(packet)) return null;
  // Output routes lead nobody's packets to the host itself.
  const dst = packet.src.w3 === 0 ? LOOPBACK : packet.src;
  const src = ownSource(passage, dst);
  if (src === null) return null;
  const codes = codes4(message);
  const options = echoedOptions(passage, src, optionTime(run));
  if (options === null) return null;
  const room = MAX_IPV4_ERROR - ipv4.MIN_HEADER_LENGTH - options.length - icmp.HEADER_LENGTH;
  const body = icmp.emit(codes, ipBytes(packet).subarray(0, room));
  return ipv4.emit(
    {
      tos: (ipv4.tos(bytes, l3) & TOS_MASK) | INTERNET_CONTROL,
      id: 0,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: isIpv4Multicast(dst) ? GROUP_TTL : TTL,
      protocol: Protocol.icmp,
      src,
      dst,
      options,
    },
    body,
  );
}

/**
 * No answer to what was for everybody, as the packet's route says it (`RTCF_BROADCAST`,
 * `RTCF_MULTICAST`); the stand-in for a route that bridged packets have says nothing.
 */
export function isForGroup4({ packet, bridgeNetfilter, route }: Passage): boolean {
  if (bridgeNetfilter !== null && route === null) return false;
  if (route?.type === 'broadcast') return true;
  return isIpv4Multicast(packet.dst) || packet.dst.w3 === 0xffffffff;
}

/** Errors are never answered with errors, nor are ICMP types that nobody knows. */
function isAboutError(packet: Packet): boolean {
  if (packet.protocol !== Protocol.icmp) return false;
  const at = transportOffset(packet);
  if (typeof at === 'string' || at >= Math.min(packet.end, packet.bytes.length)) return true;
  const type = u8(packet.bytes, at);
  return type > NR_ICMP_TYPES || icmp.isError(type);
}

/** The packet's own destination when that is ours, else the source of the route back. */
function ownSource(passage: Passage, to: Address): Address | null {
  const { host, packet, bridgeNetfilter, route } = passage;
  const { fib } = host.image;
  // What is only bridged has no route that could say that it is for the host.
  const isRouted = bridgeNetfilter === null || route !== null;
  if (isRouted && fib.isLocal(packet.dst)) return packet.dst;
  const back = fib.lookup({ destination: to, mark: 0 });
  return ANSWERABLE.has(back.type) ? back.source : null;
}

const ANSWERABLE: ReadonlySet<string> = new Set(['unicast', 'local', 'broadcast']);

/**
 * IPv6 errors come from the device that the packet came in by, unless the route back names a
 * source; what is bridged or sent by the host itself came in by none (`IP6CB(skb)->iif`).
 */
function ownSource6({ host, packet, device, bridgeNetfilter, local }: Passage): Address | null {
  const { fib } = host.image;
  // `ipv6_chk_addr`: ::1 is an address of the loopback alone (IFA_HOST).
  const isOwn = device.kind === 'loopback' || local || !isIpv6Loopback(packet.dst);
  if (isOwn && fib.isLocal(packet.dst)) return packet.dst;
  const back = fib.lookup({ destination: packet.src, mark: 0 });
  if (back.type !== 'unicast' && back.type !== 'local') return null;
  if (back.type === 'local') return packet.src;
  const cameIn = !local && bridgeNetfilter === null && back.prefersSource !== true;
  const meaningful = cameIn ? fib.sourceOn(packet.inDevice, packet.src) : null;
  return meaningful ?? back.source;
}

function codes4(message: ErrorMessage): Codes {
  const { destinationUnreachable: type, timeExceeded, parameterProblem } = icmp.IcmpType;
  switch (message.kind) {
    case 'ttlExpired':
      return { type: timeExceeded, code: 0, rest: 0 };
    case 'noRoute':
      return { type, code: 0, rest: 0 };
    case 'hostUnreachable':
      return { type, code: 1, rest: 0 };
    case 'prohibited':
      return { type, code: 13, rest: 0 };
    case 'tooBig':
      return { type, code: 4, rest: message.mtu };
    case 'parameter':
      return { type: parameterProblem, code: 0, rest: message.pointer * 2 ** 24 };
    case 'reject':
      return { type, code: REJECT_CODES[message.with], rest: 0 };
    default:
      return unreachable(message);
  }
}

function error6(passage: Passage, message: ErrorMessage): Uint8Array | null {
  const { packet } = passage;
  const { src: to, dst } = packet;
  if (isIpv6Multicast(dst) && message.kind !== 'tooBig' && !isAlways(message)) return null;
  if (isIpv6Multicast(to) || (to.w0 | to.w1 | to.w2 | to.w3) === 0) return null;
  if (isAboutError6(packet)) return null;
  const src = ownSource6(passage);
  if (src === null) return null;
  const room = MAX_IPV6_ERROR - ipv6.HEADER_LENGTH - icmpv6.HEADER_LENGTH;
  const body = icmpv6.emit(codes6(message), ipBytes(packet).subarray(0, room));
  const protocol = Protocol.icmpv6;
  fillSegment({ bytes: body, off: 0, end: body.length, protocol, src, dst: to });
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    nextHeader: protocol,
    hopLimit: TTL,
    src,
    dst: to,
  };
  return ipv6.emit(header, body);
}

function isAboutError6(packet: Packet): boolean {
  // Later fragments show no type, and are answered whatever they are part of.
  if (packet.protocol !== Protocol.icmpv6 || packet.fragmentOffset !== 0) return false;
  const at = transportOffset(packet);
  if (typeof at === 'string' || at < 0) return true;
  // Nothing of it is there; a first fragment without any of it counts as a later one.
  if (at >= Math.min(packet.end, packet.bytes.length)) return !packet.moreFragments;
  return icmpv6.isError(u8(packet.bytes, at));
}

function codes6(message: ErrorMessage): Codes {
  const codes = icmpv6.Icmpv6Type;
  const { destinationUnreachable: type, timeExceeded, packetTooBig, parameterProblem } = codes;
  switch (message.kind) {
    case 'ttlExpired':
      return { type: timeExceeded, code: 0, rest: 0 };
    case 'noRoute':
      return { type, code: 0, rest: 0 };
    case 'hostUnreachable':
      return { type, code: 3, rest: 0 };
    case 'prohibited':
      return { type, code: 1, rest: 0 };
    case 'tooBig':
      return { type: packetTooBig, code: 0, rest: message.mtu };
    case 'parameter':
      return { type: parameterProblem, code: message.code, rest: message.pointer };
    case 'reject':
      return { type, code: REJECT_CODES[message.with], rest: 0 };
    default:
      return unreachable(message);
  }
}
