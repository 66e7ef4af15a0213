/**
 * A captured packet with other ends, as a translation would write them: addresses and ports of the
 * packet and of the one that an ICMP error quotes. Checksums are updated by the difference
 * (RFC 1624), so a wrong checksum stays wrong and an offloaded one stays offloaded.
 * @module
 */
import { type Address, compareAddress, writeAddress } from '../../wire/address/address.ts';
import { setU16, u8, u16 } from '../../wire/bytes.ts';
import { sumAddress, sumBytes, updatePartial, updateSum } from '../../wire/checksum.ts';
import * as icmp from '../../wire/header/icmp.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as sctp from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Datagram, Tuple } from './datagram.ts';

/** Both ends of a packet; ports null where there are none (ICMP: the identifier twice). */
export type Ends = Pick<Tuple, 'src' | 'dst' | 'sport' | 'dport'>;

/** The ends of a packet that goes the other way. */
export function inverse({ src, dst, sport, dport }: Ends): Ends {
  return { src: dst, dst: src, sport: dport, dport: sport };
}

export function equalEnds(a: Ends, b: Ends): boolean {
  return (
    compareAddress(a.src, b.src) === 0 &&
    compareAddress(a.dst, b.dst) === 0 &&
    a.sport === b.sport &&
    a.dport === b.dport
  );
}

/**
 * The packet with these ends, and the quoted packet with those; itself when nothing changes. Ports
 * change only where the packet has them to read.
 */
export function withEnds(d: Datagram, to: Ends, quoted: Ends | null = null): Datagram {
  const inner = d.quoted !== null && quoted !== null ? quoted : null;
  const same = inner === null || (d.quoted !== null && equalEnds(d.quoted, inner));
  if (equalEnds(d, to) && same) return d;
  const bytes = d.bytes.slice();
  if (d.l4 >= 0) rewriteTransport(bytes, d, to);
  if (d.quoted !== null && inner !== null && d.l4 >= 0) rewriteQuoted(bytes, d, d.quoted, inner);
  setAddresses(bytes, 0, d.family, to);
  const ports = d.sport === null ? {} : { sport: to.sport, dport: to.dport };
  const { src, dst } = to;
  return { ...d, bytes, src, dst, ...ports, quoted: d.quoted && { ...d.quoted, ...inner } };
}

const NO_SUM = -1;

function rewriteTransport(b: Uint8Array, d: Datagram, to: Ends): void {
  const ports = portFields(d.protocol, d.l4).filter(({ at }) => at + 2 <= b.length);
  const before = ports.reduce((sum, { at }) => sum + u16(b, at), 0);
  if (d.sport !== null) for (const { at, end } of ports) setU16(b, at, to[end] ?? u16(b, at));
  const after = ports.reduce((sum, { at }) => sum + u16(b, at), 0);
  // As a host does it: this checksum is made anew.
  if (d.protocol === Protocol.sctp && d.checksum === 'right' && !d.cut) {
    sctp.fillChecksum(b, d.l4, d.wireLength);
  }
  const { field, pseudo } = checksumField(d);
  if (field === NO_SUM || field + 2 > b.length) return;
  const old = u16(b, field);
  if (d.protocol === Protocol.udp && old === 0) return;
  const from = pseudo ? sumAddress(d.src) + sumAddress(d.dst) : 0;
  const into = pseudo ? sumAddress(to.src) + sumAddress(to.dst) : 0;
  // What a device is to fill in covers the pseudo header alone.
  if (d.checksum === 'partial') setU16(b, field, updatePartial(old, from, into));
  else setU16(b, field, updateSum(old, from + before, into + after));
}

