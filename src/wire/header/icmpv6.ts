/**
 * ICMPv6 (RFC 4443) and the numbers of neighbour discovery (RFC 4861).
 *
 * The header has ICMP's shape, but the checksum covers the pseudo header, so `emit` leaves it 0.
 * @module
 */
import { setU8, setU32, u32 } from '../bytes.ts';
import { code, HEADER_LENGTH, type } from './icmp.ts';

export { CHECKSUM, check, checksum, code, HEADER_LENGTH, id, type } from './icmp.ts';

const REST = 4;

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
  return { type: type(b, off), code: code(b, off), rest: u32(b, off + REST) };
}

/** Make a message with checksum 0. */
export function emit(header: Icmpv6, body: Uint8Array): Uint8Array {
  const b = new Uint8Array(HEADER_LENGTH + body.length);
  setU8(b, 0, header.type);
  setU8(b, 1, header.code);
  setU32(b, REST, header.rest);
  b.set(body, HEADER_LENGTH);
  return b;
}
