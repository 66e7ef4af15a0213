/**
 * IP addresses and prefixes of both families, 128 bits wide from the first day.
 *
 * An IPv4 address is held as its IPv4-mapped form (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2) with
 * `family: 4`, so masks and comparisons have one code path. Prefix lengths are those of the family
 * (0–32 or 0–128), never the mapped length.
 * @module
 */
import { setU32, u32 } from '../bytes.ts';

export type Family = 4 | 6;

/** An address: four unsigned 32-bit words, most significant first. Immutable. */
export interface Address {
  readonly family: Family;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

/** An address range of power-of-two size. Host bits of `address` are kept as written. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

const MAPPED = 0xffff;

/** Make an IPv4 address from its 32-bit value in host order. */
export function ipv4(value: number): Address {
  return { family: 4, w0: 0, w1: 0, w2: MAPPED, w3: value >>> 0 };
}

/** Make an IPv6 address from its four words. */
export function ipv6(w0: number, w1: number, w2: number, w3: number): Address {
  return { family: 6, w0: w0 >>> 0, w1: w1 >>> 0, w2: w2 >>> 0, w3: w3 >>> 0 };
}

export const ANY4: Address = ipv4(0);
export const ANY6: Address = ipv6(0, 0, 0, 0);

export function readIpv4(b: Uint8Array, off: number): Address {
  return ipv4(u32(b, off));
}

export function readIpv6(b: Uint8Array, off: number): Address {
  return ipv6(u32(b, off), u32(b, off + 4), u32(b, off + 8), u32(b, off + 12));
}

/** Write an address in network order: 4 bytes for IPv4, 16 for IPv6. */
export function writeAddress(b: Uint8Array, off: number, a: Address): void {
  if (a.family === 4) {
    setU32(b, off, a.w3);
    return;
  }
  setU32(b, off, a.w0);
  setU32(b, off + 4, a.w1);
  setU32(b, off + 8, a.w2);
  setU32(b, off + 12, a.w3);
}

/** Parse dotted quad or RFC 4291 text; `null` when it is neither. Leading zeros are refused. */
export function parseAddress(text: string): Address | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Address | null {
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!m) return null;
  let value = 0;
  for (const part of m.slice(1)) {
    const n = Number(part);
    if (n > 255 || (part.length > 1 && part.startsWith('0'))) return null;
    value = value * 256 + n;
  }
  return ipv4(value);
}

function parseIpv6(text: string): Address | null {
  let body = text;
  const tail: number[] = [];
  const lastColon = text.lastIndexOf(':');
  if (text.includes('.', lastColon)) {
    const v4 = parseIpv4(text.slice(lastColon + 1));
    if (!v4) return null;
    tail.push(v4.w3 >>> 16, v4.w3 & 0xffff);
    body = text.slice(0, lastColon + 1);
    if (!body.endsWith('::')) body = body.slice(0, -1);
  }
  const halves = body.split('::');
  if (halves.length > 2) return null;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const parsed = groups.map((half) => half.map(parseGroup));
  if (parsed.some((half) => half.includes(-1))) return null;
  const head = parsed[0] ?? [];
  const rest = [...(parsed[1] ?? []), ...tail];
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = [...head, ...new Array<number>(missing).fill(0), ...rest];
  const word = (i: number) => (((all[i] ?? 0) << 16) | (all[i + 1] ?? 0)) >>> 0;
  return ipv6(word(0), word(2), word(4), word(6));
}

function parseGroup(text: string): number {
  return /^[0-9a-fA-F]{1,4}$/.test(text) ? Number.parseInt(text, 16) : -1;
}

/** Parse `ADDRESS/LENGTH`, or a bare address as a host prefix; `null` when it is neither. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return null;
  if (slash < 0) return hostPrefix(address);
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits(address.family)) return null;
  return { address, length: Number(length) };
}

/** Width of the family's addresses in bits. */
export function bits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

export function hostPrefix(address: Address): Prefix {
  return { address, length: bits(address.family) };
}

/** Format as dotted quad, or as RFC 5952 (lower case, longest run of zeros compressed). */
export function formatAddress(a: Address): string {
  if (a.family === 4) {
    return `${a.w3 >>> 24}.${(a.w3 >>> 16) & 0xff}.${(a.w3 >>> 8) & 0xff}.${a.w3 & 0xff}`;
  }
  if (a.w0 === 0 && a.w1 === 0 && a.w2 === MAPPED) return `::ffff:${formatAddress(ipv4(a.w3))}`;
  const groups = [a.w0, a.w1, a.w2, a.w3].flatMap((w) => [w >>> 16, w & 0xffff]);
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (groups[i + run] === 0) run++;
    if (run > best.length) best = { start: i, length: run };
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  if (best.start < 0) return hex(0, 8);
  return `${hex(0, best.start)}::${hex(best.start + best.length, 8)}`;
}

/** Format as `ADDRESS/LENGTH`, host bits as they are held. */
export function formatPrefix(p: Prefix): string {
  return `${formatAddress(p.address)}/${p.length}`;
}

export function equalAddress(a: Address, b: Address): boolean {
  return a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0 && a.family === b.family;
}

/** Order by family, then numerically. */
export function compareAddress(a: Address, b: Address): number {
  return a.family - b.family || a.w0 - b.w0 || a.w1 - b.w1 || a.w2 - b.w2 || a.w3 - b.w3;
}

/** Whether `a` lies in `p`; an address of the other family never does. */
export function contains(p: Prefix, a: Address): boolean {
  if (p.address.family !== a.family) return false;
  const base = p.address;
  if (a.family === 4) return sameHead(base.w3, a.w3, p.length);
  return (
    sameHead(base.w0, a.w0, p.length) &&
    sameHead(base.w1, a.w1, p.length - 32) &&
    sameHead(base.w2, a.w2, p.length - 64) &&
    sameHead(base.w3, a.w3, p.length - 96)
  );
}

/** Whether every address of `inner` lies in `outer`. */
export function containsPrefix(outer: Prefix, inner: Prefix): boolean {
  return inner.length >= outer.length && contains(outer, inner.address);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return containsPrefix(a, b) || containsPrefix(b, a);
}

function sameHead(a: number, b: number, length: number): boolean {
  if (length <= 0) return true;
  return length >= 32 ? a === b : (a ^ b) >>> (32 - length) === 0;
}

/** The address with all bits past `length` cleared: the network address of its prefix. */
export function maskAddress(a: Address, length: number): Address {
  if (a.family === 4) return ipv4(head(a.w3, length));
  return ipv6(
    head(a.w0, length),
    head(a.w1, length - 32),
    head(a.w2, length - 64),
    head(a.w3, length - 96),
  );
}

function head(word: number, length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? word : (word & (-1 << (32 - length))) >>> 0;
}

/** The address `count` places further on, wrapping within the last 32 bits of the family. */
export function addToAddress(a: Address, count: number): Address {
  const w3 = a.w3 + count;
  if (a.family === 4) return ipv4(w3);
  return ipv6(a.w0, a.w1, a.w2 + Math.floor(w3 / 2 ** 32), w3);
}

/** A short string that is equal exactly when family and address are: a Map key. */
export function addressKey(a: Address): string {
  if (a.family === 4) return String.fromCharCode(a.w3 >>> 16, a.w3 & 0xffff);
  return String.fromCharCode(
    a.w0 >>> 16,
    a.w0 & 0xffff,
    a.w1 >>> 16,
    a.w1 & 0xffff,
    a.w2 >>> 16,
    a.w2 & 0xffff,
    a.w3 >>> 16,
    a.w3 & 0xffff,
  );
}
