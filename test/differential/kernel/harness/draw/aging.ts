/**
 * Time that passes in a trial: connections that soon end, and pauses in which they do. Timeouts and
 * pauses are whole seconds and never meet, so that a busy machine may be late by most of a second.
 * @module
 */
import type { Draw } from '../../rule-space.ts';

/** Seconds of one pause; more than the two after which UDP counts as a stream. */
export const PAUSE = 2.5;
/** Ends in the first pause, in the second, and after the trial. */
const SECONDS = ['1', '4', '60'] as const;

const KEYS: readonly string[] = [
  'udp_timeout udp_timeout_stream icmp_timeout icmpv6_timeout generic_timeout gre_timeout',
  'gre_timeout_stream tcp_timeout_syn_sent tcp_timeout_syn_recv tcp_timeout_established',
  'tcp_timeout_fin_wait tcp_timeout_close_wait tcp_timeout_last_ack tcp_timeout_time_wait',
  'tcp_timeout_close tcp_timeout_unacknowledged tcp_timeout_max_retrans sctp_timeout_closed',
  'sctp_timeout_cookie_wait sctp_timeout_cookie_echoed sctp_timeout_established',
  'sctp_timeout_shutdown_sent sctp_timeout_shutdown_recd sctp_timeout_shutdown_ack_sent',
  'sctp_timeout_heartbeat_sent',
].flatMap((line) => line.split(' '));

/** Timeouts of every protocol's every state. */
export function drawTimeouts(draw: Draw): Readonly<Record<string, string>> {
  return Object.fromEntries(
    KEYS.map((key) => [`net.netfilter.nf_conntrack_${key}`, draw.of(SECONDS)]),
  );
}
