/**
 * IPv4 options on their way through a host: read where a packet is routed, filled in on the way
 * out, echoed in errors, and thinned out in fragments.
 *
 * Truth: net/ipv4/ip_options.c `__ip_options_compile`, `ip_forward_options`, `__ip_options_echo`,
 * `ip_options_build`, `ip_options_fragment`; net/ipv4/ip_input.c `ip_rcv_options`; for CIPSO
 * net/ipv4/cipso_ipv4.c `cipso_v4_validate` of a host without any domain (Linux 6.18). A bridge
 * reads none (`br_validate_ipv4`). Not done: source routes, which hosts drop unless they are told
 * not to (accept_source_route): those that are told give no verdict.
 * @module
 */
import type { RouteResult } from '../../image/route/fib.ts';
import { type Address, writeAddress } from '../../wire/address/address.ts';
import { setU8, setU32, u8, u32 } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import type { Host } from '../host.ts';
import type { IpOptions, Passage } from '../passage.ts';

const END = 0;
const NOP = 1;
const RECORD_ROUTE = 7;
const TIMESTAMP = 68;
const LOOSE_ROUTE = 131;
const CIPSO = 134;
const STRICT_ROUTE = 137;
const ROUTER_ALERT = 148;
/** Options with this bit go into every fragment. */
const COPIED = 0x80;

/** What the low half of a timestamp option's fourth byte says. */
const TIME_ONLY = 0;
const TIME_AND_ADDRESS = 1;
const PRESPECIFIED = 3;

const CIPSO_DOMAIN = 2;
const CIPSO_LEAST = 8;
const MS_PER_DAY = 86_400_000;

/** Where an option is wrong, from the header's first byte on. */
export interface OptionFault {
  readonly pointer: number;
  /** What of the options was read before; an error echoes that. */
  readonly options: IpOptions;
}

/** What reading the options of a routed packet needs to know of its host. */
export interface OptionContext {
  readonly host: Host;
  /** The host's address as the packet's sender would see it (`fib_compute_spec_dst`). */
  readonly own: Address | null;
  /** Milliseconds since midnight UT. */
  readonly time: number;
}

type Draft = { -readonly [K in keyof IpOptions]: IpOptions[K] };

/** The time that a host would write into an option; that of the run where no other is known. */
export function optionTime(run: { readonly nowNs: number; readonly utcSeconds?: number }): number {
  const ms = run.utcSeconds === undefined ? run.nowNs / 1e6 : run.utcSeconds * 1000;
  return Math.floor(ms) % MS_PER_DAY;
}

/**
 * Read the options and write into them what this host has to say, in place and past the header's
 * checksum, which is made anew when the packet leaves.
 */
export function compileOptions(
  { packet: { bytes: b, l3 } }: Passage,
  context: OptionContext,
): IpOptions | OptionFault {
  const options: Draft = {
    recordRoute: -1,
    timestamp: -1,
    security: -1,
    sourceRoute: false,
    changed: false,
  };
  const end = l3 + ipv4.headerLength(b, l3);
  const fault = (at: number): OptionFault => ({ pointer: at - l3, options });
  for (let at = l3 + ipv4.MIN_HEADER_LENGTH; at < end; ) {
    const kind = u8(b, at);
    if (kind === END) {
      if (b.subarray(at, end).some((byte) => byte !== END)) options.changed = true;
      b.fill(END, at, end);
      break;
    }
    if (kind === NOP) {
      at += 1;
      continue;
    }
    if (end - at < 2) return fault(at);
    const length = u8(b, at + 1);
    if (length < 2 || length > end - at) return fault(at);
    const wrong = readOption(b, { at, l3, kind, length }, options, context);
    if (wrong >= 0) return fault(at + wrong);
    if (kind === CIPSO) {
      options.security = at - l3;
      return fault(at + (length < CIPSO_LEAST ? 1 : CIPSO_DOMAIN));
    }
    at += length;
  }
  return options;
}

interface OptionPlace {
  readonly at: number;
  readonly l3: number;
  readonly kind: number;
  readonly length: number;
}

/** One option; the offset of what is wrong with it, or -1. */
function readOption(b: Uint8Array, o: OptionPlace, options: Draft, context: OptionContext): number {
  switch (o.kind) {
    case STRICT_ROUTE:
    case LOOSE_ROUTE:
      if (o.length < 3) return 1;
      if (u8(b, o.at + 2) < 4) return 2;
      if (options.sourceRoute) return 0;
      options.sourceRoute = true;
      return -1;
    case RECORD_ROUTE:
      return readRecordRoute(b, o, options, context);
    case TIMESTAMP:
      return readTimestamp(b, o, options, context);
    case ROUTER_ALERT:
      return o.length < 4 ? 1 : -1;
    default:
      return -1;
  }
}

function readRecordRoute(
  b: Uint8Array,
  { at, l3, length }: OptionPlace,
  options: Draft,
  { own }: OptionContext,
): number {
  if (options.recordRoute >= 0) return 0;
  if (length < 3) return 1;
  const next = u8(b, at + 2);
  if (next < 4) return 2;
  if (next <= length) {
    if (next + 3 > length) return 2;
    if (own !== null) writeAddress(b, at + next - 1, own);
    setU8(b, at + 2, next + 4);
    options.changed = true;
    options.routeNeedsAddress = true;
  }
  options.recordRoute = at - l3;
  return -1;
}

