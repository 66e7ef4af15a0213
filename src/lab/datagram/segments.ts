/**
 * Offload aggregates: captures taken above the network card hold TCP frames larger than any MTU,
 * which the card cuts on sending or has merged on receiving (SEMANTICS A2).
 *
 * The size of the segments is not in the frame. Ethernet's MTU of 1500 bounds them, and only frames
 * above it are aggregates, so they are judged as segments that fill it.
 * @module
 */
import { Protocol } from '../../wire/protocol.ts';
import type { Datagram } from './datagram.ts';

const ETHERNET_MTU = 1500;

/** Payload bytes a segment of this aggregate carries; 0 when the packet is no aggregate. */
export function segmentSizeOf(d: Datagram): number {
  if (d.protocol !== Protocol.tcp || d.tcp === null) return 0;
  if (d.wireLength <= ETHERNET_MTU || d.fragment !== null) return 0;
  const headers = d.wireLength - d.tcp.payloadLength;
  return ETHERNET_MTU - headers;
}
