/**
 * An IP packet of the capture, as far as a replay must understand it before it is injected: ends,
 * sequence numbers, fragments, quoted headers, and whether its checksum is evidence of anything.
 *
 * Lengths were proved by wire/ before anything is read; what a snaplen cut off is absent, never
 * guessed.
 * @module
 */

import { type ChecksumVerdict, verifySegment } from '../../packet/transport-checksum.ts';
import type { Address, Family } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import type { HeaderFault } from '../../wire/drop-reason.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as sctp from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol, protocolName } from '../../wire/protocol.ts';
import { sharedCopy } from '../../wire/shared-copy.ts';
import type { Segment } from '../causes.ts';

/** Ends and protocol of a packet; ports null where there are none to read. */
export interface Tuple {
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number | null;
  readonly dport: number | null;
}

export interface Datagram extends Tuple {
  readonly frame: number;
  /** From the network header to the end of what was captured of the packet. */
  readonly bytes: Uint8Array;
  /** Length of the IP packet on the wire. */
  readonly wireLength: number;
  readonly cut: boolean;
  readonly family: Family;
  readonly protocolName: string;
  readonly ttl: number;
  /** Identification of IPv4; 0 for IPv6. */
  readonly id: number;
  /** Offset of the transport header; -1 when it is not there to read. */
  readonly l4: number;
  /** Echo-like ICMP: whether this is the answer; absent for everything else. */
  readonly icmpReply?: boolean;
  readonly tcp: Segment | null;
  /** MSS option of a SYN, 0 when there is none. */
  readonly mss: number;
  /** First chunk's type of an SCTP packet. */
  readonly sctpChunk: number | null;
  /** The packet an ICMP error quotes. */
  readonly quoted: Tuple | null;
  readonly fragment: {
    readonly key: string;
    readonly offset: number;
    readonly more: boolean;
  } | null;
  readonly checksum: ChecksumVerdict;
}

/** Read an IP packet at `off`; a fault says why no kernel would take it, or where it was cut. */
export function readDatagram(
  frame: number,
  b: Uint8Array,
  off: number,
  wireEnd: number,
): Datagram | HeaderFault {
  return read({ frame, judges: true }, b, off, wireEnd);
}

/** The same with a checksum that nobody has judged: `none`. */
export function readUnjudged(
  frame: number,
  b: Uint8Array,
  off: number,
  wireEnd: number,
): Datagram | HeaderFault {
  return read({ frame, judges: false }, b, off, wireEnd);
}

interface How {
  readonly frame: number;
  /** Whether its checksum is judged. */
  readonly judges: boolean;
}

function read(how: How, b: Uint8Array, off: number, wireEnd: number): Datagram | HeaderFault {
  const version = off < b.length ? u8(b, off) >>> 4 : 0;
  return version === 6
    ? readIpv6Datagram(how, b, off, wireEnd)
    : readIpv4Datagram(how, b, off, wireEnd);
}

function readIpv4Datagram(
  how: How,
  b: Uint8Array,
  off: number,
  wireEnd: number,
): Datagram | HeaderFault {
  const fault = ipv4.check(b, off, wireEnd);
  if (fault !== null) return fault;
  const end = off + ipv4.totalLength(b, off);
  const offset = ipv4.fragmentOffset(b, off);
  const more = ipv4.moreFragments(b, off);
  const head = {
    family: 4 as const,
    src: ipv4.src(b, off),
    dst: ipv4.dst(b, off),
    ttl: ipv4.ttl(b, off),
    id: ipv4.id(b, off),
  };
  const fragment = offset > 0 || more ? { offset, more, id: head.id } : null;
  const l4 = off + ipv4.headerLength(b, off);
  return finish(how, b, off, end, head, ipv4.protocol(b, off), l4, fragment);
}

