/**
 * Packets of a workload: IP, TCP or UDP, with right checksums.
 * @module
 */
import { fillSegment } from '../../packet/transport-checksum.ts';
import type { Address } from '../../wire/address/address.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as tcp from '../../wire/header/tcp.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol } from '../../wire/protocol.ts';

/** What a packet of a workload carries, beside its addresses. */
export interface Segment {
  readonly sport: number;
  readonly dport: number;
  readonly isTcp: boolean;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly size: number;
}

/** An IP packet with right checksums. */
export function buildPacket(src: Address, dst: Address, s: Segment): Uint8Array {
  const payload = new Uint8Array(s.size).fill(0x5a);
  const head = { window: 60_000, urgent: 0, options: new Uint8Array(0) };
  const body = s.isTcp ? tcp.emit({ ...s, ...head }, payload) : udp.emit(s, payload);
  const protocol = s.isTcp ? Protocol.tcp : Protocol.udp;
  fillSegment({ bytes: body, off: 0, end: body.length, protocol, src, dst });
  return src.family === 4 ? in4(src, dst, protocol, body) : in6(src, dst, protocol, body);
}

function in4(src: Address, dst: Address, protocol: number, body: Uint8Array): Uint8Array {
  const flags = { dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const rest = { tos: 0, id: 0, ttl: 64, options: new Uint8Array(0) };
  return ipv4.emit({ ...flags, ...rest, protocol, src, dst }, body);
}

function in6(src: Address, dst: Address, nextHeader: number, body: Uint8Array): Uint8Array {
  return ipv6.emit({ trafficClass: 0, flowLabel: 0, nextHeader, hopLimit: 64, src, dst }, body);
}
