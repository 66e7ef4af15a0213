/**
 * SCTP common header and the frame of its chunks (RFC 9260 section 3).
 *
 *   0               2               4               8               12
 *   +---------------+---------------+---------------+---------------+---- - -
 *   |  source port  |   dest port   | verification  |    CRC32c     | chunks
 *   +---------------+---------------+---------------+---------------+---- - -
 *
 *   chunk: type (1) flags (1) length (2, header included, not the padding to 4)
 * @module
 */
import { setU8, setU16, setU32, u8, u16, u32 } from '../bytes.ts';
import { crc32c } from '../checksum.ts';
import type { HeaderFault } from '../drop-reason.ts';

export const HEADER_LENGTH = 12;
export const CHUNK_HEADER_LENGTH = 4;
const SPORT = 0;
const DPORT = 2;
const TAG = 4;
export const CHECKSUM = 8;

export const SctpChunk = {
  data: 0,
  init: 1,
  initAck: 2,
  sack: 3,
  heartbeat: 4,
  heartbeatAck: 5,
  abort: 6,
  shutdown: 7,
  shutdownAck: 8,
  error: 9,
  cookieEcho: 10,
  cookieAck: 11,
  shutdownComplete: 14,
} as const;

export interface Chunk {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

export interface Sctp {
  readonly sport: number;
  readonly dport: number;
  readonly tag: number;
  readonly chunks: readonly Chunk[];
}

/** Check that the common header can be read. */
export function check(b: Uint8Array, off: number, end: number): HeaderFault | null {
  if (end - off < HEADER_LENGTH) return 'sctpTruncated';
  return b.length - off < HEADER_LENGTH ? 'headerCut' : null;
}

export function sport(b: Uint8Array, off: number): number {
  return u16(b, off + SPORT);
}

export function dport(b: Uint8Array, off: number): number {
  return u16(b, off + DPORT);
}

/** Verification tag. */
export function tag(b: Uint8Array, off: number): number {
  return u32(b, off + TAG);
}

export function checksum(b: Uint8Array, off: number): number {
  return u32(b, off + CHECKSUM);
}

/** Compute the CRC anew over `b[off, end)`. */
export function fillChecksum(b: Uint8Array, off: number, end: number): void {
  setU32(b, off + CHECKSUM, crc32c(b, off, end, off + CHECKSUM));
}

/** Where the chunks are: offset, type and stated length of each; stops at a length of zero. */
export function chunkOffsets(
  b: Uint8Array,
  off: number,
  end: number,
): readonly { readonly at: number; readonly type: number; readonly length: number }[] {
  const found = [];
  let at = off + HEADER_LENGTH;
  while (at + CHUNK_HEADER_LENGTH <= end) {
    const length = u16(b, at + 2);
    if (length === 0) break;
    found.push({ at, type: u8(b, at), length });
    at += (length + 3) & ~3;
  }
  return found;
}

/** Read a checked packet as a value; chunks that run past `end` are left out. */
export function parse(b: Uint8Array, off: number, end: number): Sctp {
  const chunks = chunkOffsets(b, off, end)
    .filter((c) => c.length >= CHUNK_HEADER_LENGTH && c.at + c.length <= end)
    .map((c) => ({
      type: c.type,
      flags: u8(b, c.at + 1),
      body: b.slice(c.at + CHUNK_HEADER_LENGTH, c.at + c.length),
    }));
  return { sport: sport(b, off), dport: dport(b, off), tag: tag(b, off), chunks };
}

/** Make a packet with its CRC32c; chunks are padded to 4 bytes. */
export function emit(packet: Sctp): Uint8Array {
  const sizes = packet.chunks.map((c) => (CHUNK_HEADER_LENGTH + c.body.length + 3) & ~3);
  const b = new Uint8Array(HEADER_LENGTH + sizes.reduce((sum, size) => sum + size, 0));
  setU16(b, SPORT, packet.sport);
  setU16(b, DPORT, packet.dport);
  setU32(b, TAG, packet.tag);
  let at = HEADER_LENGTH;
  packet.chunks.forEach((chunk, i) => {
    setU8(b, at, chunk.type);
    setU8(b, at + 1, chunk.flags);
    setU16(b, at + 2, CHUNK_HEADER_LENGTH + chunk.body.length);
    b.set(chunk.body, at + CHUNK_HEADER_LENGTH);
    at += sizes[i] ?? 0;
  });
  fillChecksum(b, 0, b.length);
  return b;
}
