/**
 * REJECT: the answer that a refused packet gets.
 *
 * Truth: net/ipv4/netfilter/nf_reject_ipv4.c `nf_send_unreach`, `nf_send_reset`, its IPv6 twin, and
 * ipt_REJECT.c, ip6t_REJECT.c (Linux 6.18). A reset for a bridged packet leaves by the port the
 * packet came in by, with its MACs swapped, past every hook.
 * @module
 */
import { connectionOf } from '../../conntrack/table.ts';
import type { RejectWith } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { transportOffset } from '../../packet/parse.ts';
import { fillSegment } from '../../packet/transport-checksum.ts';
import type { Address } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import { checksum, fold, sumBytes, sumPseudoHeader } from '../../wire/checksum.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { EtherType, Protocol } from '../../wire/protocol.ts';
import type { Passage } from '../passage.ts';
import type { Run } from '../run.ts';
import { isForGroup4, sendIcmpError, TTL } from './icmp-error.ts';
import { isIpv6Multicast } from './route-input.ts';
import { routeOutput } from './route-output.ts';

/** Protocols that tracking sums. */
const SUMMED = new Set<number>([Protocol.tcp, Protocol.udp, Protocol.icmp, Protocol.icmpv6]);
/** Protocols that REJECT does not sum. */
const UNSUMMED = new Set<number>([
  Protocol.ah,
  Protocol.esp,
  Protocol.sctp,
  Protocol.udplite,
  Protocol.dccp,
]);

/** Only GRE packets that say so carry a sum (`GRE_CSUM`). */
const GRE_CHECKSUM = 0x80;

/** Answer a packet that a REJECT rule refused; nothing is sent where the kernel sends nothing. */
export function sendReject(run: Run, passage: Passage, how: RejectWith): void {
  const { packet } = passage;
  if (packet.fragmentOffset !== 0 || hasBadChecksum(run, passage, how)) return;
  if (how !== 'tcp-reset') {
    sendIcmpError(run, passage, { kind: 'reject', with: how });
    return;
  }
  const isForGroup = packet.family === 4 && isForGroup4(passage);
  const ip = isForGroup ? null : makeReset(packet);
  if (ip === null || !canAnswer(passage)) return;
  const connection = connectionOf(packet);
  if (connection !== null) {
    run.stateOf(passage.host).connections.setClosing(connection, run.nowNs);
  }
  const port = passage.bridgeNetfilter === null ? null : passage.bridgePortIn;
  if (port === null) {
    run.generate(passage, { kind: 'tcpReset', attach: true, ip });
    return;
  }
  const header = {
    destination: ethernet.source(packet.bytes),
    source: ethernet.destination(packet.bytes),
    tags: [],
    etherType: packet.family === 4 ? EtherType.ipv4 : EtherType.ipv6,
  };
  const frame = ethernet.emit(header, ip);
  run.generate(passage, { kind: 'tcpReset', attach: true, frame, device: port });
}

/**
 * `nf_reject_verify_csum` with `nf_ip_checksum`, `nf_ip6_checksum`: the sum over what is there, a
 * first fragment's too, which is never right; protocols without a sum of their own are held to the
 * plain one. What the capture cut can not be summed and counts as right.
 */
function hasBadChecksum(run: Run, passage: Passage, how: RejectWith): boolean {
  const { packet, options } = passage;
  const { bytes, l3, end, protocol, src, dst } = packet;
  if (packet.checksumOffloaded || end > bytes.length || UNSUMMED.has(protocol)) return false;
  const at = transportOffset(packet);
  if (typeof at === 'string') return true;
  if (protocol === Protocol.gre && end > at && (u8(bytes, at) & GRE_CHECKSUM) === 0) return false;
  if (protocol === Protocol.udp && end - at >= udp.HEADER_LENGTH && udp.checksum(bytes, at) === 0) {
    return false;
  }
  // The sum goes over the header too, which counts for nothing as long as it is right itself.
  const isHeaderWrong = options?.changed === true && checksum(bytes, l3, at) !== 0;
  if (isHeaderWrong && !wasVerified(run, passage, how)) return true;
  const usesPseudo = packet.family === 6 || protocol === Protocol.tcp || protocol === Protocol.udp;
  const pseudo = usesPseudo ? sumPseudoHeader(src, dst, protocol, end - at) : 0;
  // Without a pseudo header it is what makes a sum of nothing but zeros right.
  const from = packet.family === 4 && !isHeaderWrong ? l3 : at;
  return fold(sumBytes(bytes, from, end) + pseudo) !== 0xffff;
}

/**
 * Tracking found the sum right before the options were written into, and the packet remembers
 * (`csum_valid`). A reset asks for the sum that is known, which forwarding forgets
 * (`skb_forward_csum`).
 */
function wasVerified(run: Run, { packet, host, route }: Passage, how: RejectWith): boolean {
  if (how === 'tcp-reset' && route?.type === 'unicast') return false;
  const { family, protocol, ctState, moreFragments } = packet;
  if (family === 0 || moreFragments || !SUMMED.has(protocol) || ctState === 'untracked')
    return false;
  const { settings } = run.stateOf(host).connections;
  return host.image.conntrackActive(family) && settings.checksum;
}

/** The reset is routed before anything else happens, also when it leaves by a bridge's port. */
function canAnswer({ host, packet }: Passage): boolean {
  return (
    routeOutput(host, { ...packet, src: packet.dst, dst: packet.src, mark: 0 }).kind === 'route'
  );
}

function isUnicast6(a: Address): boolean {
  return !isIpv6Multicast(a) && (a.w0 | a.w1 | a.w2 | a.w3) !== 0;
}

/** The RST for a segment, or null: none for a RST, a fragment, or a header that can not be read. */
function makeReset(packet: Packet): Uint8Array | null {
  const { bytes, l4, end, protocol, src, dst } = packet;
  if (protocol !== Protocol.tcp || l4 < 0) return null;
  if (packet.family === 6 && !(isUnicast6(src) && isUnicast6(dst))) return null;
  const old = tcp.flags(bytes, l4);
  const { syn, ack, fin, rst } = tcp.TcpFlag;
  if ((old & rst) !== 0) return null;
  const answersAck = (old & ack) !== 0;
  const counted = ((old & syn) !== 0 ? 1 : 0) + ((old & fin) !== 0 ? 1 : 0);
  const length = end - l4 - tcp.headerLength(bytes, l4);
  const segment = tcp.emit(
    {
      sport: tcp.dport(bytes, l4),
      dport: tcp.sport(bytes, l4),
      seq: answersAck ? tcp.ack(bytes, l4) : 0,
      ack: answersAck ? 0 : (tcp.seq(bytes, l4) + counted + length) >>> 0,
      flags: answersAck ? rst : rst | ack,
      window: 0,
      urgent: 0,
      options: new Uint8Array(0),
    },
    new Uint8Array(0),
  );
  const to = { src: dst, dst: src };
  fillSegment({ bytes: segment, off: 0, end: segment.length, protocol, ...to });
  if (packet.family === 6) {
    const fixed = { trafficClass: 0, flowLabel: 0, nextHeader: protocol, hopLimit: TTL };
    return ipv6.emit({ ...fixed, ...to }, segment);
  }
  const header = { tos: 0, id: 0, dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  return ipv4.emit({ ...header, ttl: TTL, protocol, ...to, options: new Uint8Array(0) }, segment);
}
