/**
 * The ends of a packet as it is right now: what a translation changes.
 * @module
 */
import { type Address, equalAddress } from '../wire/address/address.ts';
import { u16 } from '../wire/bytes.ts';
import { Protocol } from '../wire/protocol.ts';
import type { Packet } from './packet.ts';

/** Ports are 0 where the protocol has none; a query of ICMP has its identifier on both sides. */
export interface PacketEnds {
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

/** Read the ends of a parsed IP packet. */
export function packetEnds(packet: Packet): PacketEnds {
  const { src, dst, bytes, l4, protocol } = packet;
  const word = (at: number) => (l4 >= 0 && at + 2 <= bytes.length ? u16(bytes, at) : 0);
  switch (protocol) {
    case Protocol.tcp:
    case Protocol.udp:
    case Protocol.udplite:
    case Protocol.sctp:
      return { src, dst, sport: word(l4), dport: word(l4 + 2) };
    case Protocol.icmp:
    case Protocol.icmpv6:
      return { src, dst, sport: word(l4 + 4), dport: word(l4 + 4) };
    default:
      return { src, dst, sport: 0, dport: 0 };
  }
}

export function equalPacketEnds(a: PacketEnds, b: PacketEnds): boolean {
  if (a.sport !== b.sport || a.dport !== b.dport) return false;
  return equalAddress(a.src, b.src) && equalAddress(a.dst, b.dst);
}