function readTimestamp(
  b: Uint8Array,
  { at, l3, length }: OptionPlace,
  options: Draft,
  { host, own, time }: OptionContext,
): number {
  if (options.timestamp >= 0) return 0;
  if (length < 4) return 1;
  const next = u8(b, at + 2);
  if (next < 5) return 2;
  const form = u8(b, at + 3) & 0x0f;
  if (next <= length) {
    if (next + 3 > length) return 2;
    if ((form === TIME_AND_ADDRESS || form === PRESPECIFIED) && next + 7 > length) return 2;
    const place = at + next - 1;
    if (form === TIME_ONLY) {
      setU32(b, place, time);
      setU8(b, at + 2, next + 4);
    } else if (form === TIME_AND_ADDRESS) {
      if (own !== null) writeAddress(b, place, own);
      setU32(b, place + 4, time);
      setU8(b, at + 2, next + 8);
      options.timeNeedsAddress = true;
    } else if (form === PRESPECIFIED && !isElsewhere(host, u32(b, place))) {
      setU32(b, place + 4, time);
      setU8(b, at + 2, next + 8);
    } else if (form !== PRESPECIFIED) {
      options.timestamp = at - l3;
      return -1;
    }
    const isMine = form !== PRESPECIFIED || u8(b, at + 2) !== next;
    if (isMine) options.changed = true;
    if (isMine) options.needsTime = true;
  } else if (form !== PRESPECIFIED) {
    const overflow = u8(b, at + 3) >>> 4;
    if (overflow === 15) return 3;
    setU8(b, at + 3, form | ((overflow + 1) << 4));
    options.changed = true;
  }
  options.timestamp = at - l3;
  return -1;
}

/** An address of somebody else: the slot is not for this host. */
function isElsewhere(host: Host, word: number): boolean {
  const address: Address = { family: 4, w0: 0, w1: 0, w2: 0, w3: word };
  return host.image.fib.addressType(address) === 'UNICAST';
}

/** `ip_forward_options`: the way out says which address is recorded. */
export function fillForwarded({ packet, options, route }: Passage): void {
  if (options === null) return;
  const { bytes: b, l3 } = packet;
  const source = route?.source ?? null;
  if (source !== null) fillAddresses(b, l3, options, source);
  if (options.changed || options.routeNeedsAddress || options.timeNeedsAddress) {
    ipv4.fillChecksum(b, l3);
  }
}

/** The slots before the pointers, which were taken when the packet came in. */
function fillAddresses(b: Uint8Array, l3: number, options: IpOptions, source: Address): void {
  const route = l3 + options.recordRoute;
  const time = l3 + options.timestamp;
  if (options.routeNeedsAddress) writeAddress(b, route + u8(b, route + 2) - 5, source);
  if (options.timeNeedsAddress) writeAddress(b, time + u8(b, time + 2) - 9, source);
}

/**
 * The options of an error about this packet (`__ip_options_echo`), its own address and time in
 * them (`ip_options_build`); null when nothing can be sent.
 */
export function echoedOptions(passage: Passage, source: Address, time: number): Uint8Array | null {
  const { packet, options, host } = passage;
  if (options === null) return new Uint8Array(0);
  const { bytes: b, l3 } = packet;
  const parts: Uint8Array[] = [];
  if (options.recordRoute >= 0) {
    const at = l3 + options.recordRoute;
    const copy = b.slice(at, at + u8(b, at + 1));
    const next = u8(copy, 2);
    if (options.routeNeedsAddress && next <= copy.length) {
      if (next + 3 > copy.length) return null;
      writeAddress(copy, next - 1, source);
      setU8(copy, 2, next + 4);
    }
    parts.push(copy);
  }
  if (options.timestamp >= 0) {
    const at = l3 + options.timestamp;
    const copy = b.slice(at, at + u8(b, at + 1));
    if (!echoTime(copy, options, { host, own: source, time })) return null;
    parts.push(copy);
  }
  if (options.security >= 0) {
    const at = l3 + options.security;
    parts.push(b.slice(at, at + u8(b, at + 1)));
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new Uint8Array((length + 3) & ~3);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One more stamp of this host in a copy of the option; false when there is half a place for it. */
function echoTime(copy: Uint8Array, options: IpOptions, context: OptionContext): boolean {
  let next = u8(copy, 2);
  if (next > copy.length) return true;
  if (options.timeNeedsAddress) {
    if (next + 3 > copy.length) return false;
    if (context.own !== null) writeAddress(copy, next - 1, context.own);
    next += 4;
  }
  if (options.needsTime) {
    if (next + 3 > copy.length) return false;
    if ((u8(copy, 3) & 0x0f) !== PRESPECIFIED) {
      setU32(copy, next - 1, context.time);
      next += 4;
    } else if (next + 7 <= copy.length && !isElsewhere(context.host, u32(copy, next - 1))) {
      setU32(copy, next + 3, context.time);
      next += 8;
    }
  }
  setU8(copy, 2, next);
  return true;
}

/** Blank the options of a fragment's header that only the first one carries. */
export function keepCopied(b: Uint8Array, l3: number): void {
  const end = l3 + ipv4.headerLength(b, l3);
  for (let at = l3 + ipv4.MIN_HEADER_LENGTH; at < end; ) {
    const kind = u8(b, at);
    if (kind === END) return;
    const length = kind === NOP ? 1 : at + 1 < end ? u8(b, at + 1) : 0;
    if (length < 1 || at + length > end || (kind !== NOP && length < 2)) return;
    if ((kind & COPIED) === 0) b.fill(NOP, at, at + length);
    at += length;
  }
}

/** The address that the packet's sender reaches this host by. */
export function specificOwn(
  { host, packet, device }: Passage,
  route: RouteResult | null,
): Address | null {
  if (route?.type === 'local') return packet.dst;
  const mark = host.ipv4(device.name).srcValidMark ? packet.mark : 0;
  const { src } = packet;
  const back = src.w3 === 0 ? null : host.image.fib.lookup({ destination: src, mark });
  if (back !== null && back.type !== 'none') return back.source;
  return device.addresses.find((own) => own.address.family === 4)?.address ?? null;
}
