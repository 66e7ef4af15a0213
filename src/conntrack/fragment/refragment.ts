/**
 * Cutting a packet into fragments on its way out: a reassembled one as it came, any other to the
 * MTU.
 *
 * Kernel: net/ipv4/ip_output.c `ip_fragment`, `ip_do_fragment`; net/ipv6/ip6_output.c
 * `ip6_fragment`, Linux 6.18. A reassembled IPv6 packet gets a new identification, which the kernel
 * draws; here it is made of what the packet is, so that a run repeats itself. IPv4 options stay in
 * all fragments (node/ip/fragments.ts takes out those that are not to be copied).
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { isFragment, newPacket, parseFrame, transportOffset } from '../../packet/parse.ts';
import { setU8, setU16, u8 } from '../../wire/bytes.ts';
import { fold, sumBytes } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';

const IPV4_TOTAL_LENGTH = 2;
const IPV4_FRAGMENT = 6;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;
/** RFC 8200 section 5. Smaller fragments than this are not made (`IPV6_MIN_MTU`). */
const IPV6_LEAST_MTU = 1280;

/**
 * Whether the packet must be cut up before it leaves by a device of this MTU: it is too large, or
 * it came in fragments.
 */
export function needsFragmenting(packet: Packet, mtu: number): boolean {
  return packet.fragmentPieces !== null || packet.end - packet.l3 > mtu;
}

/**
 * Cut the packet up, in order of offset. Each fragment keeps mark, devices and connection.
 *
 * @param mtu bytes from the network header on
 * @param largest of the original fragments, its IP header included; 0 when that is not known
 * @returns `tooBig` when it may not be fragmented (Don't Fragment, or IPv6 not ours to cut), or
 * when a fragment came in larger than the MTU and may not be made smaller
 * Precondition: whole in the capture.
 */
export function refragment(packet: Packet, mtu: number, largest = 0): readonly Packet[] | 'tooBig' {
  const off =
    packet.family === 6
      ? splitPoint(packet.bytes, packet.l3, packet.end).at
      : transportOffset(packet);
  if (typeof off === 'string' || packet.family === 0) return [packet];
  const head = off - packet.l3 + (packet.family === 6 ? ipv6.FRAGMENT_HEADER_LENGTH : 0);
  const pieces = packet.fragmentPieces;
  const mayCut = packet.family === 4 && !ipv4.dontFragment(packet.bytes, packet.l3);
  if (!mayCut && (pieces === null || largest > mtu)) return 'tooBig';
  const least = packet.family === 6 ? IPV6_LEAST_MTU : 0;
  const room = (largest > 0 ? Math.min(mtu, Math.max(largest, least)) : mtu) - head;
  const fits = pieces !== null && areInShape(pieces, room, packet.end - off);
  const sizes = fits ? pieces : evenSizes(packet.end - off, room);
  return packet.family === 4 ? cutIpv4(packet, off, sizes) : cutIpv6(packet, off, sizes);
}

/**
 * Whether the original pieces can go out as they are ("Correct geometry" in `ip_do_fragment`);
 * what changed in length since is one piece by then, and cut anew.
 */
function areInShape(pieces: readonly number[], room: number, total: number): boolean {
  const sum = pieces.reduce((bytes, piece) => bytes + piece, 0);
  const last = pieces.length - 1;
  return (
    sum === total && pieces.every((piece, i) => piece <= room && (i === last || piece % 8 === 0))
  );
}

/**
 * Something looked at or wrote into the bytes before `end` of a packet that was put together: the
 * kernel has pulled them out of the pieces behind the first one (`pskb_may_pull`,
 * `skb_ensure_writable`). Does nothing when the packet is shorter.
 */
export function pullPieces(packet: Packet, end: number): void {
  if (packet.fragmentPieces === null || end > packet.end) return;
  const { bytes, l3, family } = packet;
  const start =
    family === 6 ? splitPoint(bytes, l3, packet.end).at : l3 + ipv4.headerLength(bytes, l3);
  const length = end - start;
  const [first = 0, ...rest] = packet.fragmentPieces;
  if (length <= first) return;
  let missing = length - first;
  const left = rest.flatMap((piece) => {
    const taken = Math.min(piece, missing);
    missing -= taken;
    return piece === taken ? [] : [piece - taken];
  });
  packet.fragmentPieces = [length - missing, ...left];
}

