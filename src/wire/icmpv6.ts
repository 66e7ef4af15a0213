/**
 * ICMPv6 (RFC 4443) and the numbers of neighbour discovery (RFC 4861).
 *
 * The header has ICMP's shape, but the checksum covers the pseudo header, so `emit` leaves it 0.
 * @module
 */
import { setU8, setU32, u8, u16, u32 } from './bytes.ts';
import type { HeaderFault } from './drop-reason.ts';

export const HEADER_LENGTH = 8;
export const CHECKSUM = 2;
const ID = 4;

export const Icmpv6Type = {
  destinationUnreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
  listenerQuery: 130,
  listenerReport: 131,
  listenerDone: 132,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighborSolicitation: 135,
  neighborAdvertisement: 136,
  redirect: 137,
  nodeInformationQuery: 139,
  nodeInformationReply: 140,
  listenerReport2: 143,
} as const;

export interface Icmpv6 {
  readonly type: number;
  readonly code: number;
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

/** Identifier of an echo. */
export function id(b: Uint8Array, off: number): number {
  return u16(b, off + ID);
}

/** Whether the message is about another packet: types below 128 (RFC 4443 section 2.1). */
export function isError(messageType: number): boolean {
  return messageType < 128;
}

/** Whether bytes 4–5 are an identifier that pairs request and reply. */
export function isQuery(messageType: number): boolean {
  return messageType === Icmpv6Type.echoRequest || messageType === Icmpv6Type.echoReply;
}

/** Read a checked header as a value. */
export function parse(b: Uint8Array, off: number): Icmpv6 {
  return { type: type(b, off), code: code(b, off), rest: u32(b, off + ID) };
}

/** Make a message with checksum 0. */
export function emit(header: Icmpv6, body: Uint8Array): Uint8Array {
  const b = new Uint8Array(HEADER_LENGTH + body.length);
  setU8(b, 0, header.type);
  setU8(b, 1, header.code);
  setU32(b, ID, header.rest);
  b.set(body, HEADER_LENGTH);
  return b;
}
