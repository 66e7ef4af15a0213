/**
 * Ethernet addresses as text: lower case, colon separated, the one form the project holds them in.
 * @module
 */
import { setU8, u8 } from '../bytes.ts';

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
export const ZERO_MAC = '00:00:00:00:00:00';

const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
/** What the letter a is above 10. */
const LETTERS = 0x61 - 10;

/** The character of a hexadecimal digit. */
function digit(value: number): number {
  return value + (value < 10 ? ZERO : LETTERS);
}

/** The digit of a lower-case hexadecimal character. */
function digitOf(character: number): number {
  return character - (character <= NINE ? ZERO : LETTERS);
}

/** Read six bytes as text. Precondition: they are there. */
export function readMac(b: Uint8Array, off: number): string {
  const [d0, d1, d2] = [u8(b, off), u8(b, off + 1), u8(b, off + 2)];
  const [d3, d4, d5] = [u8(b, off + 3), u8(b, off + 4), u8(b, off + 5)];
  return String.fromCharCode(
    digit(d0 >>> 4),
    digit(d0 & 0xf),
    COLON,
    digit(d1 >>> 4),
    digit(d1 & 0xf),
    COLON,
    digit(d2 >>> 4),
    digit(d2 & 0xf),
    COLON,
    digit(d3 >>> 4),
    digit(d3 & 0xf),
    COLON,
    digit(d4 >>> 4),
    digit(d4 & 0xf),
    COLON,
    digit(d5 >>> 4),
    digit(d5 & 0xf),
  );
}

/** Write a MAC in the project's form. Precondition: `parseMac` accepted it. */
export function writeMac(b: Uint8Array, off: number, mac: string): void {
  for (let i = 0; i < 6; i++) {
    const [high, low] = [mac.charCodeAt(3 * i), mac.charCodeAt(3 * i + 1)];
    setU8(b, off + i, digitOf(high) * 16 + digitOf(low));
  }
}

/**
 * Bring `aa:bb:…`, `AA-BB-…` or leading-zero-less forms into the project's form; `null` if none.
 */
export function parseMac(text: string): string | null {
  const parts = text.trim().toLowerCase().split(/[:-]/);
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-f]{1,2}$/.test(part))) return null;
  return parts.map((part) => part.padStart(2, '0')).join(':');
}

/** Whether the group bit is set: multicast and broadcast. */
export function isGroupMac(mac: string): boolean {
  return (digitOf(mac.charCodeAt(1)) & 1) === 1;
}

/** The MAC an IPv4 multicast group is sent to (RFC 1112 section 6.4); `group` in host order. */
export function ipv4MulticastMac(group: number): string {
  const low = group & 0x7fffff;
  const bytes = [0x01, 0x00, 0x5e, low >>> 16, (low >>> 8) & 0xff, low & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