function readIpv6Datagram(
  how: How,
  b: Uint8Array,
  off: number,
  wireEnd: number,
): Datagram | HeaderFault {
  const fault = ipv6.check(b, off, wireEnd);
  if (fault !== null) return fault;
  const end = off + ipv6.HEADER_LENGTH + ipv6.payloadLength(b, off);
  const found = ipv6.findTransport(b, off, end);
  const head = {
    family: 6 as const,
    src: ipv6.src(b, off),
    dst: ipv6.dst(b, off),
    ttl: ipv6.hopLimit(b, off),
    id: 0,
  };
  const { fragmentHeader: at, fragmentOffset: offset, moreFragments: more } = found;
  const isFragment = at >= 0 && (offset > 0 || more);
  const fragment = isFragment ? { offset, more, id: ipv6.fragmentId(b, at) } : null;
  return finish(how, b, off, end, head, found.protocol, found.offset, fragment);
}

type Head = Pick<Datagram, 'family' | 'src' | 'dst' | 'ttl' | 'id'>;

function finish(
  { frame, judges }: How,
  b: Uint8Array,
  off: number,
  end: number,
  head: Head,
  protocol: number,
  at: number,
  fragment: { offset: number; more: boolean; id: number } | null,
): Datagram {
  const bytes = b.subarray(off, Math.min(end, b.length));
  const length = end - off;
  const readable = at >= 0 && (fragment === null || fragment.offset === 0);
  const l4 = readable ? at - off : -1;
  const transport = l4 < 0 ? NO_TRANSPORT : readTransport(bytes, l4, length, protocol);
  const { family, src, dst, ttl, id } = head;
  const { sport, dport, tcp: segment, mss, sctpChunk, quoted, icmpReply } = transport;
  const isJudged = judges && fragment === null && bytes.length === length && transport.l4 >= 0;
  // Field by field: this is done for every packet, and spreads are slow.
  const d: Datagram = {
    frame,
    bytes,
    wireLength: length,
    cut: bytes.length < length,
    family,
    src,
    dst,
    ttl,
    id,
    protocol,
    protocolName: protocolName(protocol),
    l4: transport.l4,
    sport,
    dport,
    tcp: segment,
    mss,
    sctpChunk,
    quoted,
    fragment: fragment && {
      key: `${head.family} ${protocol} ${fragment.id} ${key(head.src)} ${key(head.dst)}`,
      offset: fragment.offset,
      more: fragment.more,
    },
    checksum: isJudged
      ? verifySegment({ bytes, off: l4, end: length, protocol, src, dst })
      : 'none',
  };
  return icmpReply === undefined ? d : { ...d, icmpReply };
}

function key(a: Address): string {
  return `${a.w0}.${a.w1}.${a.w2}.${a.w3}`;
}

type Transport = Pick<
  Datagram,
  'l4' | 'sport' | 'dport' | 'tcp' | 'mss' | 'sctpChunk' | 'quoted' | 'icmpReply'
>;

const NO_TRANSPORT: Transport = {
  l4: -1,
  sport: null,
  dport: null,
  tcp: null,
  mss: 0,
  sctpChunk: null,
  quoted: null,
};

function readTransport(b: Uint8Array, l4: number, end: number, protocol: number): Transport {
  switch (protocol) {
    case Protocol.tcp:
      return tcp.check(b, l4, end) === null ? readTcp(b, l4, end) : NO_TRANSPORT;
    case Protocol.udp:
    case Protocol.udplite:
      if (udp.check(b, l4, end) !== null) return NO_TRANSPORT;
      return { ...NO_TRANSPORT, l4, sport: udp.sport(b, l4), dport: udp.dport(b, l4) };
    case Protocol.sctp:
      return sctp.check(b, l4, end) === null ? readSctp(b, l4, end) : NO_TRANSPORT;
    case Protocol.icmp:
      return icmp.check(b, l4, end) === null ? readIcmp(b, l4, end) : NO_TRANSPORT;
    case Protocol.icmpv6:
      return icmpv6.check(b, l4, end) === null ? readIcmpv6(b, l4, end) : NO_TRANSPORT;
    default:
      return { ...NO_TRANSPORT, l4 };
  }
}

