/**
 * The SCTP state table: what each kind of chunk from each side makes of each state.
 *
 * The states are those of the association as seen from the middle, not of either end. Chunks that
 * are not listed (DATA, SACK …) change nothing.
 *
 * Source: net/netfilter/nf_conntrack_proto_sctp.c `sctp_conntracks`, Linux 6.18.
 * @module
 */
import { SctpChunk } from '../../wire/header/sctp.ts';

export const SCTP_STATES = [
  'none',
  'closed',
  'cookieWait',
  'cookieEchoed',
  'established',
  'shutdownSent',
  'shutdownRecd',
  'shutdownAckSent',
  'heartbeatSent',
] as const;
export type SctpState = (typeof SCTP_STATES)[number];

/** Names as conntrack(8) prints them. */
export const SCTP_STATE_NAMES: Readonly<Record<SctpState, string>> = {
  none: 'NONE',
  closed: 'CLOSED',
  cookieWait: 'COOKIE_WAIT',
  cookieEchoed: 'COOKIE_ECHOED',
  established: 'ESTABLISHED',
  shutdownSent: 'SHUTDOWN_SENT',
  shutdownRecd: 'SHUTDOWN_RECD',
  shutdownAckSent: 'SHUTDOWN_ACK_SENT',
  heartbeatSent: 'HEARTBEAT_SENT',
};

const CODES: Readonly<Record<string, SctpState | 'invalid'>> = {
  CL: 'closed',
  CW: 'cookieWait',
  CE: 'cookieEchoed',
  ES: 'established',
  SS: 'shutdownSent',
  SR: 'shutdownRecd',
  SA: 'shutdownAckSent',
  HS: 'heartbeatSent',
  iv: 'invalid',
};

type Rows = readonly (readonly [chunk: number, row: string])[];

/** Columns in the order of `SCTP_STATES`: none CL CW CE ES SS SR SA HS. */
const ORIGINAL: Rows = [
  [SctpChunk.init, 'CL CL CW CE ES CL CL SA CW'],
  [SctpChunk.initAck, 'CL CL CW CE ES SS SR SA CL'],
  [SctpChunk.abort, 'CL CL CL CL CL CL CL CL CL'],
  [SctpChunk.shutdown, 'CL CL CW CE SS SS SR SA CL'],
  [SctpChunk.shutdownAck, 'SA CL CW CE ES SA SA SA SA'],
  [SctpChunk.error, 'CL CL CW CE ES SS SR SA CL'],
  [SctpChunk.cookieEcho, 'CL CL CE CE ES SS SR SA CL'],
  [SctpChunk.cookieAck, 'CL CL CW ES ES SS SR SA CL'],
  [SctpChunk.shutdownComplete, 'CL CL CW CE ES SS SR CL CL'],
  [SctpChunk.heartbeat, 'HS CL CW CE ES SS SR SA HS'],
  [SctpChunk.heartbeatAck, 'CL CL CW CE ES SS SR SA HS'],
];

const REPLY: Rows = [
  [SctpChunk.init, 'iv CL CW CE ES SS SR SA iv'],
  [SctpChunk.initAck, 'iv CW CW CE ES SS SR SA iv'],
  [SctpChunk.abort, 'iv CL CL CL CL CL CL CL iv'],
  [SctpChunk.shutdown, 'iv CL CW CE SR SS SR SA iv'],
  [SctpChunk.shutdownAck, 'iv CL CW CE ES SA SA SA iv'],
  [SctpChunk.error, 'iv CL CW CL ES SS SR SA iv'],
  [SctpChunk.cookieEcho, 'iv CL CE CE ES SS SR SA iv'],
  [SctpChunk.cookieAck, 'iv CL CW ES ES SS SR SA iv'],
  [SctpChunk.shutdownComplete, 'iv CL CW CE ES SS SR CL iv'],
  [SctpChunk.heartbeat, 'iv CL CW CE ES SS SR SA HS'],
  [SctpChunk.heartbeatAck, 'iv CL CW CE ES SS SR SA ES'],
];

type Table = ReadonlyMap<number, ReadonlyMap<SctpState, SctpState | 'invalid'>>;

function read(rows: Rows): Table {
  const row = (codes: string) =>
    new Map(
      codes.split(' ').map((code, i) => [SCTP_STATES[i] ?? 'none', CODES[code] ?? 'invalid']),
    );
  return new Map(rows.map(([chunk, codes]) => [chunk, row(codes)]));
}

const NEXT = { original: read(ORIGINAL), reply: read(REPLY) };

/** What a chunk going this way makes of the state. */
export function nextSctpState(
  direction: 'original' | 'reply',
  chunk: number,
  state: SctpState,
): SctpState | 'invalid' {
  return NEXT[direction].get(chunk)?.get(state) ?? state;
}
