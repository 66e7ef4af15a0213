/**
 * Tracking of GRE, and of every protocol without a tracker of its own (by addresses alone).
 *
 * Kernel: net/netfilter/nf_conntrack_proto_gre.c `nf_conntrack_gre_packet`,
 * net/netfilter/nf_conntrack_core.c `generic_packet`, Linux 6.18. Left out: PPTP's helper, which
 * pairs call numbers; its tunnels are tracked one way each.
 * @module
 */
import { type Connection, refresh } from '../connection.ts';
import type { TrackedSegment, TrackVerdict } from './segment.ts';
import type { ConntrackSettings } from './timeouts.ts';

/** Track a GRE packet: assured as soon as both directions have been seen. */
export function trackGre(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  refresh(connection, connection.seenReply ? settings.gre.stream : settings.gre.unreplied, s.nowNs);
  if (connection.seenReply) connection.assured = true;
  return 'accept';
}

/** Track a packet of any other protocol. */
export function trackGeneric(
  connection: Connection,
  s: TrackedSegment,
  settings: ConntrackSettings,
): TrackVerdict {
  refresh(connection, settings.genericS, s.nowNs);
  return 'accept';
}
