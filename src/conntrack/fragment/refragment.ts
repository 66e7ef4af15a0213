/**
 * Cutting a packet into fragments on its way out: a reassembled one as it came, any other to the
 * MTU.
 *
 * Kernel: net/ipv4/ip_output.c `ip_fragment`, `ip_do_fragment`; net/ipv6/ip6_output.c
 * `ip6_fragment`, Linux 6.18. A reassembled IPv6 packet gets a new identification, which the kernel
 * draws; here it is made of what the packet is, so that a run repeats itself. Not done: IPv4
 * options that are not to be copied stay in all fragments.
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { isFragment, newPacket, parseFrame, transportOffset } from '../../packet/parse.ts';
import { setU8, setU16, u8 } from '../../wire/bytes.ts';
import { fold, sumBytes } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { Protocol } from '../../wire/protocol.ts';

const IPV4_TOTAL_LENGTH = 2;
const IPV4_FRAGMENT = 6;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;

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
 * @returns `tooBig` when it may not be fragmented (Don't Fragment, or IPv6 not ours to cut), or
 * when a fragment came in larger than the MTU and may not be made smaller
 * Precondition: whole in the capture.
 */
export function refragment(packet: Packet, mtu: number): readonly Packet[] | 'tooBig' {
  const off =
    packet.family === 6
      ? splitPoint(packet.bytes, packet.l3, packet.end).at
      : transportOffset(packet);
  if (typeof off === 'string' || packet.family === 0) return [packet];
  const head = off - packet.l3 + (packet.family === 6 ? ipv6.FRAGMENT_HEADER_LENGTH : 0);
  const pieces = packet.fragmentPieces;
  const largest = pieces === null ? 0 : head + Math.max(...pieces);
  if (packet.family === 6 && (pieces === null || largest > mtu)) return 'tooBig';
  if (packet.family === 4 && ipv4.dontFragment(packet.bytes, packet.l3)) {
    if (pieces === null || largest > mtu) return 'tooBig';
  }
  const fits = pieces !== null && largest <= mtu;
  const sizes = fits ? pieces : evenSizes(packet.end - off, Math.max(8, (mtu - head) & ~7));
  return packet.family === 4 ? cutIpv4(packet, off, sizes) : cutIpv6(packet, off, sizes);
}

function evenSizes(total: number, size: number): readonly number[] {
  const count = Math.ceil(total / size);
  return Array.from({ length: count }, (_, i) => Math.min(size, total - i * size));
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
 * which byte names it.
 */
function splitPoint(
  b: Uint8Array,
  l3: number,
  end: number,
): { readonly at: number; readonly next: number; readonly pointer: number } {
  let pointer = l3 + 6;
  let at = l3 + ipv6.HEADER_LENGTH;
  let next = u8(b, pointer);
  while ((next === Protocol.hopopts || next === Protocol.routing) && at + 8 <= end) {
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
