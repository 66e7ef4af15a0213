/**
 * The part of a TCP segment that causes are about, read from a packet of a lane: whole, plain, and
 * without extension headers or IP options.
 * @module
 */
import { u8 } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import * as tcp from '../../wire/header/tcp.ts';
import type { Segment } from '../causes.ts';

/** The segment of the packet of `length` bytes at `at`. */
export function segmentAt(b: Uint8Array, at: number, length: number): Segment {
  const l4 = at + (u8(b, at) >>> 4 === 4 ? ipv4.MIN_HEADER_LENGTH : ipv6.HEADER_LENGTH);
  const flags = tcp.flags(b, l4);
  const header = Math.max(tcp.headerLength(b, l4), tcp.MIN_HEADER_LENGTH);
  return {
    seq: tcp.seq(b, l4),
    ack: tcp.ack(b, l4),
    syn: (flags & tcp.TcpFlag.syn) !== 0,
    fin: (flags & tcp.TcpFlag.fin) !== 0,
    rst: (flags & tcp.TcpFlag.rst) !== 0,
    hasAck: (flags & tcp.TcpFlag.ack) !== 0,
    payloadLength: Math.max(0, at + length - l4 - header),
  };
}
