/**
 * Putting fragments together before anything is tracked.
 *
 * A fragment waits until its datagram is whole; the packet that then goes on carries the first
 * fragment's header and remembers the sizes it came in (refragment.ts cuts it up again). A repeated
 * fragment is ignored; one that overlaps others without repeating one kills the datagram, as do
 * sizes that contradict each other (RFC 5722, RFC 8900).
 *
 * Kernel: net/ipv4/ip_fragment.c `ip_frag_queue`, `ip_frag_reasm`; net/ipv4/inet_fragment.c
 * `inet_frag_queue_insert`; net/ipv6/netfilter/nf_conntrack_reasm.c `nf_ct_frag6_queue`. Left out:
 * the memory limits, and giving up after 64 other datagrams of one sender (`ipfrag_max_dist`).
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { isFragment, newPacket, parseFrame, transportOffset } from '../../packet/parse.ts';
import { addressKey } from '../../wire/address/address.ts';
import { setU8, setU16, u8 } from '../../wire/bytes.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import { NS_PER_S } from '../connection.ts';
import type { ConntrackSettings } from '../protocol/timeouts.ts';

const MAX_DATAGRAM = 65_535;
const IPV4_TOTAL_LENGTH = 2;
const IPV4_FRAGMENT = 6;
const DONT_FRAGMENT = 0x4000;

/**
 * What became of a packet: not a fragment and left alone, kept until the others come, complete
 * (`packet` takes its place), dropped, or unreadable because the capture cut it.
 */
export type Reassembly =
  | { readonly kind: 'notFragment' | 'waiting' | 'headerCut' }
  | { readonly kind: 'complete'; readonly packet: Packet }
  | { readonly kind: 'dropped'; readonly reason: DropReason };

interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
}

interface Queue {
  readonly family: 4 | 6;
  readonly expiresNs: number;
  /** In order of offset, without overlaps. */
  pieces: Piece[];
  /** Length of the whole payload, once the last fragment is here; before, the furthest end. */
  length: number;
  hasLast: boolean;
  /** The first fragment (offset 0), for its headers and marks. */
  first: Packet | null;
  /** Largest fragment, and largest with Don't Fragment, header included. */
  maxSize: number;
  maxDontFragmentSize: number;
}

export class Defragmenter {
  readonly #settings: ConntrackSettings;
  readonly #queues = new Map<string, Queue>();

  constructor(settings: ConntrackSettings) {
    this.#settings = settings;
  }

  /** Datagrams that wait for fragments. */
  get waiting(): number {
    return this.#queues.size;
  }

  /**
   * Take a packet in at prerouting or output. Time-outs of other datagrams are seen to first.
   * Precondition: `parseFrame` accepted it and `family` is not 0.
   */
  add(packet: Packet, nowNs: number): Reassembly {
    this.expire(nowNs);
    if (!isFragment(packet) && !isAtomicFragment(packet)) return { kind: 'notFragment' };
    const transport = transportOffset(packet);
    if (transport === 'headerCut' || packet.end > packet.bytes.length) return { kind: 'headerCut' };
    const off = fragmentStart(packet);
    if (off < 0) return { kind: 'notFragment' };
    if (typeof transport === 'number' && isTruncatedFirst(packet, transport)) {
      return { kind: 'notFragment' };
    }
    const key = queueKey(packet);
    const queue = this.#queues.get(key) ?? this.#newQueue(packet, nowNs);
    this.#queues.set(key, queue);
    const verdict = insert(queue, packet, off);
    if (verdict === 'overlap' || verdict === 'odd') this.#queues.delete(key);
    if (verdict === 'odd') return { kind: 'notFragment' };
    if (verdict === 'overlap') return { kind: 'dropped', reason: 'fragmentOverlap' };
    if (verdict === 'bad') return { kind: 'dropped', reason: 'fragmentMalformed' };
    if (!isComplete(queue)) return { kind: 'waiting' };
    this.#queues.delete(key);
    return assemble(queue, packet);
  }

