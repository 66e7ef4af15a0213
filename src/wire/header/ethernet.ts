/**
 * Ethernet II header (IEEE 802.3) with any depth of VLAN tags (802.1Q, 802.1ad).
 *
 *   0                       6                       12          14
 *   +-----------------------+-----------------------+-----------+----
 *   |    destination MAC    |      source MAC       |   type    | ...
 *   +-----------------------+-----------------------+-----------+----
 *
 * A tag puts TPID and TCI (2 + 2 bytes) before the type. An 802.3 length in the place of the type
 * (below 0x600) is handed on as it is: nothing that we forward uses LLC.
 * @module
 */

import { readMac, writeMac } from '../address/mac.ts';
import { setU16, u16 } from '../bytes.ts';
import type { HeaderFault } from '../drop-reason.ts';
import { EtherType } from '../protocol.ts';

export const HEADER_LENGTH = 14;
export const TAG_LENGTH = 4;
const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;

/** One VLAN tag: its TPID and its TCI (priority, drop eligibility, VLAN number). */
export interface VlanTag {
  readonly tpid: number;
  readonly tci: number;
}

export interface Ethernet {
  readonly destination: string;
  readonly source: string;
  readonly tags: readonly VlanTag[];
  readonly etherType: number;
}

function isTag(type: number): boolean {
  return type === EtherType.vlan || type === EtherType.qinq || type === EtherType.qinqOld;
}

/**
 * Check that MACs, all VLAN tags and the type behind them can be read.
 *
 * @param end length of the frame on the wire; `b` may be shorter when a snaplen cut it
 */
export function check(b: Uint8Array, end: number): HeaderFault | null {
  if (end < HEADER_LENGTH) return 'ethernetTruncated';
  if (b.length < HEADER_LENGTH) return 'headerCut';
  for (let off = TYPE; isTag(u16(b, off)); off += TAG_LENGTH) {
    if (end < off + TAG_LENGTH + 2) return 'vlanTruncated';
    if (b.length < off + TAG_LENGTH + 2) return 'headerCut';
  }
  return null;
}

export function destination(b: Uint8Array): string {
  return readMac(b, DESTINATION);
}

export function source(b: Uint8Array): string {
  return readMac(b, SOURCE);
}

export function setDestination(b: Uint8Array, mac: string): void {
  writeMac(b, DESTINATION, mac);
}

export function setSource(b: Uint8Array, mac: string): void {
  writeMac(b, SOURCE, mac);
}

/** Offset of the type field that counts: behind all tags. */
function typeOffset(b: Uint8Array): number {
  let off = TYPE;
  while (isTag(u16(b, off))) off += TAG_LENGTH;
  return off;
}

/** The Ethernet type behind all VLAN tags. */
export function etherType(b: Uint8Array): number {
  return u16(b, typeOffset(b));
}

/** First byte behind the header and its tags. */
export function payloadOffset(b: Uint8Array): number {
  return typeOffset(b) + 2;
}

const NO_TAGS: readonly VlanTag[] = [];

/** The VLAN tags, outermost first. */
export function tags(b: Uint8Array): readonly VlanTag[] {
  if (!isTag(u16(b, TYPE))) return NO_TAGS;
  const found: VlanTag[] = [];
  for (let off = TYPE; isTag(u16(b, off)); off += TAG_LENGTH) {
    found.push({ tpid: u16(b, off), tci: u16(b, off + 2) });
  }
  return found;
}

/** Read a checked header as a value. */
export function parse(b: Uint8Array): Ethernet {
  return {
    destination: destination(b),
    source: source(b),
    tags: tags(b),
    etherType: etherType(b),
  };
}

/** Make a frame: header, tags, then a copy of `payload`. */
export function emit(header: Ethernet, payload: Uint8Array): Uint8Array {
  const length = HEADER_LENGTH + TAG_LENGTH * header.tags.length;
  const b = new Uint8Array(length + payload.length);
  writeMac(b, DESTINATION, header.destination);
  writeMac(b, SOURCE, header.source);
  let off = TYPE;
  for (const tag of header.tags) {
    setU16(b, off, tag.tpid);
    setU16(b, off + 2, tag.tci);
    off += TAG_LENGTH;
  }
  setU16(b, off, header.etherType);
  b.set(payload, length);
  return b;
}
