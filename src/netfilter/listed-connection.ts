/**
 * A connection as conntrack(8) lists it, as data: what is known of one that was open before
 * anybody looked. Windows, tags and the time of its first packet are not among it.
 * @module
 */
import type { Address } from '../wire/address/address.ts';

/**
 * One direction's tuple. In the place of ports: ICMP has its identifier and `type * 256 + code`,
 * GRE its keys, protocols without ports 0 (as conntrack/tuple.ts keeps them).
 */
export interface ListedTuple {
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
}

export interface ListedTraffic {
  readonly packets: number;
  readonly bytes: number;
}

export interface ListedConnection {
  readonly original: ListedTuple;
  readonly reply: ListedTuple;
  /** The protocol's own state as listed (`ESTABLISHED`), '' for protocols that have none. */
  readonly state: string;
  /** Whole seconds that were left. */
  readonly timeoutS: number;
  readonly seenReply: boolean;
  readonly assured: boolean;
  readonly mark: number;
  readonly zone?: {
    readonly id: number;
    /** Which of the two tuples are in the zone. */
    readonly direction: 'both' | 'original' | 'reply';
  };
  /** By direction; listed with `net.netfilter.nf_conntrack_acct` only. */
  readonly traffic?: { readonly original: ListedTraffic; readonly reply: ListedTraffic };
}

/** TCP's states as conntrack(8) and /proc/net/nf_conntrack print them. */
export const LISTED_TCP_STATES: ReadonlySet<string> = new Set([
  ...['NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'],
  ...['TIME_WAIT', 'CLOSE', 'SYN_SENT2'],
]);

/** SCTP's; HEARTBEAT_ACKED until Linux 6.1, since then ESTABLISHED. */
export const LISTED_SCTP_STATES: ReadonlySet<string> = new Set([
  ...['NONE', 'CLOSED', 'COOKIE_WAIT', 'COOKIE_ECHOED', 'ESTABLISHED', 'SHUTDOWN_SENT'],
  ...['SHUTDOWN_RECD', 'SHUTDOWN_ACK_SENT', 'HEARTBEAT_SENT', 'HEARTBEAT_ACKED'],
]);
