/**
 * The TCP state table: what each kind of segment from each side makes of each state.
 *
 * We sit in the middle and guess the sender's state. `ignore`: the segment may be valid or not,
 * only the receiver knows; it passes and changes nothing but a note. `invalid`: it can not belong
 * here.
 *
 * Source: net/netfilter/nf_conntrack_proto_tcp.c `tcp_conntracks`, Linux 6.18; held by
 * test/differential/kernel/conntrack.test.ts.
 * @module
 */
import { TcpFlag } from '../../wire/header/tcp.ts';

export const TCP_STATES = [
  'none',
  'synSent',
  'synRecv',
  'established',
  'finWait',
  'closeWait',
  'lastAck',
  'timeWait',
  'close',
  'synSent2',
] as const;
export type TcpState = (typeof TCP_STATES)[number];

/** What counts of a segment's flags: RST before SYN before FIN before ACK. */
export type TcpIndex = 'syn' | 'synAck' | 'fin' | 'ack' | 'rst' | 'none';

export type TcpNext = TcpState | 'ignore' | 'invalid';

/** Names as conntrack(8) prints them. */
export const TCP_STATE_NAMES: Readonly<Record<TcpState, string>> = {
  none: 'NONE',
  synSent: 'SYN_SENT',
  synRecv: 'SYN_RECV',
  established: 'ESTABLISHED',
  finWait: 'FIN_WAIT',
  closeWait: 'CLOSE_WAIT',
  lastAck: 'LAST_ACK',
  timeWait: 'TIME_WAIT',
  close: 'CLOSE',
  synSent2: 'SYN_SENT2',
};

const CODES: Readonly<Record<string, TcpNext>> = {
  SS: 'synSent',
  SR: 'synRecv',
  ES: 'established',
  FW: 'finWait',
  CW: 'closeWait',
  LA: 'lastAck',
  TW: 'timeWait',
  CL: 'close',
  S2: 'synSent2',
  ig: 'ignore',
  iv: 'invalid',
};

/** Columns in the order of `TCP_STATES`: none SS SR ES FW CW LA TW CL S2. */
const ORIGINAL: Readonly<Record<TcpIndex, string>> = {
  syn: 'SS SS ig ig ig ig ig SS SS S2',
  synAck: 'iv iv SR iv iv iv iv iv iv SR',
  fin: 'iv iv FW FW LA LA LA TW CL iv',
  ack: 'ES iv ES ES CW CW TW TW CL iv',
  rst: 'iv CL CL CL CL CL CL CL CL CL',
  none: 'iv iv iv iv iv iv iv iv iv iv',
};

const REPLY: Readonly<Record<TcpIndex, string>> = {
  syn: 'iv S2 iv iv iv iv iv SS iv S2',
  synAck: 'iv SR ig ig ig ig ig ig ig SR',
  fin: 'iv iv FW FW LA LA LA TW CL iv',
  ack: 'iv ig SR ES CW CW TW TW CL ig',
  rst: 'iv CL CL CL CL CL CL CL CL CL',
  none: 'iv iv iv iv iv iv iv iv iv iv',
};

function read(rows: Readonly<Record<TcpIndex, string>>): ReadonlyMap<string, TcpNext> {
  const table = new Map<string, TcpNext>();
  for (const [index, row] of Object.entries(rows)) {
    row.split(' ').forEach((code, column) => {
      table.set(`${index} ${TCP_STATES[column]}`, CODES[code] ?? 'invalid');
    });
  }
  return table;
}

const NEXT = { original: read(ORIGINAL), reply: read(REPLY) };

/** What a segment of this kind, going this way, makes of the state. */
export function nextTcpState(
  direction: 'original' | 'reply',
  index: TcpIndex,
  state: TcpState,
): TcpNext {
  return NEXT[direction].get(`${index} ${state}`) ?? 'invalid';
}

/** The kind of a segment by its flag bits (`get_conntrack_index`). */
export function tcpIndex(flags: number): TcpIndex {
  if (flags & TcpFlag.rst) return 'rst';
  if (flags & TcpFlag.syn) return flags & TcpFlag.ack ? 'synAck' : 'syn';
  if (flags & TcpFlag.fin) return 'fin';
  return flags & TcpFlag.ack ? 'ack' : 'none';
}

const { syn, rst, fin, ack, urg } = TcpFlag;
const VALID_FLAGS: ReadonlySet<number> = new Set([
  syn,
  syn | urg,
  syn | ack,
  rst,
  rst | ack,
  fin | ack,
  fin | ack | urg,
  ack,
  ack | urg,
]);

/** Whether the combination is one that TCPs send; PSH, ECE and CWR do not count. */
export function areValidFlags(flags: number): boolean {
  return VALID_FLAGS.has(flags & (syn | rst | fin | ack | urg));
}
