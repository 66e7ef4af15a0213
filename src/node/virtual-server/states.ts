/**
 * How far a connection to a virtual server has got, by what passes in and out, and for how long it
 * is kept then.
 *
 * Truth: net/netfilter/ipvs/ip_vs_proto_tcp.c `tcp_states`, `tcp_timeouts`, ip_vs_proto_udp.c
 * `udp_timeouts`, ip_vs_proto_sctp.c `sctp_states`, `sctp_timeouts`, `set_sctp_state` (Linux 6.1).
 * Only the kernel's plain tables: no `secure_tcp`, and no connections of which only one direction
 * is seen.
 * @module
 */
import type { VirtualTimeouts } from '../../netfilter/virtual-server.ts';
import type { Packet } from '../../packet/packet.ts';
import { u8, u16 } from '../../wire/bytes.ts';
import { HEADER_LENGTH as SCTP_HEADER } from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import { Protocol } from '../../wire/protocol.ts';

/** From the client, or from the real server. */
export type Way = 'in' | 'out';

const TCP_ORDER = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'] as const;
const SCTP_ORDER = [
  ...([
    'NO',
    'I1',
    'IN',
    'CS',
    'CR',
    'CW',
    'CO',
    'CE',
    'ES',
    'SS',
    'SR',
    'SA',
    'RJ',
    'CL',
  ] as const),
] as const;

/** A state by the two letters that the kernel's tables have for it. */
export type VirtualState = (typeof TCP_ORDER)[number] | (typeof SCTP_ORDER)[number];

/** Next states by event, in the order of the states. */
const TCP_NEXT: Readonly<Record<Way, Readonly<Record<TcpEvent, string>>>> = {
  in: {
    syn: 'SR ES ES SR SR SR SR SR SR SR SR',
    fin: 'CL CW SS TW TW TW CL CW LA LI TW',
    ack: 'ES ES SS ES FW TW CL CW CL LI ES',
    rst: 'CL CL CL SR CL CL CL CL LA LI SR',
  },
  out: {
    syn: 'SS ES SS SR SS SS SS SS SS LI SR',
    fin: 'TW FW SS TW FW TW CL TW LA LI TW',
    ack: 'ES ES SS ES FW TW CL CW LA ES ES',
    rst: 'CL CL SS CL CL TW CL CL CL CL CL',
  },
};

type TcpEvent = 'syn' | 'fin' | 'ack' | 'rst';

const SCTP_EVENTS = ['data', 'init', 'initAck', 'cookieEcho', 'cookieAck'] as const;
const SCTP_ENDS = ['shutdown', 'shutdownAck', 'shutdownComplete', 'error', 'abort'] as const;
type SctpEvent = (typeof SCTP_EVENTS)[number] | (typeof SCTP_ENDS)[number];

const SCTP_NEXT: Readonly<Record<Way, Readonly<Record<SctpEvent, string>>>> = {
  in: {
    data: 'ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
    init: 'I1 IN IN CS CR CW CO CE ES SS SR SA IN IN',
    initAck: 'CW CW CW CS CR CO CO CE ES SS SR SA RJ CL',
    cookieEcho: 'CR IN IN CR CR CW CO CE ES SS SR SA RJ CL',
    cookieAck: 'ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL',
    shutdown: 'SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL',
    shutdownAck: 'CL IN IN CS CR CW CO CE ES CL SR CL RJ CL',
    shutdownComplete: 'CL CL CL CS CR CW CO CE ES SS SR CL RJ CL',
    error: 'CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL',
    abort: 'CL CL CL CL CL RJ CL CL CL CL CL CL CL CL',
  },
  out: {
    data: 'ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
    init: 'CW CW CW CW CW CW CW CW ES CW CW CW CW CW',
    initAck: 'CS CS CS CS CR CW CO CE ES SS SR SA RJ CL',
    cookieEcho: 'CE CE CE CE CE CE CE CE ES SS SR SA RJ CL',
    cookieAck: 'ES ES ES ES ES ES ES ES ES SS SR SA RJ CL',
    shutdown: 'SS SS SS SS SS SS SS SS SS SS SR SA RJ CL',
    shutdownAck: 'SA SA SA SA SA CW CO CE ES SA SA SA RJ CL',
    shutdownComplete: 'CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL',
    error: 'CL CL CL CL CL CW CO CE ES SS SR SA RJ CL',
    abort: 'CL RJ CL CL CL CL CL CL CL CL CL CL CL CL',
  },
};