/** The quoted packet changes as well, and the ICMP checksum follows what changed under it. */
function rewriteQuoted(b: Uint8Array, d: Datagram, from: Tuple, to: Ends): void {
  const off = d.l4 + icmp.HEADER_LENGTH;
  const whole = sumBytes(b, off, b.length);
  const l4 = quotedTransport(b, off, d);
  const ports = portFields(from.protocol, l4).filter(({ at }) => at + 2 <= b.length);
  const before = ports.reduce((sum, { at }) => sum + u16(b, at), 0);
  for (const { at, end } of ports) setU16(b, at, to[end] ?? u16(b, at));
  const after = ports.reduce((sum, { at }) => sum + u16(b, at), 0);
  const field = quotedChecksum(b, l4, from);
  if (field + 2 <= b.length && u16(b, field) !== 0) {
    const old = sumAddress(from.src) + sumAddress(from.dst) + before;
    const now = sumAddress(to.src) + sumAddress(to.dst) + after;
    setU16(b, field, updateSum(u16(b, field), old, now));
  }
  setAddresses(b, off, d.family, to);
  const own = d.l4 + icmp.CHECKSUM;
  setU16(b, own, updateSum(u16(b, own), whole, sumBytes(b, off, b.length)));
}

function quotedTransport(b: Uint8Array, off: number, d: Datagram): number {
  if (d.family === 4) return off + ipv4.headerLength(b, off);
  const { offset } = ipv6.findTransport(b, off, d.wireLength);
  return offset < 0 ? b.length : offset;
}

interface PortField {
  readonly at: number;
  readonly end: 'sport' | 'dport';
}

/** Where ports stand, or the identifier of an ICMP query. */
function portFields(protocol: number, l4: number): readonly PortField[] {
  switch (protocol) {
    case Protocol.tcp:
    case Protocol.udp:
    case Protocol.udplite:
    case Protocol.sctp:
      return [
        { at: l4, end: 'sport' },
        { at: l4 + 2, end: 'dport' },
      ];
    case Protocol.icmp:
    case Protocol.icmpv6:
      return [{ at: l4 + 4, end: 'sport' }];
    default:
      return [];
  }
}

/** The checksum that covers what changes, and whether the addresses are under it too. */
function checksumField(d: Datagram): { readonly field: number; readonly pseudo: boolean } {
  switch (d.protocol) {
    case Protocol.tcp:
      return { field: d.l4 + tcp.CHECKSUM, pseudo: true };
    case Protocol.udp:
    case Protocol.udplite:
      return { field: d.l4 + udp.CHECKSUM, pseudo: true };
    case Protocol.icmpv6:
      return { field: d.l4 + icmp.CHECKSUM, pseudo: u8(d.bytes, 0) >>> 4 === 6 };
    case Protocol.icmp:
      return { field: d.l4 + icmp.CHECKSUM, pseudo: false };
    default:
      return { field: NO_SUM, pseudo: false };
  }
}

/** Offset of the quoted TCP or UDP checksum, past the end when there is none to keep right. */
function quotedChecksum(b: Uint8Array, l4: number, quoted: Tuple): number {
  if (quoted.protocol === Protocol.udp) return l4 + udp.CHECKSUM;
  return quoted.protocol === Protocol.tcp ? l4 + tcp.CHECKSUM : b.length;
}

const IPV4_CHECKSUM = 10;

/** Write both addresses, updating the header checksum by the difference (IPv4). */
function setAddresses(
  b: Uint8Array,
  off: number,
  family: 4 | 6,
  { src, dst }: { readonly src: Address; readonly dst: Address },
): void {
  if (family === 6) {
    writeAddress(b, off + ipv6.SOURCE, src);
    writeAddress(b, off + ipv6.DESTINATION, dst);
    return;
  }
  const old = sumAddress(ipv4.src(b, off)) + sumAddress(ipv4.dst(b, off));
  writeAddress(b, off + ipv4.SOURCE, src);
  writeAddress(b, off + ipv4.DESTINATION, dst);
  const to = sumAddress(src) + sumAddress(dst);
  setU16(b, off + IPV4_CHECKSUM, updateSum(u16(b, off + IPV4_CHECKSUM), old, to));
}
