/**
 * Hop-by-hop options of IPv6 as every host on the way reads them, before any hook.
 *
 * Truth: RFC 8200 section 4.2; net/ipv6/exthdrs.c `ipv6_parse_hopopts`, `ip6_parse_tlv`,
 * `ip6_tlvopt_unknown`; for bridges net/netfilter/utils.c `nf_ip6_check_hbh_len` (Linux 6.18).
 * Jumbograms are not read: their length option is refused as malformed. CALIPSO labels are refused,
 * as by every host that has no domain for them (`calipso_validate`).
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { u8, u32 } from '../../wire/bytes.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import { isIpv6Multicast } from './route-input.ts';

const PAD1 = 0;
const PADN = 1;
const ROUTER_ALERT = 5;
const CALIPSO = 7;
const JUMBO = 0xc2;
const LONGEST_PADDING = 7;
/** `net.ipv6.max_hbh_opts_number`. */
const MAX_OPTIONS = 8;
const MAX_PAYLOAD = 65_535;

/** Codes of a parameter problem (RFC 4443 section 3.4). */
const HEADER_FIELD = 0;
const UNKNOWN_OPTION = 2;

/**
 * `bad`: dropped, with an error when `problem` is set (the pointer counts from the IPv6 header on).
 */
export type HopByHop =
  | { readonly kind: 'good' | 'headerCut' }
  | { readonly kind: 'bad'; readonly problem: Problem | null };

export interface Problem {
  readonly code: number;
  readonly pointer: number;
  /** It is an option whose sender wants to know, groups or not (`opt_unrec`). */
  readonly always: boolean;
}

const GOOD: HopByHop = { kind: 'good' };
const BAD: HopByHop = { kind: 'bad', problem: null };

/** The extent of the options of a packet that has them: null, or why they can not be read. */
function extent({
  bytes,
  l3,
  end,
}: Packet): { readonly from: number; readonly to: number } | HopByHop {
  const at = l3 + ipv6.HEADER_LENGTH;
  if (end - at < 8) return BAD;
  if (bytes.length - at < 8) return { kind: 'headerCut' };
  const length = (u8(bytes, at + 1) + 1) * 8;
  if (length > end - at) return BAD;
  if (length > bytes.length - at) return { kind: 'headerCut' };
  return { from: at + 2, to: at + length };
}

/** Read the options as a host that takes the packet in. */
export function readHopByHop(packet: Packet): HopByHop {
  const { bytes: b, l3 } = packet;
  if (packet.family !== 6 || ipv6.nextHeader(b, l3) !== Protocol.hopopts) return GOOD;
  const place = extent(packet);
  if ('kind' in place) return place;
  let padding = 0;
  let count = 0;
  for (let at = place.from; at < place.to; ) {
    if (u8(b, at) === PAD1) {
      padding += 1;
      if (padding > LONGEST_PADDING) return BAD;
      at += 1;
      continue;
    }
    if (place.to - at < 2) return BAD;
    const length = u8(b, at + 1) + 2;
    if (length > place.to - at) return BAD;
    if (u8(b, at) === PADN) {
      padding += length;
      const isClean = b.subarray(at + 2, at + length).every((byte) => byte === 0);
      if (padding > LONGEST_PADDING || !isClean) return BAD;
    } else {
      count += 1;
      const verdict = count > MAX_OPTIONS ? BAD : readOption(packet, at);
      if (verdict.kind !== 'good') return verdict;
      padding = 0;
    }
    at += length;
  }
  return GOOD;
}

function readOption(packet: Packet, at: number): HopByHop {
  const { bytes: b, l3 } = packet;
  const kind = u8(b, at);
  const pointer = at - l3;
  if (kind === ROUTER_ALERT) return u8(b, at + 1) === 2 ? GOOD : BAD;
  if (kind === CALIPSO) return BAD;
  if (kind === JUMBO) {
    if (u8(b, at + 1) !== 4 || (pointer & 3) !== 2) return BAD;
    const isShort = u32(b, at + 2) <= MAX_PAYLOAD;
    const problem = { code: HEADER_FIELD, pointer: isShort ? pointer + 2 : pointer, always: false };
    return { kind: 'bad', problem };
  }
  // The two high bits say what becomes of a packet with an option that nobody knows.
  switch (kind >>> 6) {
    case 0:
      return GOOD;
    case 1:
      return BAD;
    case 2:
      return { kind: 'bad', problem: { code: UNKNOWN_OPTION, pointer, always: true } };
    default: {
      const problem = { code: UNKNOWN_OPTION, pointer, always: false };
      return { kind: 'bad', problem: isIpv6Multicast(packet.dst) ? null : problem };
    }
  }
}

/** Whether a bridge that calls iptables lets the options by: only their lengths count. */
export function areBridged(packet: Packet): boolean {
  const { bytes: b, l3 } = packet;
  if (packet.family !== 6 || ipv6.nextHeader(b, l3) !== Protocol.hopopts) return true;
  const place = extent(packet);
  if ('kind' in place) return place.kind === 'headerCut';
  for (let at = place.from; at < place.to; ) {
    const kind = u8(b, at);
    if (kind === PAD1) {
      at += 1;
      continue;
    }
    if (place.to - at < 2) return false;
    const length = u8(b, at + 1) + 2;
    // A jumbogram has no length in its header, and such are not read.
    if (length > place.to - at || kind === JUMBO) return false;
    at += length;
  }
  return true;
}