/** Seconds; those of ES and FW are settings. */
const TCP_SECONDS: Readonly<Partial<Record<VirtualState, number>>> = {
  NO: 2,
  SS: 120,
  SR: 60,
  TW: 120,
  CL: 10,
  CW: 60,
  LA: 30,
  LI: 120,
  SA: 120,
};
const SCTP_MAX_RTO = 61;
const SCTP_SECONDS: Readonly<Partial<Record<VirtualState, number>>> = {
  NO: 2,
  I1: 4,
  ES: 900,
  RJ: 4,
};

/** What a packet makes of a connection: its state, and seconds to live; null: what it was. */
export function nextState(
  packet: Packet,
  before: VirtualState,
  way: Way,
  timeouts: VirtualTimeouts,
): { readonly state: VirtualState; readonly seconds: number } | null {
  switch (packet.protocol) {
    case Protocol.tcp: {
      if (packet.bytes.length < packet.l4 + tcp.MIN_HEADER_LENGTH) return null;
      const event = tcpEvent(tcp.flags(packet.bytes, packet.l4));
      const state = event === null ? 'CL' : stepTo(TCP_NEXT[way][event], TCP_ORDER, before);
      return { state, seconds: lifetime(packet.protocol, state, timeouts) };
    }
    case Protocol.sctp: {
      const event = sctpEvent(packet);
      if (event === null) return null;
      const state = stepTo(SCTP_NEXT[way][event], SCTP_ORDER, before);
      return { state, seconds: lifetime(packet.protocol, state, timeouts) };
    }
    default:
      return { state: 'NO', seconds: timeouts.udp };
  }
}

/** Seconds that a connection in this state lives without another packet. */
export function lifetime(protocol: number, state: VirtualState, timeouts: VirtualTimeouts): number {
  if (protocol === Protocol.tcp) {
    if (state === 'ES') return timeouts.tcp;
    return state === 'FW' ? timeouts.tcpFin : (TCP_SECONDS[state] ?? 0);
  }
  return protocol === Protocol.sctp ? (SCTP_SECONDS[state] ?? SCTP_MAX_RTO) : timeouts.udp;
}

function stepTo(row: string, order: readonly VirtualState[], before: VirtualState): VirtualState {
  const found = row.split(' ')[order.indexOf(before)];
  return order.find((state) => state === found) ?? before;
}

/** `tcp_state_idx`. */
function tcpEvent(flags: number): TcpEvent | null {
  const { syn, fin, ack, rst } = tcp.TcpFlag;
  if ((flags & rst) !== 0) return 'rst';
  if ((flags & syn) !== 0) return 'syn';
  if ((flags & fin) !== 0) return 'fin';
  return (flags & ack) !== 0 ? 'ack' : null;
}

/** By chunk type (RFC 9260 section 3.2); all others count as data. */
const CHUNK_EVENTS: ReadonlyMap<number, SctpEvent> = new Map([
  [1, 'init'],
  [2, 'initAck'],
  [6, 'abort'],
  [7, 'shutdown'],
  [8, 'shutdownAck'],
  [9, 'error'],
  [10, 'cookieEcho'],
  [11, 'cookieAck'],
  [14, 'shutdownComplete'],
]);
const ABORT = 6;
const CHUNK_HEADER = 4;

/** The type of the first chunk of an SCTP packet, or null when there is none. */
export function firstChunk(packet: Packet): number | null {
  const at = packet.l4 + SCTP_HEADER;
  const end = Math.min(packet.end, packet.bytes.length);
  return at + CHUNK_HEADER > end ? null : u8(packet.bytes, at);
}

function sctpEvent(packet: Packet): SctpEvent | null {
  const type = firstChunk(packet);
  if (type === null) return null;
  const event = CHUNK_EVENTS.get(type) ?? 'data';
  if (event !== 'cookieEcho' && event !== 'cookieAck') return event;
  // An ABORT may come behind a cookie.
  const at = packet.l4 + SCTP_HEADER;
  const length = u16(packet.bytes, at + 2);
  const next = at + 4 * Math.ceil(length / 4);
  const isThere = next + CHUNK_HEADER <= Math.min(packet.end, packet.bytes.length);
  const isAborted = length >= CHUNK_HEADER && isThere && u8(packet.bytes, next) === ABORT;
  return isAborted ? 'abort' : event;
}
