/**
 * One tracked connection (`struct nf_conn`): both tuples, status, timeout and protocol state.
 *
 * Life: made unconfirmed by the first packet, confirmed (in the table by both tuples) when that
 * packet has survived the host, then found by lookup until its timeout passes or something kills
 * it.
 * @module
 */
import type { MarkOrigins } from '../packet/mark-origins.ts';
import type { CtZone } from '../packet/packet.ts';
import type { SctpState } from './protocol/sctp-states.ts';
import type { TcpState } from './protocol/tcp-states.ts';
import type { Tuple } from './tuple.ts';

export const NS_PER_S = 1e9;

export type Direction = 'original' | 'reply';

/** What window tracking knows of one sender (`struct ip_ct_tcp_state`). Numbers modulo 2^32. */
export interface TcpSide {
  /** Highest sequence number sent, plus one. */
  end: number;
  /** Highest sequence number that the peer has allowed. */
  maxEnd: number;
  /** Largest window that this side advertised; 0 until it has sent. */
  maxWindow: number;
  /** Highest acknowledgment sent; meaningful when `maxAckSet`. */
  maxAck: number;
  scale: number;
  windowScale: boolean;
  sackPermitted: boolean;
  closeInit: boolean;
  beLiberal: boolean;
  dataUnacknowledged: boolean;
  maxAckSet: boolean;
}

export interface TcpTracking {
  readonly kind: 'tcp';
  state: TcpState;
  readonly seen: { readonly original: TcpSide; readonly reply: TcpSide };
  lastDirection: Direction;
  lastIndex: 'syn' | 'synAck' | 'fin' | 'ack' | 'rst' | 'none';
  lastSeq: number;
  lastAck: number;
  lastEnd: number;
  lastWindow: number;
  retransmissions: number;
  /** Options of a SYN that was let through unjudged, in case its SYN-ACK comes. */
  lastScale: number;
  lastWindowScale: boolean;
  lastSackPermitted: boolean;
  expectChallengeAck: boolean;
  simultaneousOpen: boolean;
}

export interface SctpTracking {
  readonly kind: 'sctp';
  state: SctpState;
  readonly tag: Record<Direction, number>;
  readonly init: Record<Direction, boolean>;
  heartbeatTagFailed: boolean;
  lastDirection: Direction;
}

export interface UdpTracking {
  readonly kind: 'udp';
  /** From when on traffic in both directions counts as a stream. */
  streamNs: number;
}

/** GRE, ICMP and everything without a state of its own. */
export interface PlainTracking {
  readonly kind: 'plain';
}

export type Tracking = TcpTracking | SctpTracking | UdpTracking | PlainTracking;

export interface Connection {
  /** Lower than those of connections that were confirmed later; 0 before it is. */
  order: number;
  readonly original: Tuple;
  /** What answers look like; translation changes it before the connection is confirmed. */
  reply: Tuple;
  /** A packet went the reply way. */
  seenReply: boolean;
  /** Not a probe: never dropped to make room. */
  assured: boolean;
  confirmed: boolean;
  /** Taken out of the table; packets that still carry it may finish. */
  dying: boolean;
  /** Translation changed source or destination, and whether each has been decided at all. */
  sourceNat: boolean;
  destinationNat: boolean;
  sourceNatDone: boolean;
  destinationNatDone: boolean;
  /** Out device that MASQUERADE took the address of; '' when none did. */
  masqueradeDevice: string;
  mark: number;
  /** Who last set each mark bit, as in `Packet.markOrigins`. */
  markOrigins: Map<number, MarkOrigins> | null;
  /** How long it lives from confirmation on; counts only while unconfirmed. */
  lifetimeNs: number;
  /** When it ends; counts only while confirmed. */
  expiresNs: number;
  readonly createdNs: number;
  tracking: Tracking;
  /** Where in the table it is; null for zone 0. */
  readonly zone: CtZone | null;
  /** Its timeout was renewed: the packet counts (`nf_ct_refresh_acct`). */
  refreshed: boolean;
  /** Packets and bytes by direction; null when it was open before anybody counted. */
  traffic: Record<Direction, { packets: number; bytes: number }> | null;
}

/** Make an unconfirmed connection. */
export function newConnection(options: {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly nowNs: number;
  readonly zone?: CtZone | null;
}): Connection {
  return {
    order: 0,
    original: options.original,
    reply: options.reply,
    seenReply: false,
    assured: false,
    confirmed: false,
    dying: false,
    sourceNat: false,
    destinationNat: false,
    sourceNatDone: false,
    destinationNatDone: false,
    masqueradeDevice: '',
    mark: 0,
    markOrigins: null,
    lifetimeNs: 0,
    expiresNs: 0,
    createdNs: options.nowNs,
    tracking: { kind: 'plain' },
    zone: options.zone ?? null,
    refreshed: false,
    traffic: { original: { packets: 0, bytes: 0 }, reply: { packets: 0, bytes: 0 } },
  };
}

/** Another connection in the same state. */
export function copyConnection(connection: Connection): Connection {
  const { tracking, traffic, markOrigins } = connection;
  return {
    ...connection,
    tracking: copyTracking(tracking),
    markOrigins: markOrigins && new Map(markOrigins),
    traffic: traffic && { original: { ...traffic.original }, reply: { ...traffic.reply } },
  };
}

function copyTracking(tracking: Tracking): Tracking {
  switch (tracking.kind) {
    case 'tcp': {
      const { original, reply } = tracking.seen;
      return { ...tracking, seen: { original: { ...original }, reply: { ...reply } } };
    }
    case 'sctp':
      return { ...tracking, tag: { ...tracking.tag }, init: { ...tracking.init } };
    case 'udp':
    case 'plain':
      return { ...tracking };
  }
}

/** Let the connection live `seconds` from now (`nf_ct_refresh_acct`). */
export function refresh(connection: Connection, seconds: number, nowNs: number): void {
  connection.refreshed = true;
  if (connection.confirmed) connection.expiresNs = nowNs + seconds * NS_PER_S;
  else connection.lifetimeNs = seconds * NS_PER_S;
}

/** Nanoseconds left to live; never negative. */
export function remainingNs(connection: Connection, nowNs: number): number {
  return connection.confirmed ? Math.max(0, connection.expiresNs - nowNs) : connection.lifetimeNs;
}

export function opposite(direction: Direction): Direction {
  return direction === 'original' ? 'reply' : 'original';
}
