/**
 * Packets that nobody captured: openings of connections that were open before the capture, and the
 * requests and answers of probes.
 * @module
 */
import { fillSegment } from '../../packet/transport-checksum.ts';
import type { Address } from '../../wire/address/address.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as sctp from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol, protocolNumber } from '../../wire/protocol.ts';
import type { Conversation } from '../traffic/conversation.ts';

/** One packet to make; ports of ICMP are its identifier. */
export interface SyntheticPacket {
  readonly src: Address;
  readonly dst: Address;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
  /** Which packet of an exchange: the first, its answer, or what completes a handshake. */
  readonly step: 'request' | 'answer' | 'complete';
}

const NOTHING = new Uint8Array(0);
const ISN = 1000;
/** Linux's default TTL and hop limit. */
const TTL = 64;

/** Make a whole IP packet with right checksums. */
export function syntheticPacket(p: SyntheticPacket): Uint8Array {
  const payload = transport(p);
  const { src, dst } = p;
  const family = src.family;
  const protocol = p.protocol === Protocol.icmp && family === 6 ? Protocol.icmpv6 : p.protocol;
  const packet =
    family === 4
      ? ipv4.emit({ ...IPV4_HEAD, protocol, src, dst }, payload)
      : ipv6.emit({ ...IPV6_HEAD, nextHeader: protocol, src, dst }, payload);
  const off = packet.length - payload.length;
  fillSegment({ bytes: packet, off, end: packet.length, protocol, src, dst });
  return packet;
}

const IPV4_HEAD = {
  tos: 0,
  id: 0,
  dontFragment: true,
  moreFragments: false,
  fragmentOffset: 0,
  ttl: TTL,
  options: NOTHING,
};
const IPV6_HEAD = { trafficClass: 0, flowLabel: 0, hopLimit: TTL };

function transport(p: SyntheticPacket): Uint8Array {
  const { sport, dport, step } = p;
  switch (p.protocol) {
    case Protocol.tcp:
      return tcp.emit({ sport, dport, ...TCP_STEPS[step], ...TCP_REST }, NOTHING);
    case Protocol.udp:
    case Protocol.udplite:
      return udp.emit({ sport, dport }, NOTHING);
    case Protocol.sctp:
      return sctp.emit({ sport, dport, ...SCTP_STEPS[step] });
    case Protocol.icmp:
    case Protocol.icmpv6:
      return icmp.emit({ type: echoType(p), code: 0, rest: sport * 0x10000 + 1 }, NOTHING);
    default:
      return NOTHING;
  }
}

function echoType(p: SyntheticPacket): number {
  if (p.src.family === 6) return p.step === 'answer' ? 129 : 128;
  return p.step === 'answer' ? 0 : 8;
}

const TCP_REST = { window: 64240, urgent: 0, options: NOTHING };

const TCP_STEPS = {
  request: { seq: ISN, ack: 0, flags: tcp.TcpFlag.syn },
  answer: { seq: ISN, ack: ISN + 1, flags: tcp.TcpFlag.syn | tcp.TcpFlag.ack },
  complete: { seq: ISN + 1, ack: ISN + 1, flags: tcp.TcpFlag.ack },
};

/** INIT carries the tag the peer must use and 16 bytes of parameters (RFC 9260 section 3.3.2). */
const INIT_BODY = new Uint8Array([0, 0, 3, 232, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 3, 232]);

const SCTP_STEPS = {
  request: { tag: 0, chunks: [{ type: sctp.SctpChunk.init, flags: 0, body: INIT_BODY }] },
  answer: { tag: 1000, chunks: [{ type: sctp.SctpChunk.initAck, flags: 0, body: INIT_BODY }] },
  complete: { tag: 1000, chunks: [{ type: sctp.SctpChunk.cookieEcho, flags: 0, body: NOTHING }] },
};

/** The packet that would have opened a conversation whose opening was not captured. */
export function openingPacket(c: Conversation): Uint8Array {
  return syntheticPacket({
    src: c.src,
    dst: c.dst,
    protocol: protocolNumber(c.protocol) ?? Protocol.none,
    sport: c.sport ?? 0,
    dport: c.dport ?? 0,
    step: 'request',
  });
}
