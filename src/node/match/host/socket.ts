/**
 * Matches that ask for the packet's socket: owner, socket, cgroup.
 *
 * Source: net/netfilter/xt_owner.c `owner_mt`, xt_socket.c `socket_match`, xt_cgroup.c
 * `cgroup_mt_v1`, net/ipv4/netfilter/nf_socket_ipv4.c `nf_sk_lookup_slow_v4` (Linux 6.18).
 * @module
 */
import type { FurtherMatch } from '../../../netfilter/further-match.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { Answer } from '../answer.ts';

/**
 * A packet that came in from outside has no socket: every question about one is answered no. Of the
 * host's own packets nobody knows whose they are.
 */
export function matchOwner(match: Extract<Match, { kind: 'owner' }>, packet: Packet): Answer {
  if (packet.inDevice === '') return 'unanswerable';
  if (match.supplementaryGroups) return 'miss';
  const asked = [match.uid, match.gid, match.socketExists];
  return asked.every((part) => part === undefined || part.negate) ? 'hit' : 'miss';
}

/** Nobody knows what listens on a host; only TCP, UDP and ICMP errors are looked up at all. */
export function matchSocket(packet: Packet): Answer {
  return WITH_SOCKETS.has(packet.protocol) ? 'unanswerable' : 'miss';
}

const WITH_SOCKETS: ReadonlySet<number> = new Set([
  Protocol.tcp,
  Protocol.udp,
  Protocol.icmp,
  Protocol.icmpv6,
]);

/** A forwarded packet has no socket, and then the match never holds, negated or not. */
export function matchCgroup(
  _match: Extract<FurtherMatch, { kind: 'cgroup' }>,
  packet: Packet,
): Answer {
  const forwarded = packet.inDevice !== '' && packet.outDevice !== '';
  return forwarded ? 'miss' : 'unanswerable';
}
