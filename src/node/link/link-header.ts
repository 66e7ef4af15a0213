/**
 * The link header where every packet meets it: MACs compared and written without going by their
 * text, which is the form that plans and rules hold them in.
 * @module
 */

import type { Packet } from '../../packet/packet.ts';
import { rewriteEthernet } from '../../packet/parse.ts';
import { setU16, setU32, u16, u32 } from '../../wire/bytes.ts';
import { HEADER_LENGTH } from '../../wire/header/ethernet.ts';

/** A MAC as the numbers that a header holds. */
interface MacWords {
  readonly high: number;
  readonly low: number;
}

/** Every MAC of plans and neighbours seen so far; bounded by what plans name. */
const WORDS = new Map<string, MacWords>();
const MAX_WORDS = 65_536;

function wordsOf(mac: string): MacWords {
  const known = WORDS.get(mac);
  if (known !== undefined) return known;
  const digits = mac.replaceAll(':', '');
  const made = {
    high: Number.parseInt(digits.slice(0, 8), 16),
    low: Number.parseInt(digits.slice(8), 16),
  };
  if (WORDS.size >= MAX_WORDS) WORDS.clear();
  WORDS.set(mac, made);
  return made;
}

/** Whether the six bytes at `off` are this MAC. Precondition: they are there. */
export function isMacAt(b: Uint8Array, off: number, mac: string): boolean {
  const words = wordsOf(mac);
  return u32(b, off) === words.high && u16(b, off + 4) === words.low;
}

function write(b: Uint8Array, off: number, mac: string): void {
  const words = wordsOf(mac);
  setU32(b, off, words.high);
  setU16(b, off + 4, words.low);
}

/**
 * Give the packet an untagged Ethernet header for its next link, in place when it has room for
 * one.
 */
export function writeLinkHeader(
  packet: Packet,
  macs: { readonly source: string; readonly destination: string },
): void {
  const { bytes, l3, end } = packet;
  if (l3 !== HEADER_LENGTH || bytes.length > end || packet.wireLength !== end) {
    rewriteEthernet(packet, macs);
    return;
  }
  write(bytes, 0, macs.destination);
  write(bytes, 6, macs.source);
}
