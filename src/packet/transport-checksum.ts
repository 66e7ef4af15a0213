/**
 * Transport checksums of whole packets: is it right, is it one that a sender left to its device,
 * and fill it in. What is right is decided as the kernel's `nf_ip_checksum` does
 * (net/netfilter/utils.c).
 *
 * Fragments and packets that the capture cut have no checksum that could be judged.
 * @module
 */
import type { Address } from '../wire/address/address.ts';
import { setU16, u16 } from '../wire/bytes.ts';
import {
  crc32c,
  fold,
  checksum as internetChecksum,
  partialChecksum,
  sumBytes,
  sumPseudoHeader,
} from '../wire/checksum.ts';
import * as icmp from '../wire/header/icmp.ts';
import * as icmpv6 from '../wire/header/icmpv6.ts';
import * as sctp from '../wire/header/sctp.ts';
import * as tcp from '../wire/header/tcp.ts';
import * as udp from '../wire/header/udp.ts';
import { Protocol } from '../wire/protocol.ts';
import type { Packet } from './packet.ts';

/**
 * `none`: there is no checksum to judge (UDP over IPv4 without one, unknown protocol, fragment,
 * cut).
 */
export type ChecksumVerdict = 'right' | 'wrong' | 'partial' | 'none';

/** A transport segment lying in `b[off, end)` with what its pseudo header needs. */
export interface Segment {
  readonly bytes: Uint8Array;
  readonly off: number;
  readonly end: number;
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
}

/** Offset of the 16-bit checksum of protocols that sum a pseudo header, or -1. */
function checksumField(protocol: number, family: 4 | 6): number {
  if (protocol === Protocol.tcp) return tcp.CHECKSUM;
  if (protocol === Protocol.udp) return udp.CHECKSUM;
  if (protocol === Protocol.icmpv6 && family === 6) return icmpv6.CHECKSUM;
  return -1;
}

/** Judge the checksum of a segment whose header can be read. */
export function verifySegment(s: Segment): ChecksumVerdict {
  const { bytes: b, off, end, protocol } = s;
  if (protocol === Protocol.sctp) {
    const at = off + sctp.CHECKSUM;
    return sctp.checksum(b, off) === crc32c(b, off, end, at) ? 'right' : 'wrong';
  }
  if (protocol === Protocol.icmp && s.src.family === 4) {
    return internetChecksum(b, off, end) === 0 ? 'right' : 'wrong';
  }
  const field = checksumField(protocol, s.src.family);
  if (field < 0) return 'none';
  const stored = u16(b, off + field);
  // RFC 768: "An all zero transmitted checksum value means that the transmitter generated no
  // checksum".
  if (protocol === Protocol.udp && stored === 0) return s.src.family === 4 ? 'none' : 'wrong';
  const pseudo = sumPseudoHeader(s.src, s.dst, protocol, end - off);
  if (fold(sumBytes(b, off, end) + pseudo) === 0xffff) return 'right';
  return stored === partialChecksum(s.src, s.dst, protocol, end - off) ? 'partial' : 'wrong';
}

/** Compute the segment's checksum anew. Does nothing for protocols without one. */
export function fillSegment(s: Segment): void {
  const { bytes: b, off, end, protocol } = s;
  if (protocol === Protocol.sctp) {
    sctp.fillChecksum(b, off, end);
    return;
  }
  if (protocol === Protocol.icmp && s.src.family === 4) {
    setU16(b, off + icmp.CHECKSUM, 0);
    setU16(b, off + icmp.CHECKSUM, internetChecksum(b, off, end));
    return;
  }
  const field = checksumField(protocol, s.src.family);
  if (field < 0) return;
  setU16(b, off + field, 0);
  const pseudo = sumPseudoHeader(s.src, s.dst, protocol, end - off);
  const sum = ~fold(sumBytes(b, off, end) + pseudo) & 0xffff;
  setU16(b, off + field, protocol === Protocol.udp && sum === 0 ? 0xffff : sum);
}

/** The packet's segment, or null for fragments, cut packets and headers that can not be read. */
function segmentOf(packet: Packet): Segment | null {
  if (packet.family === 0 || packet.l4 < 0 || packet.moreFragments) return null;
  if (packet.end > packet.bytes.length) return null;
  const { bytes, l4: off, protocol, src, dst } = packet;
  return { bytes, off, end: packet.end, protocol, src, dst };
}

/** Judge a packet's transport checksum. `partial` is what a sender leaves to its device. */
export function verifyChecksum(packet: Packet): ChecksumVerdict {
  const segment = segmentOf(packet);
  return segment === null ? 'none' : verifySegment(segment);
}

/** Fill in the checksum that was left to a device, and say so no longer. Whole packets only. */
export function completeChecksum(packet: Packet): void {
  const segment = segmentOf(packet);
  if (segment === null) return;
  fillSegment(segment);
  packet.checksumOffloaded = false;
}
