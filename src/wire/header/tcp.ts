/**
 * TCP header (RFC 9293 section 3.1).
 *
 *   0               2               4               8               12
 *   +---------------+---------------+---------------+---------------+
 *   |  source port  |   dest port   |   sequence    |acknowledgment |
 *   +-------+-------+---------------+---------------+---------------+
 *   |off|   | flags |    window     |   checksum    |    urgent     |  options up to off * 4
 *   +-------+-------+---------------+---------------+---------------+
 *
 * `check` proves the fixed 20 bytes, which is what rules look at; a data offset that is wrong is
 * connection tracking's business (`checkOffset`), as in the kernel: the packet itself is forwarded.
 * @module
 */
import { setU8, setU16, setU32, u8, u16, u32 } from '../bytes.ts';
import type { HeaderFault } from '../drop-reason.ts';

export const MIN_HEADER_LENGTH = 20;
const SPORT = 0;
const DPORT = 2;
const SEQ = 4;
const ACK = 8;
const OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
export const CHECKSUM = 16;
const URGENT = 18;

export const TcpFlag = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

export const TcpOption = {
  end: 0,
  nop: 1,
  mss: 2,
  windowScale: 3,
  sackPermitted: 4,
  sack: 5,
  timestamp: 8,
} as const;

export interface Tcp {
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  /** Bits of `TcpFlag`. */
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  /** A multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

/** Check that the fixed header can be read. */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < MIN_HEADER_LENGTH) return 'tcpTruncated';
  return b.length - off < MIN_HEADER_LENGTH ? 'headerCut' : null;
}

/** Check that the data offset is sane and all options can be read. Precondition: `check` passed. */
export function checkOffset(b: Uint8Array, off: number, end: number): HeaderFault | null {
  const length = headerLength(b, off);
  if (length < MIN_HEADER_LENGTH || length > end - off) return 'tcpBadOffset';
  return length > b.length - off ? 'headerCut' : null;
}

export function sport(b: Uint8Array, off: number): number {
  return u16(b, off + SPORT);
}

export function dport(b: Uint8Array, off: number): number {
  return u16(b, off + DPORT);
}

export function seq(b: Uint8Array, off: number): number {
  return u32(b, off + SEQ);
}

export function ack(b: Uint8Array, off: number): number {
  return u32(b, off + ACK);
}

/** Bits of `TcpFlag`. */
export function flags(b: Uint8Array, off: number): number {
  return u8(b, off + FLAGS);
}

export function window(b: Uint8Array, off: number): number {
  return u16(b, off + WINDOW);
}

/** Header length that the data offset states; may be wrong until `checkOffset` passed. */
export function headerLength(b: Uint8Array, off: number): number {
  return (u8(b, off + OFFSET) >>> 4) * 4;
}

export function checksum(b: Uint8Array, off: number): number {
  return u16(b, off + CHECKSUM);
}

/**
 * Walk the options: `visit(kind, at, length)` with `at` the offset of the kind byte. Stops at the
 * end marker and at the first malformed length, as the kernel does. Precondition: `checkOffset`.
 */
export function eachOption(
  b: Uint8Array,
  off: number,
  visit: (kind: number, at: number, length: number) => void,
): void {
  const end = off + headerLength(b, off);
  for (let at = off + MIN_HEADER_LENGTH; at < end; ) {
    const kind = u8(b, at);
    if (kind === TcpOption.end) return;
    if (kind === TcpOption.nop) {
      at += 1;
      continue;
    }
    if (at + 1 >= end) return;
    const length = u8(b, at + 1);
    if (length < 2 || at + length > end) return;
    visit(kind, at, length);
    at += length;
  }
}

/** Read a header as a value. Precondition: `check` and `checkOffset` passed. */
export function parse(b: Uint8Array, off: number): Tcp {
  return {
    sport: sport(b, off),
    dport: dport(b, off),
    seq: seq(b, off),
    ack: ack(b, off),
    flags: flags(b, off),
    window: window(b, off),
    urgent: u16(b, off + URGENT),
    options: b.slice(off + MIN_HEADER_LENGTH, off + headerLength(b, off)),
  };
}

/** Make a segment with checksum 0; `packet/build` and transport checksums fill it. */
export function emit(header: Tcp, payload: Uint8Array): Uint8Array {
  const length = MIN_HEADER_LENGTH + header.options.length;
  const b = new Uint8Array(length + payload.length);
  setU16(b, SPORT, header.sport);
  setU16(b, DPORT, header.dport);
  setU32(b, SEQ, header.seq);
  setU32(b, ACK, header.ack);
  setU8(b, OFFSET, (length / 4) << 4);
  setU8(b, FLAGS, header.flags);
  setU16(b, WINDOW, header.window);
  setU16(b, URGENT, header.urgent);
  b.set(header.options, MIN_HEADER_LENGTH);
  b.set(payload, length);
  return b;
}

const LETTERS: readonly (readonly [number, string])[] = [
  [TcpFlag.fin, 'F'],
  [TcpFlag.syn, 'S'],
  [TcpFlag.rst, 'R'],
  [TcpFlag.psh, 'P'],
  [TcpFlag.ack, '.'],
  [TcpFlag.urg, 'U'],
  [TcpFlag.ece, 'E'],
  [TcpFlag.cwr, 'W'],
];

/** Flags as tcpdump writes them (`S.` is SYN+ACK); `none` when no bit is set. */
export function formatFlags(bits: number): string {
  const text = LETTERS.map(([bit, letter]) => (bits & bit ? letter : '')).join('');
  return text === '' ? 'none' : text;
}
