/**
 * Targets that rewrite a header field in place: TTL and HL, TOS and DSCP, TCPMSS.
 *
 * Bytes are replaced, never written in place, because copies of a packet may share them. Checksums
 * follow by difference (RFC 1624), so that a wrong one stays wrong.
 * Source: net/netfilter/xt_HL.c, xt_DSCP.c, xt_TCPMSS.c `tcpmss_mangle_packet`.
 * @module
 */
import { pullPieces } from '../../conntrack/fragment/refragment.ts';
import type { Target } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import { setU8, setU16, u8, u16 } from '../../wire/bytes.ts';
import { update16 } from '../../wire/checksum.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { packetClass, packetTtl } from '../match/packet/header.ts';
import { transportHeader } from '../match/packet/transport.ts';

type TargetOf<K extends Target['kind']> = Extract<Target, { kind: K }>;

const IPV4_TTL = 8;
const IPV4_CHECKSUM = 10;
const IPV6_HOP_LIMIT = 7;

/** TTL and HL: the new value, kept within 0–255. */
export function applyTtl(target: TargetOf<'ttl'>, packet: Packet): void {
  const old = packetTtl(packet);
  const next = nextTtl(target, old);
  if (next === old) return;
  if (packet.family === 4) setIpv4Word(packet, IPV4_TTL, (word) => (next << 8) | (word & 0xff));
  else {
    packet.bytes = packet.bytes.slice();
    setU8(packet.bytes, packet.l3 + IPV6_HOP_LIMIT, next);
  }
}

function nextTtl(target: TargetOf<'ttl'>, old: number): number {
  switch (target.operation) {
    case 'set':
      return target.value;
    case 'inc':
      return Math.min(255, old + target.value);
    case 'dec':
      return Math.max(0, old - target.value);
  }
}

/** TOS: `(class & ~mask) ^ value`; DSCP: the upper six bits. */
export function applyClass(target: TargetOf<'tos' | 'dscp'>, packet: Packet): void {
  const old = packetClass(packet);
  const next =
    target.kind === 'dscp'
      ? (old & 0x03) | (target.value << 2)
      : ((old & ~target.mask) ^ target.value) & 0xff;
  if (next === old) return;
  if (packet.family === 4) setIpv4Word(packet, 0, (word) => (word & 0xff00) | next);
  else {
    packet.bytes = packet.bytes.slice();
    const word = u16(packet.bytes, packet.l3);
    setU16(packet.bytes, packet.l3, (word & 0xf00f) | (next << 4));
  }
}

/** Change one word of the IPv4 header and its checksum with it. */
function setIpv4Word(packet: Packet, off: number, change: (word: number) => number): void {
  packet.bytes = packet.bytes.slice();
  const { bytes, l3 } = packet;
  const old = u16(bytes, l3 + off);
  const next = change(old);
  setU16(bytes, l3 + off, next);
  setU16(bytes, l3 + IPV4_CHECKSUM, update16(u16(bytes, l3 + IPV4_CHECKSUM), old, next));
}

const IPV4_TOTAL_LENGTH = 2;
const TCP_HEADER = 20;
const TCP_CHECKSUM = 16;
const SYN = 0x02;
const MSS_OPTION = 2;
const MSS_OPTION_LENGTH = 4;

/**
 * TCPMSS: lower the MSS of a SYN, never raise it. With `pmtu` it is the lower of the MTUs towards
 * both ends, less the headers.
 *
 * A SYN without the option gets one.
 *
 * @returns false when the packet cannot be changed faithfully: its header is cut;
 * `drop` when its header length is impossible
 */
export function applyMss(
  ctx: WalkContext,
  target: TargetOf<'tcpmss'>,
  packet: Packet,
): boolean | 'drop' {
  if (packet.protocol !== Protocol.tcp) return true;
  pullPieces(packet, packet.end);
  const at = transportHeader(packet, TCP_HEADER);
  if (at === 'cut') return false;
  if (typeof at !== 'number' || (u8(packet.bytes, at + 13) & SYN) === 0) return true;
  const header = (u8(packet.bytes, at + 12) >>> 4) * 4;
  if (header < TCP_HEADER || at + header > packet.end) return 'drop';
  if (typeof transportHeader(packet, header) !== 'number') return false;
  const option = findMss(packet.bytes, at, header);
  if (option < 0) return addMss(ctx, target, packet, at);
  const old = u16(packet.bytes, option + 2);
  const wanted = target.mss === 'pmtu' ? pathMss(ctx, packet) : target.mss;
  if (old <= wanted) return true;
  packet.bytes = packet.bytes.slice();
  setU16(packet.bytes, option + 2, wanted);
  const sum = at + TCP_CHECKSUM;
  // At an odd place its bytes enter the sum exchanged; the kernel does not ask, and the sum breaks.
  if (!packet.checksumOffloaded) {
    setU16(packet.bytes, sum, update16(u16(packet.bytes, sum), old, wanted));
  }
  return true;
}

