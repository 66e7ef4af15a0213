/**
 * What somebody would send on receiving a frame: the next segment of its connection, right more often
 * than not, or an error that quotes it.
 * @module
 */
import {
  type Address,
  formatAddress,
  readIpv4,
  readIpv6,
} from '../../../../../src/wire/address/address.ts';
import { setU16, u16, u32 } from '../../../../../src/wire/bytes.ts';
import * as ethernet from '../../../../../src/wire/header/ethernet.ts';
import { SctpChunk } from '../../../../../src/wire/header/sctp.ts';
import { TcpFlag } from '../../../../../src/wire/header/tcp.ts';
import { Protocol } from '../../../../../src/wire/protocol.ts';
import {
  icmpEchoReply,
  icmpError,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../../../support/packets.ts';
import type { Draw } from '../../rule-space.ts';
import type { Out } from '../ask-engine.ts';
import type { Place } from './places.ts';

/** A frame's IP packet, as far as an answer needs it. */
interface Received {
  readonly family: 4 | 6;
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly ip: Uint8Array;
  /** From the transport header on. */
  readonly body: Uint8Array;
}

function received(frame: Uint8Array): Received {
  const ip = frame.subarray(ethernet.payloadOffset(frame));
  const family = ip[0]! >>> 4 === 6 ? 6 : 4;
  const read = (at: number): Address => (family === 4 ? readIpv4(ip, at) : readIpv6(ip, at));
  const [src, dst] = family === 4 ? [read(12), read(16)] : [read(8), read(24)];
  const header = family === 4 ? (ip[0]! & 15) * 4 : 40;
  const protocol = family === 4 ? ip[9]! : ip[6]!;
  const end = family === 4 ? u16(ip, 2) : 40 + u16(ip, 4);
  const body = ip.subarray(header, end);
  return { family, src: formatAddress(src), dst: formatAddress(dst), protocol, ip, body };
}

/** The answer's frame, from whoever got this one. */
export function answerTo(draw: Draw, { frame }: Out): Uint8Array {
  const macs = { srcMac: ethernet.destination(frame), dstMac: ethernet.source(frame) };
  const r = received(frame);
  const builder = replyTo(draw, r);
  const ttl = draw.of([64, 64, 64, 64, 64, 2, 1]);
  return builder.from(r.dst).to(r.src).ttl(ttl).frame(macs);
}

function replyTo(draw: Draw, r: Received): PacketBuilder {
  const { body, protocol } = r;
  if (protocol === Protocol.tcp && body.length >= 20)
    return ported(nextSegment(draw, body), body, r);
  if (protocol === Protocol.udp && body.length >= 8) {
    return ported(udp().payload(draw.below(60)), body, r);
  }
  if (protocol === Protocol.sctp && body.length >= 16)
    return ported(nextChunk(draw, body), body, r);
  const isEcho = body[0] === (r.family === 4 ? 8 : 128) && body.length >= 8;
  if ((protocol === Protocol.icmp || protocol === Protocol.icmpv6) && isEcho) {
    return icmpEchoReply(u16(body, 4), u16(body, 6), { v6: r.family === 6 }).payload(body.slice(8));
  }
  if (protocol === Protocol.icmp || protocol === Protocol.icmpv6) {
    return icmpEchoReply(draw.below(4), 1, { v6: r.family === 6 }).payload(8);
  }
  return rawIp(protocol).payload(body.slice());
}

function ported(builder: PacketBuilder, body: Uint8Array, { src, dst }: Received): PacketBuilder {
  return builder.from(dst, u16(body, 2)).to(src, u16(body, 0));
}

/** The next segment as this end would number it; sometimes out of its window, sometimes nonsense. */
function nextSegment(draw: Draw, segment: Uint8Array): PacketBuilder {
  const { syn, ack, fin, rst, psh } = TcpFlag;
  const flags = segment[13]!;
  const data = Math.max(0, segment.length - (segment[12]! >>> 4) * 4);
  const seen = u32(segment, 4) + data + (flags & syn ? 1 : 0) + (flags & fin ? 1 : 0);
  const own = flags & ack ? u32(segment, 8) : 500_000;
  const slip = draw.chance(15) ? draw.of([1, -1, -700, 3000, 70_000, 5_000_000]) : 0;
  const ackSlip = draw.chance(12) ? draw.of([1, -1, 3000, -70_000]) : 0;
  const window = draw.chance(85) ? 64_240 : draw.of([0, 1, 64]);
  const base = tcp()
    .seq(own + slip)
    .window(window);
  const acked = (bits: number) => base.flags(bits).ack(seen + ackSlip);
  if (flags & syn && !(flags & ack)) {
    const options = Uint8Array.of(2, 4, 5, 180, 4, 2, 1, 3, 3, draw.of([0, 7, 15]), 1, 1);
    if (draw.chance(80)) return draw.chance(50) ? acked(syn).tcpOptions(options) : acked(syn);
    return draw.chance(50) ? acked(rst) : draw.of([base.flags(syn), acked(0), base.flags(rst)]);
  }
  if (draw.chance(6)) return base.flags(draw.of([0, syn, syn | fin, rst, fin, 0x3f]));
  const roll = draw.below(100);
  if (roll < 35) return acked(0);
  if (roll < 68) return acked(psh).payload(draw.of([1, 100, 600, 1380]));
  if (roll < 90) return acked(fin);
  return roll < 95 ? acked(rst) : base.flags(rst);
}

function nextChunk(draw: Draw, packet: Uint8Array): PacketBuilder {
  const type = packet[12]!;
  const peerPort = u16(packet, 0);
  const ownPort = u16(packet, 2);
  const announces = type === SctpChunk.init || type === SctpChunk.initAck;
  const tag = announces && packet.length >= 20 ? u32(packet, 16) : 0x10000 + peerPort;
  const plain = (chunk: number) => ({ type: chunk, flags: 0, body: new Uint8Array(8) });
  const base = sctp().tag(draw.chance(92) ? tag : 7);
  if (draw.chance(8)) return base.chunks(plain(draw.of(Object.values(SctpChunk))));
  switch (type) {
    case SctpChunk.init:
      return base.chunks({ ...sctpInit(0x10000 + ownPort), type: SctpChunk.initAck });
    case SctpChunk.initAck:
      return base.chunks(plain(SctpChunk.cookieEcho));
    case SctpChunk.cookieEcho:
      return base.chunks(plain(SctpChunk.cookieAck));
    case SctpChunk.heartbeat:
      return base.chunks(plain(SctpChunk.heartbeatAck));
    case SctpChunk.shutdown:
      return base.chunks(plain(SctpChunk.shutdownAck));
    case SctpChunk.shutdownAck:
      return base.chunks(plain(SctpChunk.shutdownComplete));
    default:
      return base.chunks(
        plain(draw.of([SctpChunk.data, SctpChunk.sack, SctpChunk.heartbeat, SctpChunk.shutdown])),
      );
  }
}

/** An ICMP error about the packet, from its receiver or from a router behind it. */
export function errorAbout(draw: Draw, place: Place, { frame }: Out): Uint8Array {
  const macs = { srcMac: ethernet.destination(frame), dstMac: ethernet.source(frame) };
  const r = received(frame);
  const v6 = r.family === 6;
  const type = draw.of(v6 ? [1, 1, 3, 2, 4] : [3, 3, 11, 12, 5, 4]);
  const code = draw.of([0, 1, 3, 4]);
  const rest = (v6 ? type === 2 : type === 3 && code === 4) ? draw.of([1280, 1400]) : 0;
  const quote = (v6 ? 40 : 20) + draw.of([8, 8, 8, 20, 4, 200]);
  const inner = r.ip.slice();
  if (draw.chance(8)) setU16(inner, v6 ? 40 : 20, 7);
  const others = place.stations.flatMap((station) => station.addresses[r.family]);
  const from = draw.chance(60) ? r.dst : draw.of(others);
  const to = draw.chance(90) ? r.src : draw.of(others);
  const builder = icmpError(inner, { type, code, rest, quote }).from(from).to(to);
  return (draw.chance(6) ? builder.badChecksum() : builder).frame(macs);
}
