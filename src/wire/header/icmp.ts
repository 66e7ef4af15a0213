/**
 * ICMP for IPv4 (RFC 792; RFC 950 for address masks).
 *
 *   0       1       2               4                               8
 *   +-------+-------+---------------+-------------------------------+---- - -
 *   | type  | code  |   checksum    | rest: id+sequence, MTU, ...   | body
 *   +-------+-------+---------------+-------------------------------+---- - -
 *
 * The body of an error is the IP header and at least eight bytes of the packet it is about.
 * @module
 */
import { setU8, setU16, setU32, u8, u16, u32 } from '../bytes.ts';
import { checksum as internetChecksum } from '../checksum.ts';
import type { HeaderFault } from '../drop-reason.ts';

export const HEADER_LENGTH = 8;
export const CHECKSUM = 2;
const ID = 4;
const SEQUENCE = 6;

export const IcmpType = {
  echoReply: 0,
  destinationUnreachable: 3,
  sourceQuench: 4,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
  parameterProblem: 12,
  timestamp: 13,
  timestampReply: 14,
  infoRequest: 15,
  infoReply: 16,
  addressMask: 17,
  addressMaskReply: 18,
} as const;

export interface Icmp {
  readonly type: number;
  readonly code: number;
  /** The four bytes behind the checksum as one number: id and sequence of an echo. */
  readonly rest: number;
}

/** Check that the eight bytes of the header can be read. */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < HEADER_LENGTH) return 'icmpTruncated';
  return b.length - off < HEADER_LENGTH ? 'headerCut' : null;
}

export function type(b: Uint8Array, off: number): number {
  return u8(b, off);
}

export function code(b: Uint8Array, off: number): number {
  return u8(b, off + 1);
}

export function checksum(b: Uint8Array, off: number): number {
  return u16(b, off + CHECKSUM);
}

/** Identifier of a query (echo, timestamp, ...). */
export function id(b: Uint8Array, off: number): number {
  return u16(b, off + ID);
}

export function sequence(b: Uint8Array, off: number): number {
  return u16(b, off + SEQUENCE);
}

/** The four bytes behind the checksum. */
export function rest(b: Uint8Array, off: number): number {
  return u32(b, off + ID);
}

/** Whether the message is about another packet (`icmp_is_err`, include/linux/icmp.h). */
export function isError(messageType: number): boolean {
  return (
    messageType === IcmpType.destinationUnreachable ||
    messageType === IcmpType.sourceQuench ||
    messageType === IcmpType.redirect ||
    messageType === IcmpType.timeExceeded ||
    messageType === IcmpType.parameterProblem
  );
}

/** Whether bytes 4–5 are an identifier that pairs request and reply. */
export function isQuery(messageType: number): boolean {
  return (
    messageType === IcmpType.echoRequest ||
    messageType === IcmpType.echoReply ||
    (messageType >= IcmpType.timestamp && messageType <= IcmpType.addressMaskReply)
  );
}

/** Read a checked header as a value. */
export function parse(b: Uint8Array, off: number): Icmp {
  return { type: type(b, off), code: code(b, off), rest: rest(b, off) };
}

/** Make a message with its checksum. */
export function emit(header: Icmp, body: Uint8Array): Uint8Array {
  const b = new Uint8Array(HEADER_LENGTH + body.length);
  setU8(b, 0, header.type);
  setU8(b, 1, header.code);
  setU32(b, ID, header.rest);
  b.set(body, HEADER_LENGTH);
  setU16(b, CHECKSUM, internetChecksum(b, 0, b.length));
  return b;
}
