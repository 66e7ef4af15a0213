/**
 * What a packet that ended says of itself: its ends as delivered, and whether an ICMP error among
 * them is one that ends a connection.
 * @module
 */
import { formatAddress } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import { Protocol } from '../../wire/protocol.ts';
import { type Datagram, readUnjudged } from './datagram.ts';

/** Addresses and ports of an IP packet as reports print them. */
export interface Headers {
  readonly src: string;
  readonly dst: string;
  readonly sport: number | null;
  readonly dport: number | null;
}

/**
 * Read a packet that an engine ended, whose checksum nobody asks for; null when it is no whole IP
 * packet.
 */
export function packetOf(packet: Uint8Array | null): Datagram | null {
  if (packet === null) return null;
  const read = readUnjudged(0, packet, 0, Number.MAX_SAFE_INTEGER);
  return typeof read === 'string' ? null : read;
}

export function headersOf(packet: Uint8Array | null): Headers | null {
  const d = packetOf(packet);
  if (d === null) return null;
  return { src: formatAddress(d.src), dst: formatAddress(d.dst), ...visiblePorts(d) };
}

/** Ports of protocols that have them; an ICMP id is not a port. */
export function visiblePorts(d: Pick<Datagram, 'protocol' | 'sport' | 'dport'>): {
  sport: number | null;
  dport: number | null;
} {
  const isIcmp = d.protocol === Protocol.icmp || d.protocol === Protocol.icmpv6;
  return isIcmp ? { sport: null, dport: null } : { sport: d.sport, dport: d.dport };
}

/**
 * Whether the packet is a destination-unreachable that aborts a TCP connection being opened:
 * any code but "fragmentation needed" (tcp_v4_err, net/ipv4/tcp_ipv4.c; tcp_v6_err).
 */
export function isHardError(packet: Uint8Array | null): boolean {
  const d = packetOf(packet);
  if (d === null || d.l4 < 0) return false;
  const type = u8(d.bytes, d.l4);
  if (d.protocol === Protocol.icmp) return type === 3 && u8(d.bytes, d.l4 + 1) !== 4;
  return d.protocol === Protocol.icmpv6 && type === 1;
}
