/**
 * From a packet as it came and as it ended: what its way did to it, when that is something that can
 * be done to any other packet on the same way.
 * @module
 */
import { newConnection } from '../../../conntrack/connection.ts';
import { translatePacket } from '../../../conntrack/nat/translate.ts';
import { invertTuple, type Tuple } from '../../../conntrack/tuple.ts';
import type { PacketEnds } from '../../../packet/ends.ts';
import { ipBytes, newPacket, parseFrame } from '../../../packet/parse.ts';
import { verifyChecksum } from '../../../packet/transport-checksum.ts';
import { readIpv4, readIpv6 } from '../../../wire/address/address.ts';
import { u8, u16 } from '../../../wire/bytes.ts';
import { CHECKSUM as ICMP_CHECKSUM } from '../../../wire/header/icmp.ts';
import * as ipv4 from '../../../wire/header/ipv4.ts';
import * as ipv6 from '../../../wire/header/ipv6.ts';
import { CHECKSUM as TCP_CHECKSUM } from '../../../wire/header/tcp.ts';
import { CHECKSUM as UDP_CHECKSUM } from '../../../wire/header/udp.ts';
import { Protocol } from '../../../wire/protocol.ts';
import { framed } from '../../execution.ts';

export interface Change {
  readonly tosAfter: number;
  readonly ttlChange: number;
  /** The transport checksum was left to a device, and has been filled in. */
  readonly completesChecksum: boolean;
}

const IPV4 = { header: 20, tos: 1, ttl: 8, checksum: 10, protocol: 9 };
const IPV6 = { header: 40, ttl: 7, protocol: 6 };

/**
 * What happened to a plain packet; null when more did than these changes, or when it can not be
 * told.
 */
export function changeOf(
  before: Uint8Array,
  after: Uint8Array,
  options: { readonly offloaded: boolean },
): Change | null {
  if (before.length !== after.length) return null;
  const isV4 = u8(before, 0) >>> 4 === 4;
  const sum = isV4
    ? IPV4.header + checksumAt(u8(before, IPV4.protocol))
    : IPV6.header + checksumAt(u8(before, IPV6.protocol));
  const ttl = isV4 ? IPV4.ttl : IPV6.ttl;
  const own = isV4 ? [IPV4.tos, ttl, IPV4.checksum, IPV4.checksum + 1] : [0, 1, ttl];
  for (let i = 0; i < before.length; i++) {
    if (before[i] === after[i] || own.includes(i)) continue;
    if (!options.offloaded || (i !== sum && i !== sum + 1)) return null;
  }
  if (!isV4 && (u16(before, 0) & 0xf00f) !== (u16(after, 0) & 0xf00f)) return null;
  const isSame = u16(before, sum) === u16(after, sum);
  if (options.offloaded && isSame && isRight(before)) return null;
  return {
    tosAfter: isV4 ? u8(after, IPV4.tos) : (u16(after, 0) >>> 4) & 0xff,
    ttlChange: u8(after, ttl) - u8(before, ttl),
    completesChecksum: !isSame,
  };
}

/**
 * What a connection's translation makes of a plain packet that enters with the first of these
 * tuples: the same with the ends of the last. Null when nothing could answer such packets.
 */
export function translated(
  before: Uint8Array,
  way: readonly Tuple[],
  options: { readonly offloaded: boolean },
): Uint8Array | null {
  const [original] = way;
  const last = way.at(-1);
  const reply = last === undefined ? null : invertTuple(last);
  if (original === undefined || reply === null) return null;
  const packet = newPacket({
    frame: 0,
    bytes: framed(before),
    checksumOffloaded: options.offloaded,
  });
  if (parseFrame(packet) !== null) return null;
  const connection = newConnection({ original, reply, nowNs: 0 });
  connection.sourceNat = true;
  connection.destinationNat = true;
  packet.connection = connection;
  packet.ctState = 'established';
  packet.ctDirection = 'original';
  const faults = [translatePacket(packet, 'destination'), translatePacket(packet, 'source')];
  return faults.every((fault) => fault === null) ? ipBytes(packet).slice() : null;
}

/** The ends of a plain packet, as packet/ends.ts has them. */
export function endsOf(b: Uint8Array): PacketEnds {
  const isV4 = u8(b, 0) >>> 4 === 4;
  const l4 = isV4 ? IPV4.header : IPV6.header;
  const protocol = u8(b, isV4 ? IPV4.protocol : IPV6.protocol);
  const src = isV4 ? readIpv4(b, ipv4.SOURCE) : readIpv6(b, ipv6.SOURCE);
  const dst = isV4 ? readIpv4(b, ipv4.DESTINATION) : readIpv6(b, ipv6.DESTINATION);
  if (protocol === Protocol.tcp || protocol === Protocol.udp) {
    return { src, dst, sport: u16(b, l4), dport: u16(b, l4 + 2) };
  }
  const id = u16(b, l4 + 4);
  return { src, dst, sport: id, dport: id };
}

/** TTL or hop limit. */
export function ttlOf(packet: Uint8Array): number {
  return u8(packet, u8(packet, 0) >>> 4 === 4 ? IPV4.ttl : IPV6.ttl);
}

/** Of a right checksum nobody can say whether it was filled in on the way. */
function isRight(packet: Uint8Array): boolean {
  const parsed = newPacket({ frame: 0, bytes: framed(packet) });
  return parseFrame(parsed) === null && verifyChecksum(parsed) === 'right';
}

function checksumAt(protocol: number): number {
  if (protocol === Protocol.tcp) return TCP_CHECKSUM;
  return protocol === Protocol.udp ? UDP_CHECKSUM : ICMP_CHECKSUM;
}