  #newQueue(packet: Packet, nowNs: number): Queue {
    const { ipv4: seconds4, ipv6: seconds6 } = this.#settings.fragment;
    const family = packet.family === 6 ? 6 : 4;
    return {
      family,
      expiresNs: nowNs + (family === 4 ? seconds4 : seconds6) * NS_PER_S,
      pieces: [],
      length: 0,
      hasLast: false,
      first: null,
      maxSize: 0,
      maxDontFragmentSize: 0,
    };
  }

  /** Give up on datagrams whose time is up; returns how many. Their fragments are gone for good. */
  expire(nowNs: number): number {
    let gone = 0;
    for (const [key, queue] of this.#queues) {
      if (queue.expiresNs > nowNs) continue;
      this.#queues.delete(key);
      gone += 1;
    }
    return gone;
  }
}

/**
 * Where the fragment's part of the payload starts; for IPv6 behind the fragment header, whatever
 * follows there. -1 when it has none.
 */
export function fragmentStart(packet: Packet): number {
  const { bytes, l3, end, family } = packet;
  if (family === 4) return l3 + ipv4.headerLength(bytes, l3);
  const { fragmentHeader } = ipv6.findTransport(bytes, l3, end);
  return fragmentHeader < 0 ? -1 : fragmentHeader + ipv6.FRAGMENT_HEADER_LENGTH;
}

/** A whole IPv6 packet with a fragment header (RFC 6946): the tracker takes the header off. */
export function isAtomicFragment(packet: Packet): boolean {
  const { family, bytes, l3, end, protocol } = packet;
  if (family !== 6 || isFragment(packet) || ipv6.nextHeader(bytes, l3) === protocol) return false;
  return ipv6.findTransport(bytes, l3, end).fragmentHeader >= 0;
}

/**
 * First fragments of IPv6 without their whole transport header (RFC 8200 section 4.5) are let by,
 * and nobody waits for the rest (`ipv6frag_thdr_truncated`).
 */
export function isTruncatedFirst(packet: Packet, off: number): boolean {
  if (packet.family !== 6 || packet.fragmentOffset !== 0) return false;
  return off + (LEAST_HEADER.get(packet.protocol) ?? 1) > packet.end;
}

/** Fixed parts of the transport headers that must be in the first fragment. */
const LEAST_HEADER: ReadonlyMap<number, number> = new Map([
  [Protocol.tcp, 20],
  [Protocol.udp, 8],
  [Protocol.icmpv6, 8],
]);

/** Fragments of one datagram share this: ends, protocol (IPv4 only) and identification. */
function queueKey(packet: Packet): string {
  const { bytes: b, l3, src, dst } = packet;
  const ends = addressKey(src) + addressKey(dst);
  if (packet.family === 4) {
    return `4${String.fromCharCode(packet.protocol, ipv4.id(b, l3))}${ends}`;
  }
  const at = ipv6.findTransport(b, l3, packet.end).fragmentHeader;
  return `6 ${ipv6.fragmentId(b, at)} ${ends}`;
}

/**
 * `overlap` kills the whole datagram, `bad` only this fragment; a repeated one changes nothing.
 * What nothing can follow is let by where IPv6 is tracked, for the receiver to complain about, and
 * kills what waited for it (`odd`: -EPROTO of `nf_ct_frag6_queue`).
 */
