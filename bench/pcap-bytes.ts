/**
 * Headers of pcap files as generators of captures write them: Ethernet, microseconds, little-endian.
 * @module
 */

export const FILE_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;
const MAGIC = 0xa1b2c3d4;
const SNAP_LENGTH = 262_144;
const ETHERNET = 1;
/** 2023-11-14. */
const FIRST_SECOND = 1_700_000_000;

/** The file's header. */
export function pcapHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(SNAP_LENGTH, 16);
  header.writeUInt32LE(ETHERNET, 20);
  return header;
}

/** Write the header of a whole frame of so many bytes, so many microseconds after the first. */
export function writeRecordHeader(b: Buffer, at: number, us: number, frameBytes: number): void {
  b.writeUInt32LE(FIRST_SECOND + Math.floor(us / 1e6), at);
  b.writeUInt32LE(us % 1e6, at + 4);
  b.writeUInt32LE(frameBytes, at + 8);
  b.writeUInt32LE(frameBytes, at + 12);
}