/** The MSS of a SYN without the option, which is never raised (RFC 9293 section 3.7.1). */
const DEFAULT_MSS = { 4: 536, 6: 1220 } as const;
const LONGEST_TCP_HEADER = 60;

/** Put the option in front of the others; a SYN with data is left as it is. */
function addMss(ctx: WalkContext, target: TargetOf<'tcpmss'>, packet: Packet, at: number): boolean {
  const { bytes: b, l3, end, family } = packet;
  const header = (u8(b, at + 12) >>> 4) * 4;
  if (end - at > header || header >= LONGEST_TCP_HEADER || family === 0) return true;
  const wanted = target.mss === 'pmtu' ? pathMss(ctx, packet) : target.mss;
  const mss = Math.min(wanted, DEFAULT_MSS[family]);
  const grown = new Uint8Array(b.length + MSS_OPTION_LENGTH);
  const gap = at + TCP_HEADER;
  grown.set(b.subarray(0, gap));
  grown.set([MSS_OPTION, MSS_OPTION_LENGTH, mss >>> 8, mss & 0xff], gap);
  grown.set(b.subarray(gap), gap + MSS_OPTION_LENGTH);
  const offsetWord = u16(grown, at + 12);
  const nextWord = offsetWord + ((MSS_OPTION_LENGTH / 4) << 12);
  setU16(grown, at + 12, nextWord);
  // The length counts in the pseudo header, also where the checksum is left to a device.
  const length = end - at;
  let sum = u16(grown, at + TCP_CHECKSUM);
  if (packet.checksumOffloaded) sum = ~update16(~sum, length, length + MSS_OPTION_LENGTH) & 0xffff;
  else {
    sum = update16(sum, length, length + MSS_OPTION_LENGTH);
    sum = update16(sum, 0, (MSS_OPTION << 8) | MSS_OPTION_LENGTH);
    sum = update16(sum, 0, mss);
    sum = update16(sum, offsetWord, nextWord);
  }
  setU16(grown, at + TCP_CHECKSUM, sum);
  packet.bytes = grown;
  packet.end += MSS_OPTION_LENGTH;
  packet.wireLength += MSS_OPTION_LENGTH;
  if (family === 6) setU16(grown, l3 + 4, u16(grown, l3 + 4) + MSS_OPTION_LENGTH);
  else setIpv4Word(packet, IPV4_TOTAL_LENGTH, (word) => word + MSS_OPTION_LENGTH);
  return true;
}

/** Where the MSS option starts, or -1. */
function findMss(bytes: Uint8Array, at: number, header: number): number {
  const end = at + header;
  for (let i = at + TCP_HEADER; i <= end - MSS_OPTION_LENGTH; ) {
    const kind = u8(bytes, i);
    if (kind === MSS_OPTION && u8(bytes, i + 1) === MSS_OPTION_LENGTH) return i;
    i += kind < 2 ? 1 : u8(bytes, i + 1) || 1;
  }
  return -1;
}

/** What both ways carry (`dst_mtu`, `tcpmss_reverse_mtu`); no way back is no limit. */
function pathMss(ctx: WalkContext, packet: Packet): number {
  const { fib, interfaces } = ctx.image;
  const back = fib.lookup({ destination: packet.src, mark: 0 });
  const isOwn = back.type === 'local' || back.type === 'anycast';
  const loopback = [...interfaces.values()].find((device) => device.kind === 'loopback')?.name;
  const behind = isOwn ? (loopback ?? '') : back.device;
  const mtus = [packet.outDevice, behind].map((name) => interfaces.get(name)?.mtu ?? 0xffff);
  return Math.min(...mtus) - (packet.family === 4 ? 20 : 40) - TCP_HEADER;
}