function insert(queue: Queue, packet: Packet, off: number): 'ok' | 'overlap' | 'bad' | 'odd' {
  const offset = packet.fragmentOffset;
  let length = packet.end - off;
  const isOdd = packet.moreFragments && length % 8 !== 0;
  if (isOdd && queue.family === 4) length -= length % 8;
  const end = offset + length;
  if (end > MAX_DATAGRAM) return 'bad';
  if (isOdd && queue.family === 6) return 'odd';
  if (length === 0) return 'overlap';
  if (!packet.moreFragments) {
    if (end < queue.length || (queue.hasLast && end !== queue.length)) return 'overlap';
    queue.hasLast = true;
    queue.length = end;
  } else if (end > queue.length) {
    if (queue.hasLast) return 'overlap';
    queue.length = end;
  }
  const repeated = queue.pieces.some((p) => p.offset === offset && p.data.length === length);
  // A piece within one that is here already repeats it as well (`inet_frag_queue_insert`).
  const within = queue.pieces.some((p) => offset >= p.offset && end <= p.offset + p.data.length);
  if (repeated || within) return 'ok';
  const hit = queue.pieces.some((p) => offset < p.offset + p.data.length && p.offset < end);
  if (hit) return 'overlap';
  queue.pieces.push({ offset, data: packet.bytes.slice(off, off + length) });
  queue.pieces.sort((a, b) => a.offset - b.offset);
  if (offset === 0) queue.first = packet;
  noteSizes(queue, packet, off - packet.l3 + length);
  return 'ok';
}

function noteSizes(queue: Queue, packet: Packet, size: number): void {
  queue.maxSize = Math.max(queue.maxSize, size);
  const dontFragment = queue.family === 4 && ipv4.dontFragment(packet.bytes, packet.l3);
  if (dontFragment) queue.maxDontFragmentSize = Math.max(queue.maxDontFragmentSize, size);
}

function isComplete(queue: Queue): boolean {
  if (!queue.hasLast || queue.first === null) return false;
  const held = queue.pieces.reduce((sum, piece) => sum + piece.data.length, 0);
  return held === queue.length;
}

/** The datagram in the first fragment's frame; device, mark and frame number are the last one's. */
function assemble(queue: Queue, last: Packet): Reassembly {
  const first = queue.first;
  if (first === null) return { kind: 'waiting' };
  const head = queue.family === 4 ? ipv4Head(first, queue) : ipv6Head(first, queue);
  if (head === null) return { kind: 'dropped', reason: 'fragmentMalformed' };
  const bytes = new Uint8Array(head.length + queue.length);
  bytes.set(head);
  for (const piece of queue.pieces) bytes.set(piece.data, head.length + piece.offset);
  const whole = newPacket({ frame: last.frame, bytes, checksumOffloaded: first.checksumOffloaded });
  if (parseFrame(whole) !== null) return { kind: 'dropped', reason: 'fragmentMalformed' };
  whole.fragmentPieces = queue.pieces.map((piece) => piece.data.length);
  whole.inDevice = last.inDevice;
  whole.outDevice = last.outDevice;
  whole.physIn = last.physIn;
  whole.physOut = last.physOut;
  whole.mark = last.mark;
  whole.markOrigins = last.markOrigins;
  return { kind: 'complete', packet: whole };
}

function ipv4Head(first: Packet, queue: Queue): Uint8Array | null {
  const length = ipv4.headerLength(first.bytes, first.l3);
  if (length + queue.length > MAX_DATAGRAM) return null;
  const head = first.bytes.slice(0, first.l3 + length);
  setU16(head, first.l3 + IPV4_TOTAL_LENGTH, length + queue.length);
  // Fragments that were all sent unfragmentable stay so (path MTU discovery of fragments).
  const keep = queue.maxDontFragmentSize === queue.maxSize;
  setU16(head, first.l3 + IPV4_FRAGMENT, keep ? DONT_FRAGMENT : 0);
  ipv4.fillChecksum(head, first.l3);
  return head;
}

/** The first fragment's headers without the fragment header. */
function ipv6Head(first: Packet, queue: Queue): Uint8Array | null {
  const { bytes: b, l3 } = first;
  const { fragmentHeader, fragmentPointer } = ipv6.findTransport(b, l3, first.end);
  const unfragmentable = fragmentHeader - l3 - ipv6.HEADER_LENGTH;
  if (unfragmentable + queue.length > MAX_DATAGRAM) return null;
  const head = b.slice(0, fragmentHeader);
  setU8(head, fragmentPointer, u8(b, fragmentHeader));
  ipv6.setPayloadLength(head, l3, unfragmentable + queue.length);
  return head;
}
