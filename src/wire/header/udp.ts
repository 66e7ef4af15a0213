/**
 * UDP header (RFC 768).
 *
 *   0               2               4               6               8
 *   +---------------+---------------+---------------+---------------+
 *   |  source port  |   dest port   |    length     |   checksum    |
 *   +---------------+---------------+---------------+---------------+
 *
 * `check` proves the eight bytes; a length that is wrong is connection tracking's business
 * (`checkLength`), as in the kernel. Checksum zero means that none was made.
 * @module
 */
import { setU16, u16 } from '../bytes.ts';
import type { HeaderFault } from '../drop-reason.ts';

export const HEADER_LENGTH = 8;
const SPORT = 0;
const DPORT = 2;
const LENGTH = 4;
export const CHECKSUM = 6;

export interface Udp {
  readonly sport: number;
  readonly dport: number;
}

/** Check that the header can be read. */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < HEADER_LENGTH) return 'udpTruncated';
  return b.length - off < HEADER_LENGTH ? 'headerCut' : null;
}

/** Check the length field against the datagram's end on the wire. Precondition: `check` passed. */
export function checkLength(b: Uint8Array, off: number, end: number): HeaderFault | null {
  const size = length(b, off);
  return size < HEADER_LENGTH || size > end - off ? 'udpBadLength' : null;
}

export function sport(b: Uint8Array, off: number): number {
  return u16(b, off + SPORT);
}

export function dport(b: Uint8Array, off: number): number {
  return u16(b, off + DPORT);
}

/** Length of header and payload as the header states it. */
export function length(b: Uint8Array, off: number): number {
  return u16(b, off + LENGTH);
}

export function checksum(b: Uint8Array, off: number): number {
  return u16(b, off + CHECKSUM);
}

/** Read a checked header as a value. */
export function parse(b: Uint8Array, off: number): Udp {
  return { sport: sport(b, off), dport: dport(b, off) };
}

/** Make a datagram with checksum 0. */
export function emit(header: Udp, payload: Uint8Array): Uint8Array {
  const b = new Uint8Array(HEADER_LENGTH + payload.length);
  setU16(b, SPORT, header.sport);
  setU16(b, DPORT, header.dport);
  setU16(b, LENGTH, b.length);
  b.set(payload, HEADER_LENGTH);
  return b;
}
