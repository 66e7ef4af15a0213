/**
 * Tuples: what names one direction of a connection, and how the other direction is named.
 *
 * `sport` and `dport` hold whatever the protocol keeps in the place of ports:
 *
 *   TCP, UDP, UDP-Lite, SCTP   source port        destination port
 *   ICMP, ICMPv6               query identifier   type * 256 + code
 *   GRE (other than PPTP)      0                  0
 *   any other protocol         0                  0
 *
 * Kernel: net/netfilter/nf_conntrack_core.c `nf_ct_get_tuple`, `nf_ct_invert_tuple`, and
 * `*_pkt_to_tuple`, `*_invert_tuple` of each protocol. DCCP has had no tracker since Linux 6.16 and
 * is tracked by addresses, as any other protocol.
 * @module
 */
import { type Address, addressKey, equalAddress, formatAddress } from '../wire/address/address.ts';
import { u8, u16 } from '../wire/bytes.ts';
import { IcmpType } from '../wire/header/icmp.ts';
import { Icmpv6Type } from '../wire/header/icmpv6.ts';
import { Protocol } from '../wire/protocol.ts';

export interface Tuple {
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

/**
 * Bytes of transport header that a tuple is read from (`skb_header_pointer` in `*_pkt_to_tuple`).
 */
const PORT_BYTES = 4;
const ICMP_BYTES = 8;
const PPTP_BYTES = 8;

const GRE_VERSION_MASK = 7;
const GRE_VERSION_PPTP = 1;
const GRE_PROTOCOL_PPP = 0x880b;

const ICMP_INVERSE = new Map<number, number>([
  [IcmpType.echoRequest, IcmpType.echoReply],
  [IcmpType.echoReply, IcmpType.echoRequest],
  [IcmpType.timestamp, IcmpType.timestampReply],
  [IcmpType.timestampReply, IcmpType.timestamp],
  [IcmpType.infoRequest, IcmpType.infoReply],
  [IcmpType.infoReply, IcmpType.infoRequest],
  [IcmpType.addressMask, IcmpType.addressMaskReply],
  [IcmpType.addressMaskReply, IcmpType.addressMask],
]);

const ICMPV6_INVERSE = new Map<number, number>([
  [Icmpv6Type.echoRequest, Icmpv6Type.echoReply],
  [Icmpv6Type.echoReply, Icmpv6Type.echoRequest],
  [Icmpv6Type.nodeInformationQuery, Icmpv6Type.nodeInformationReply],
  [Icmpv6Type.nodeInformationReply, Icmpv6Type.nodeInformationQuery],
]);

/** Whether the protocol's tuple has ports. */
export function tupleHasPorts(protocol: number): boolean {
  return (
    protocol === Protocol.tcp ||
    protocol === Protocol.udp ||
    protocol === Protocol.sctp ||
    protocol === Protocol.udplite
  );
}

/** Whether the tuple is that of an ICMP or ICMPv6 query. */
export function isIcmpTuple(t: Tuple): boolean {
  return t.protocol === (t.src.family === 4 ? Protocol.icmp : Protocol.icmpv6);
}

/**
 * Read the tuple of a packet whose transport header starts at `off`.
 *
 * @param end one past the packet's last byte on the wire
 * @returns null when the header is too short for one on the wire, `headerCut` when the capture cut
 * it
 */
export function tupleAt(
  b: Uint8Array,
  off: number,
  end: number,
  ends: { readonly protocol: number; readonly src: Address; readonly dst: Address },
): Tuple | 'headerCut' | null {
  const { protocol, src, dst } = ends;
  const icmp = protocol === (src.family === 4 ? Protocol.icmp : Protocol.icmpv6);
  const needed = icmp ? ICMP_BYTES : PORT_BYTES;
  if (icmp || tupleHasPorts(protocol)) {
    if (end - off < needed) return null;
    if (b.length - off < needed) return 'headerCut';
    if (icmp) return { protocol, src, dst, sport: u16(b, off + 4), dport: u16(b, off) };
    return { protocol, src, dst, sport: u16(b, off), dport: u16(b, off + 2) };
  }
  const plain: Tuple = { protocol, src, dst, sport: 0, dport: 0 };
  return protocol === Protocol.gre ? greTuple(b, off, end, plain) : plain;
}

/**
 * A PPTP tunnel is named by its call number (RFC 2637 section 4.1); plain GRE by addresses only.
 */
function greTuple(
  b: Uint8Array,
  off: number,
  end: number,
  plain: Tuple,
): Tuple | 'headerCut' | null {
  if (end - off < PPTP_BYTES) return plain;
  if (b.length - off < PPTP_BYTES) return 'headerCut';
  if ((u8(b, off + 1) & GRE_VERSION_MASK) !== GRE_VERSION_PPTP) return plain;
  return u16(b, off + 2) === GRE_PROTOCOL_PPP ? withDport(plain, u16(b, off + 6)) : null;
}

/** The tuple of packets that go the other way; null when nothing can answer (ICMP errors). */
export function invertTuple(t: Tuple): Tuple | null {
  const { protocol, src, dst, sport, dport } = t;
  if (!isIcmpTuple(t)) return { protocol, src: dst, dst: src, sport: dport, dport: sport };
  const inverse = src.family === 4 ? ICMP_INVERSE : ICMPV6_INVERSE;
  const type = inverse.get(dport >>> 8);
  if (type === undefined) return null;
  return { protocol, src: dst, dst: src, sport, dport: type * 256 + (dport & 0xff) };
}

/*
 * The tuple with another end. Written out: an object spread with a field that it overrides leaves
 * V8's fast path, and these are made for every new connection on every host.
 */

export function withSource({ protocol, dst, dport }: Tuple, src: Address, sport: number): Tuple {
  return { protocol, src, dst, sport, dport };
}

export function withDestination(
  { protocol, src, sport }: Tuple,
  dst: Address,
  dport: number,
): Tuple {
  return { protocol, src, dst, sport, dport };
}

export function withSport(tuple: Tuple, sport: number): Tuple {
  return withSource(tuple, tuple.src, sport);
}

export function withDport(tuple: Tuple, dport: number): Tuple {
  return withDestination(tuple, tuple.dst, dport);
}

/** A string that is equal exactly when the tuples are. */
export function tupleKey(t: Tuple): string {
  const numbers = String.fromCharCode(t.protocol, t.sport, t.dport);
  return numbers + addressKey(t.src) + addressKey(t.dst);
}

export function equalTuple(a: Tuple, b: Tuple): boolean {
  return (
    a.protocol === b.protocol &&
    a.sport === b.sport &&
    a.dport === b.dport &&
    equalAddress(a.src, b.src) &&
    equalAddress(a.dst, b.dst)
  );
}

/** Print as conntrack(8) does: `src=… dst=… sport=… dport=…`, `type= code= id=` for ICMP. */
export function formatTuple(t: Tuple): string {
  const ends = `src=${formatAddress(t.src)} dst=${formatAddress(t.dst)}`;
  if (isIcmpTuple(t)) {
    return `${ends} type=${t.dport >>> 8} code=${t.dport & 0xff} id=${t.sport}`;
  }
  if (t.protocol === Protocol.gre) {
    return `${ends} srckey=0x${t.sport.toString(16)} dstkey=0x${t.dport.toString(16)}`;
  }
  return tupleHasPorts(t.protocol) ? `${ends} sport=${t.sport} dport=${t.dport}` : ends;
}
