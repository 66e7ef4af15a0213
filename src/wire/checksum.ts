/**
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624), the pseudo headers of both
 * families (RFC 9293 section 3.1, RFC 8200 section 8.1), and CRC32c for SCTP (RFC 9260 appendix A).
 *
 * Sums are kept unfolded below 2^53 while they run: a frame is at most 64 KiB, so nothing
 * overflows.
 * @module
 */
import type { Address } from './address/address.ts';
import { u8, u16 } from './bytes.ts';

/** Fold a running sum of 16-bit words to 16 bits (end-around carry). */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/**
 * Running sum of the 16-bit words of `b[off, end)`; an odd last byte is the high half of a word.
 */
export function sumBytes(b: Uint8Array, off: number, end: number): number {
  let sum = 0;
  const even = off + ((end - off) & ~1);
  for (let i = off; i < even; i += 2) sum += u16(b, i);
  return even < end ? sum + (u8(b, even) << 8) : sum;
}

/**
 * The checksum to store: complement of the folded sum. Over data with its checksum it is 0 if
 * right.
 */
export function checksum(b: Uint8Array, off: number, end: number): number {
  return ~fold(sumBytes(b, off, end)) & 0xffff;
}

/** Running sum of an address's words as they stand in a header. */
export function sumAddress(a: Address): number {
  const low = (a.w3 >>> 16) + (a.w3 & 0xffff);
  if (a.family === 4) return low;
  return (
    low +
    (a.w0 >>> 16) +
    (a.w0 & 0xffff) +
    (a.w1 >>> 16) +
    (a.w1 & 0xffff) +
    (a.w2 >>> 16) +
    (a.w2 & 0xffff)
  );
}

/** Running sum of the pseudo header; `length` is that of transport header and payload. */
export function sumPseudoHeader(
  src: Address,
  dst: Address,
  protocol: number,
  length: number,
): number {
  return sumAddress(src) + sumAddress(dst) + protocol + (length >>> 16) + (length & 0xffff);
}

/**
 * What a sender stores that leaves the checksum to its device: the folded pseudo header, not
 * inverted.
 */
export function partialChecksum(
  src: Address,
  dst: Address,
  protocol: number,
  length: number,
): number {
  return fold(sumPseudoHeader(src, dst, protocol, length));
}

/** What a checksum that covers one changed 16-bit word becomes (RFC 1624 equation 3). */
export function update16(old: number, from: number, to: number): number {
  return ~fold((~old & 0xffff) + (~from & 0xffff) + to) & 0xffff;
}

/**
 * What a checksum becomes when words adding up to `from` are replaced by words adding up to `to`
 * (running sums, as `sumAddress` gives): equation 3 for many words at once.
 */
export function updateSum(old: number, from: number, to: number): number {
  return ~fold((~old & 0xffff) + (~fold(from) & 0xffff) + fold(to)) & 0xffff;
}

/** What a sender's partial checksum (not inverted) becomes for the same change. */
export function updatePartial(old: number, from: number, to: number): number {
  return fold(old + (~fold(from) & 0xffff) + fold(to));
}

const CRC32C_POLYNOMIAL = 0x82f63b78;
const CRC32C_TABLE = makeCrc32cTable();

function makeCrc32cTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ CRC32C_POLYNOMIAL : c >>> 1;
    table[i] = c >>> 0;
  }
  return table;
}

function crcStep(crc: number, byte: number): number {
  return (CRC32C_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
}

/**
 * CRC32c of `b[off, end)` with the four bytes at `zeroAt` read as zero, as the 32-bit number that
 * stands in an SCTP header read in network order.
 */
export function crc32c(b: Uint8Array, off: number, end: number, zeroAt: number): number {
  let crc = 0xffffffff;
  for (let i = off; i < end; i++) {
    crc = crcStep(crc, i >= zeroAt && i < zeroAt + 4 ? 0 : u8(b, i));
  }
  const c = ~crc >>> 0;
  // RFC 9260 appendix A: the remainder goes out least significant byte first.
  return (((c & 0xff) << 24) | ((c & 0xff00) << 8) | ((c >>> 8) & 0xff00) | (c >>> 24)) >>> 0;
}
