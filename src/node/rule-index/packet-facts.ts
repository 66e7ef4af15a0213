/**
 * Packets whose rules may be found by index: of these every question of literal.ts has the answer
 * yes or no.
 *
 * All others are walked rule by rule: later fragments, headers that are too short or cut by the
 * capture (a rule may drop the packet, or stay open), devices whose names nobody knows, protocols
 * beside TCP, UDP and ICMP.
 * @module
 */
import { isAssumedDevice } from '../../image/gaps.ts';
import type { Packet } from '../../packet/packet.ts';
import { u16 } from '../../wire/bytes.ts';
import { Protocol } from '../../wire/protocol.ts';
import { transportHeader } from '../match/packet/transport.ts';

/** Ports as they stand in the header; what ICMP has there is asked of no ICMP packet. */
export interface PacketFacts {
  readonly sport: number;
  readonly dport: number;
}

/** How much of its header the matches and sets want to see. */
const HEADER: ReadonlyMap<number, number> = new Map([
  [Protocol.tcp, 20],
  [Protocol.udp, 8],
  [Protocol.icmp, 8],
  [Protocol.icmpv6, 8],
]);

/** What indexes need of the packet as it is now; null when it must be walked rule by rule. */
export function factsOf(packet: Packet): PacketFacts | null {
  const length = HEADER.get(packet.protocol);
  if (length === undefined || packet.fragmentOffset > 0) return null;
  if (isAssumedDevice(packet.inDevice) || isAssumedDevice(packet.outDevice)) return null;
  const at = transportHeader(packet, length);
  if (typeof at !== 'number') return null;
  return { sport: u16(packet.bytes, at), dport: u16(packet.bytes, at + 2) };
}