/** All but the last are multiples of eight; the last takes what room there is (`ip_frag_next`). */
function evenSizes(total: number, room: number): readonly number[] {
  const sizes: number[] = [];
  const size = Math.max(8, room & ~7);
  let left = total;
  for (; left > Math.max(room, size); left -= size) sizes.push(size);
  return [...sizes, left];
}

function cutIpv4(packet: Packet, off: number, sizes: readonly number[]): Packet[] {
  const { bytes: b, l3 } = packet;
  const length = off - l3;
  const base = isFragment(packet) ? packet.fragmentOffset : 0;
  const keep = ipv4.dontFragment(b, l3) ? DONT_FRAGMENT : 0;
  let offset = 0;
  return sizes.map((size, i) => {
    const bytes = new Uint8Array(off + size);
    bytes.set(b.subarray(0, off));
    bytes.set(b.subarray(off + offset, off + offset + size), off);
    const more = i < sizes.length - 1 || packet.moreFragments ? MORE_FRAGMENTS : 0;
    setU16(bytes, l3 + IPV4_TOTAL_LENGTH, length + size);
    setU16(bytes, l3 + IPV4_FRAGMENT, keep | more | ((base + offset) / 8));
    ipv4.fillChecksum(bytes, l3);
    offset += size;
    return childOf(packet, bytes);
  });
}

function cutIpv6(packet: Packet, off: number, sizes: readonly number[]): Packet[] {
  const { bytes: b, l3 } = packet;
  const place = splitPoint(b, l3, packet.end);
  const total = fold(sumBytes(b, off, Math.min(packet.end, b.length)));
  let offset = 0;
  return sizes.map((size, i) => {
    const more = i < sizes.length - 1;
    const extension = ipv6.emitFragmentHeader(place.next, offset, more, total);
    const bytes = new Uint8Array(place.at + extension.length + size);
    bytes.set(b.subarray(0, place.at));
    setU8(bytes, place.pointer, Protocol.fragment);
    bytes.set(extension, place.at);
    bytes.set(b.subarray(place.at + offset, place.at + offset + size), place.at + extension.length);
    ipv6.setPayloadLength(bytes, l3, bytes.length - l3 - ipv6.HEADER_LENGTH);
    offset += size;
    return childOf(packet, bytes);
  });
}

/**
 * Where the fragment header goes: behind hop-by-hop and routing headers (RFC 8200 section 4.5), and
 * behind destination options where no routing header is (`ip6_find_1stfragopt`); and which byte
 * names it.
 */
function splitPoint(
  b: Uint8Array,
  l3: number,
  end: number,
): { readonly at: number; readonly next: number; readonly pointer: number } {
  let pointer = l3 + 6;
  let at = l3 + ipv6.HEADER_LENGTH;
  let next = u8(b, pointer);
  let routed = false;
  while (at + 8 <= end) {
    const isBehind = next === Protocol.dstopts && !routed;
    if (next !== Protocol.hopopts && next !== Protocol.routing && !isBehind) break;
    if (next === Protocol.routing) routed = true;
    pointer = at;
    next = u8(b, at);
    at += (u8(b, at + 1) + 1) * 8;
  }
  return { at, next, pointer };
}

function childOf(parent: Packet, bytes: Uint8Array): Packet {
  const child = newPacket({
    frame: parent.frame,
    bytes,
    checksumOffloaded: parent.checksumOffloaded,
  });
  parseFrame(child);
  child.inDevice = parent.inDevice;
  child.outDevice = parent.outDevice;
  child.physIn = parent.physIn;
  child.physOut = parent.physOut;
  child.mark = parent.mark;
  child.markOrigins = parent.markOrigins;
  child.ctState = parent.ctState;
  child.connection = parent.connection;
  child.ctDirection = parent.ctDirection;
  return child;
}
