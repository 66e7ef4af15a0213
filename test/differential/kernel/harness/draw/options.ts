/**
 * Options that routers look at: of IPv4 headers (RFC 791 section 3.1), and hop-by-hop ones of IPv6 (RFC
 * 8200 section 4.3), right and wrong. Timestamps are left out: what a host writes there is its clock.
 * @module
 */
import { setU8, setU16, u16 } from '../../../../../src/wire/bytes.ts';
import * as ethernet from '../../../../../src/wire/header/ethernet.ts';
import * as ipv4 from '../../../../../src/wire/header/ipv4.ts';
import { EtherType, Protocol } from '../../../../../src/wire/protocol.ts';
import type { Draw } from '../../rule-space.ts';

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** A multiple of four bytes each. */
const OPTIONS4: readonly (readonly number[])[] = [
  [1, 1, 1, 0],
  // Record route: full, with room, with a pointer into nowhere, too long.
  [7, 7, 8, 10, 1, 0, 11, 0],
  [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [7, 7, 3, 0, 0, 0, 0, 0],
  [7, 20, 4, 0],
  // Router alert, and a broken one.
  [148, 4, 0, 0],
  [148, 3, 0, 0],
  // Loose and strict source route, done and to be done.
  [131, 7, 8, 10, 1, 0, 11, 0],
  [131, 7, 4, 10, 1, 0, 11, 0],
  [137, 7, 4, 10, 2, 0, 2, 0],
  // Unknown, and one without a length.
  [0x5e, 4, 1, 2],
  [7, 1, 0, 0],
  [1, 1, 1, 7],
];

/** Six bytes each: header of the option, its body, padding. */
const OPTIONS6: readonly (readonly number[])[] = [
  [1, 4, 0, 0, 0, 0],
  [5, 2, 0, 0, 1, 0],
  [5, 3, 0, 0, 0, 0],
  // Unknown: pass over, drop, drop and say so, drop and say so unless for a group.
  [0x1e, 4, 0, 0, 0, 0],
  [0x5e, 4, 0, 0, 0, 0],
  [0x9e, 4, 0, 0, 0, 0],
  [0xde, 4, 0, 0, 0, 0],
  [0xc2, 4, 0, 0, 0, 100],
  [1, 9, 0, 0, 0, 0],
];

/** The same packet with options behind its fixed header. */
export function withOptions(draw: Draw, frame: Uint8Array): Uint8Array {
  const l3 = ethernet.HEADER_LENGTH;
  if (ethernet.etherType(frame) === EtherType.ipv4) {
    const longer = inserted(frame, l3 + IPV4_HEADER, draw.of(OPTIONS4));
    const added = longer.length - frame.length;
    setU8(longer, l3, 0x40 + (IPV4_HEADER + added) / 4);
    setU16(longer, l3 + 2, u16(frame, l3 + 2) + added);
    ipv4.fillChecksum(longer, l3);
    return longer;
  }
  const header = [frame[l3 + 6] ?? 0, 0, ...draw.of(OPTIONS6)];
  const longer = inserted(frame, l3 + IPV6_HEADER, header);
  setU8(longer, l3 + 6, Protocol.hopopts);
  setU16(longer, l3 + 4, u16(frame, l3 + 4) + header.length);
  return longer;
}

function inserted(frame: Uint8Array, at: number, bytes: readonly number[]): Uint8Array {
  return Uint8Array.of(...frame.subarray(0, at), ...bytes, ...frame.subarray(at));
}
