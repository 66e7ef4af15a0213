/**
 * Tracking of UDP and UDP-Lite: a flow is a stream, and assured, once it has gone both ways for
 * longer than two seconds.
 *
 * Kernel: net/netfilter/nf_conntrack_proto_udp.c `nf_conntrack_udp_packet`, `udp_error`,
 * `udplite_error`, Linux 6.18.
 * @module
 */
import { verifySegment } from '../../packet/transport-checksum.ts';
import { fold, sumBytes, sumPseudoHeader } from '../../wire/checksum.ts';
import * as udp from '../../wire/header/udp.ts';
import { Protocol } from '../../wire/protocol.ts';
import { type Connection, NS_PER_S, refresh } from '../connection.ts';
import type { TrackedSegment, TrackVerdict } from './segment.ts';
import type { ConntrackSettings } from './timeouts.ts';

/** From this age on, traffic in both directions is a stream (`2 * HZ`). */
export const STREAM_AFTER_NS = 2 * NS_PER_S;

/** Track one datagram. A new connection gets its tracking state here. */
export function trackUdp(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  const fault = udp.check(s.bytes, s.off, s.end);
  if (fault === 'headerCut') return 'headerCut';
  const broken = s.protocol === Protocol.udplite ? isBrokenLite : isBroken;
  if (fault !== null || broken(s)) return 'invalid';
  if (!connection.confirmed || connection.tracking.kind !== 'udp') {
    connection.tracking = { kind: 'udp', streamNs: s.nowNs + STREAM_AFTER_NS };
  }
  if (!connection.seenReply) {
    refresh(connection, settings.udp.unreplied, s.nowNs);
    return 'accept';
  }
  const isStream = s.nowNs > connection.tracking.streamNs;
  refresh(connection, isStream ? settings.udp.stream : settings.udp.unreplied, s.nowNs);
  if (isStream) connection.assured = true;
  return 'accept';
}

function isBroken(s: TrackedSegment): boolean {
  if (udp.checkLength(s.bytes, s.off, s.end) !== null) return true;
  if (!s.verifyChecksum || udp.checksum(s.bytes, s.off) === 0) return false;
  return verifySegment(s) !== 'right';
}

/** RFC 3828: the length field says how much the checksum covers, 0 meaning everything. */
function isBrokenLite(s: TrackedSegment): boolean {
  const length = s.end - s.off;
  const coverage = udp.length(s.bytes, s.off) || length;
  if (coverage < udp.HEADER_LENGTH || coverage > length) return true;
  if (udp.checksum(s.bytes, s.off) === 0) return true;
  if (!s.verifyChecksum) return false;
  const pseudo = sumPseudoHeader(s.src, s.dst, s.protocol, length);
  return fold(sumBytes(s.bytes, s.off, s.off + coverage) + pseudo) !== 0xffff;
}
