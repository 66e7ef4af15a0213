/**
 * LINKTYPE_NFLOG: a packet as an iptables NFLOG rule handed it to user space.
 *
 *   family(1) version(1) resource(2), then TLVs, each padded to four bytes:
 *   length(2) type(2) value(length - 4)
 *
 * Length and type are in the byte order of the host that captured, which the frame does not name:
 * the order under which the first TLV makes sense is taken. Values are big-endian.
 * Source: tcpdump.org/linktypes/LINKTYPE_NFLOG, include/uapi/linux/netfilter/nfnetlink_log.h.
 * @module
 */
import { u8, u16, u32 } from '../../wire/bytes.ts';
import { EtherType } from '../../wire/protocol.ts';
import type { PacketRecord } from '../record.ts';
import {
  type LinkDirection,
  type LinkFailure,
  type LinkView,
  missingHeader,
  type NetfilterLog,
  payloadView,
} from './link-view.ts';

const HEADER = 4;
const TLV_HEADER = 4;
const ETHERNET_HEADER = 14;
const MAC_LENGTH = 6;

/** `enum nfulnl_attr_type`; others (timestamps, ids, sequence numbers) are passed over. */
const Attribute = {
  packetHeader: 1,
  mark: 2,
  inDevice: 4,
  outDevice: 5,
  physIn: 6,
  physOut: 7,
  hardwareAddress: 8,
  payload: 9,
  prefix: 10,
  hardwareHeader: 16,
} as const;
const ATTRIBUTE_MAX = 32;

const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the TLVs said so far. */
interface Parts {
  readonly log: Mutable<NetfilterLog>;
  etherType: number;
  payload: { readonly offset: number; readonly length: number } | null;
  sourceMac: Uint8Array | null;
  destinationMac: Uint8Array | null;
}

/** View the logged packet; a frame without payload is `headerCut` or `notIp`. */
export function nflogView(
  record: PacketRecord,
  direction: LinkDirection | null,
): LinkView | LinkFailure {
  const b = record.data;
  if (b.length < HEADER + TLV_HEADER) return missingHeader(record, 'notIp');
  const parts: Parts = {
    log: {
      hook: null,
      prefix: '',
      mark: null,
      inDevice: null,
      outDevice: null,
      physIn: null,
      physOut: null,
    },
    etherType: familyType(u8(b, 0)),
    payload: null,
    sourceMac: null,
    destinationMac: null,
  };
  if (!readTlvs(b, record.wireLength, parts)) return missingHeader(record, 'notIp');
  if (parts.payload === null) return missingHeader(record, 'notIp');
  if (parts.etherType === 0) return 'notIp';
  const { offset, length } = parts.payload;
  return {
    ...payloadView(record, parts.etherType, offset, direction),
    end: Math.min(offset + length, b.length),
    wireEnd: offset + length,
    sourceMac: parts.sourceMac,
    destinationMac: parts.destinationMac,
    netfilter: parts.log,
  };
}

function familyType(family: number): number {
  if (family === NFPROTO_IPV4) return EtherType.ipv4;
  return family === NFPROTO_IPV6 ? EtherType.ipv6 : 0;
}

/** @returns false when the TLVs make no sense in either byte order. */
function readTlvs(b: Uint8Array, wireLength: number, parts: Parts): boolean {
  const little = plausible(b, HEADER, readLittle);
  if (!little && !plausible(b, HEADER, u16)) return false;
  const read = little ? readLittle : u16;
  let off = HEADER;
  while (off + TLV_HEADER <= b.length) {
    const length = read(b, off);
    const type = read(b, off + 2);
    if (length < TLV_HEADER || off + length > wireLength) return false;
    readAttribute(b, off + TLV_HEADER, length - TLV_HEADER, type, parts);
    off += (length + 3) & ~3;
  }
  return true;
}

function plausible(b: Uint8Array, off: number, read: (b: Uint8Array, off: number) => number) {
  const length = read(b, off);
  const type = read(b, off + 2);
  return length >= TLV_HEADER && off + length <= b.length && type > 0 && type <= ATTRIBUTE_MAX;
}

function readLittle(b: Uint8Array, off: number): number {
  return u8(b, off) | (u8(b, off + 1) << 8);
}

function readAttribute(
  b: Uint8Array,
  off: number,
  length: number,
  type: number,
  parts: Parts,
): void {
  if (type === Attribute.payload) {
    parts.payload = { offset: off, length };
    return;
  }
  if (off + length > b.length) return;
  const word = length >= 4 ? u32(b, off) : null;
  switch (type) {
    case Attribute.packetHeader:
      if (length < 3) return;
      parts.log.hook = u8(b, off + 2);
      if (u16(b, off) !== 0) parts.etherType = u16(b, off);
      return;
    case Attribute.mark:
      parts.log.mark = word;
      return;
    case Attribute.inDevice:
      parts.log.inDevice = word;
      return;
    case Attribute.outDevice:
      parts.log.outDevice = word;
      return;
    case Attribute.physIn:
      parts.log.physIn = word;
      return;
    case Attribute.physOut:
      parts.log.physOut = word;
      return;
    case Attribute.hardwareAddress:
      if (length >= 4 + MAC_LENGTH && u16(b, off) === MAC_LENGTH) {
        parts.sourceMac = b.subarray(off + 4, off + 4 + MAC_LENGTH);
      }
      return;
    case Attribute.hardwareHeader:
      if (length !== ETHERNET_HEADER) return;
      parts.destinationMac = b.subarray(off, off + MAC_LENGTH);
      parts.sourceMac = b.subarray(off + MAC_LENGTH, off + 2 * MAC_LENGTH);
      return;
    case Attribute.prefix:
      parts.log.prefix = text(b, off, length);
      return;
  }
}

/** NUL-terminated; bytes outside ASCII are kept as Latin-1, for a prefix may hold any. */
function text(b: Uint8Array, off: number, length: number): string {
  let out = '';
  for (let i = off; i < off + length && u8(b, i) !== 0; i++) out += String.fromCharCode(u8(b, i));
  return out;
}
