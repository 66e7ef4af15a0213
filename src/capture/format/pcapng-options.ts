/**
 * Option lists and name records of pcapng: read defensively, for a length in a file is a claim.
 * @module
 */
import { formatAddress, readIpv4, readIpv6 } from '../../wire/address/address.ts';
import { u8 } from '../../wire/bytes.ts';
import type { PacketAnnotations, PacketVerdict, ResolvedName } from '../record.ts';
import { NameRecord, OptionCode, padded, VerdictType } from './pcapng-layout.ts';

/** Byte offsets within one block, and the section's byte order. */
export interface BlockRange {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly little: boolean;
}

const DIRECTION_MASK = 3;
const FLAG_INBOUND = 1;
const FLAG_OUTBOUND = 2;
const UTF8 = new TextDecoder();

/**
 * Call `visit` for each option between `from` and `to`.
 *
 * A list that runs past its block ends there: the packet is whole, the option is not.
 */
export function eachOption(
  block: BlockRange,
  from: number,
  to: number,
  visit: (code: number, off: number, length: number) => void,
): void {
  let off = from;
  while (off + 4 <= to) {
    const code = block.view.getUint16(off, block.little);
    const length = block.view.getUint16(off + 2, block.little);
    if (code === OptionCode.end || off + 4 + length > to) return;
    visit(code, off + 4, length);
    off += 4 + padded(length);
  }
}

/** UTF-8 text of an option; trailing NULs, which some writers add, are dropped. */
export function optionText(block: BlockRange, off: number, length: number): string {
  let end = off + length;
  while (end > off && u8(block.bytes, end - 1) === 0) end--;
  return UTF8.decode(block.bytes.subarray(off, end));
}

/** Comments and annotations of an enhanced packet block; absent fields where it has none. */
export interface PacketOptions {
  readonly comments?: readonly string[];
  readonly annotations?: PacketAnnotations;
}

/** Read a packet's options. */
export function packetOptions(block: BlockRange, from: number, to: number): PacketOptions {
  const comments: string[] = [];
  const verdicts: PacketVerdict[] = [];
  const found: { -readonly [K in keyof PacketAnnotations]: PacketAnnotations[K] } = {};
  eachOption(block, from, to, (code, off, length) => {
    if (code === OptionCode.comment) comments.push(optionText(block, off, length));
    else if (code === OptionCode.packetFlags && length === 4) {
      const direction = block.view.getUint32(off, block.little) & DIRECTION_MASK;
      if (direction === FLAG_INBOUND) found.direction = 'inbound';
      if (direction === FLAG_OUTBOUND) found.direction = 'outbound';
    } else if (code === OptionCode.packetDropCount && length === 8) {
      found.dropCount = block.view.getBigUint64(off, block.little);
    } else if (code === OptionCode.packetId && length === 8) {
      found.packetId = block.view.getBigUint64(off, block.little);
    } else if (code === OptionCode.packetVerdict && length >= 1) {
      const verdict = readVerdict(block, off, length);
      if (verdict !== null) verdicts.push(verdict);
    }
  });
  if (verdicts.length > 0) found.verdicts = verdicts;
  return {
    ...(comments.length > 0 ? { comments } : {}),
    ...(Object.keys(found).length > 0 ? { annotations: found } : {}),
  };
}

/** eBPF verdicts are 64 bits in the section's byte order; hardware ones are opaque octets. */
function readVerdict(block: BlockRange, off: number, length: number): PacketVerdict | null {
  switch (u8(block.bytes, off)) {
    case VerdictType.hardware: {
      let value = 0n;
      for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(u8(block.bytes, off + i));
      return { type: 'hardware', value: BigInt.asUintN(64, value) };
    }
    case VerdictType.ebpfTc:
      if (length !== 9) return null;
      return { type: 'ebpfTc', value: block.view.getBigUint64(off + 1, block.little) };
    case VerdictType.ebpfXdp:
      if (length !== 9) return null;
      return { type: 'ebpfXdp', value: block.view.getBigUint64(off + 1, block.little) };
    default:
      return null;
  }
}

/** Call `add` for each name of a name resolution block's records between `from` and `to`. */
export function eachName(
  block: BlockRange,
  from: number,
  to: number,
  add: (name: ResolvedName) => void,
): void {
  let off = from;
  while (off + 4 <= to) {
    const type = block.view.getUint16(off, block.little);
    const length = block.view.getUint16(off + 2, block.little);
    if (type === NameRecord.end || off + 4 + length > to) return;
    const size = type === NameRecord.ipv4 ? 4 : type === NameRecord.ipv6 ? 16 : 0;
    if (size > 0 && length > size) {
      const at = off + 4;
      const address = size === 4 ? readIpv4(block.bytes, at) : readIpv6(block.bytes, at);
      const names = optionText(block, at + size, length - size).split('\0');
      for (const name of names) if (name !== '') add({ address: formatAddress(address), name });
    }
    off += 4 + padded(length);
  }
}