function readTcp(b: Uint8Array, l4: number, end: number): Transport {
  const flags = tcp.flags(b, l4);
  const header = Math.max(tcp.headerLength(b, l4), tcp.MIN_HEADER_LENGTH);
  const has = (bit: number) => (flags & bit) !== 0;
  let mss = 0;
  if (has(tcp.TcpFlag.syn) && l4 + header <= b.length) {
    tcp.eachOption(b, l4, (kind, at, size) => {
      if (kind === tcp.TcpOption.mss && size === 4) mss = (u8(b, at + 2) << 8) | u8(b, at + 3);
    });
  }
  return {
    ...NO_TRANSPORT,
    l4,
    sport: tcp.sport(b, l4),
    dport: tcp.dport(b, l4),
    mss,
    tcp: {
      seq: tcp.seq(b, l4),
      ack: tcp.ack(b, l4),
      syn: has(tcp.TcpFlag.syn),
      fin: has(tcp.TcpFlag.fin),
      rst: has(tcp.TcpFlag.rst),
      hasAck: has(tcp.TcpFlag.ack),
      payloadLength: Math.max(0, end - l4 - header),
    },
  };
}

function readSctp(b: Uint8Array, l4: number, end: number): Transport {
  const first = sctp.chunkOffsets(b, l4, Math.min(end, b.length))[0];
  return {
    ...NO_TRANSPORT,
    l4,
    sport: sctp.sport(b, l4),
    dport: sctp.dport(b, l4),
    sctpChunk: first === undefined ? null : first.type,
  };
}

/** Reply types of ICMP queries: echo, timestamp, information, address mask (RFC 792, RFC 950). */
const ICMP_REPLIES: ReadonlySet<number> = new Set([0, 14, 16, 18]);

function readIcmp(b: Uint8Array, l4: number, end: number): Transport {
  const kind = icmp.type(b, l4);
  if (icmp.isError(kind)) return { ...NO_TRANSPORT, l4, quoted: quotedTuple(b, l4 + 8, end, 4) };
  if (!icmp.isQuery(kind)) return { ...NO_TRANSPORT, l4 };
  const id = icmp.id(b, l4);
  return { ...NO_TRANSPORT, l4, sport: id, dport: id, icmpReply: ICMP_REPLIES.has(kind) };
}

function readIcmpv6(b: Uint8Array, l4: number, end: number): Transport {
  const kind = icmpv6.type(b, l4);
  if (icmpv6.isError(kind)) return { ...NO_TRANSPORT, l4, quoted: quotedTuple(b, l4 + 8, end, 6) };
  if (!icmpv6.isQuery(kind)) return { ...NO_TRANSPORT, l4 };
  const id = icmpv6.id(b, l4);
  const icmpReply = kind === icmpv6.Icmpv6Type.echoReply;
  return { ...NO_TRANSPORT, l4, sport: id, dport: id, icmpReply };
}

/** The tuple of the packet an ICMP error quotes; null when too little of it is there. */
function quotedTuple(b: Uint8Array, off: number, end: number, family: Family): Tuple | null {
  if (family === 4) {
    if (b.length - off < ipv4.MIN_HEADER_LENGTH || u8(b, off) >>> 4 !== 4) return null;
    const l4 = off + ipv4.headerLength(b, off);
    const ends = { src: ipv4.src(b, off), dst: ipv4.dst(b, off) };
    return quotedPorts(b, l4, ipv4.protocol(b, off), ends);
  }
  if (b.length - off < ipv6.HEADER_LENGTH || u8(b, off) >>> 4 !== 6) return null;
  const found = ipv6.findTransport(b, off, end);
  if (found.offset < 0) return null;
  const ends = { src: ipv6.src(b, off), dst: ipv6.dst(b, off) };
  return quotedPorts(b, found.offset, found.protocol, ends);
}

function quotedPorts(
  b: Uint8Array,
  l4: number,
  protocol: number,
  ends: { src: Address; dst: Address },
): Tuple | null {
  if (b.length - l4 < 8) return null;
  if (protocol === Protocol.icmp || protocol === Protocol.icmpv6) {
    const id = icmp.id(b, l4);
    return { protocol, ...ends, sport: id, dport: id };
  }
  return { protocol, ...ends, sport: udp.sport(b, l4), dport: udp.dport(b, l4) };
}

/** A copy of the packet with another TTL (hop limit), its header checksum kept right. */
export function withTtl(d: Datagram, ttl: number): Uint8Array {
  const copy = sharedCopy(d.bytes);
  if (d.family === 4) ipv4.setTtl(copy, 0, ttl);
  else ipv6.setHopLimit(copy, 0, ttl);
  return copy;
}
