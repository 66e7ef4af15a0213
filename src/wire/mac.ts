/**
 * Ethernet addresses as text: lower case, colon separated, the one form the project holds them in.
 * @module
 */
import { setU8, u8 } from './bytes.ts';

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
export const ZERO_MAC = '00:00:00:00:00:00';

/** Read six bytes as text. Precondition: they are there. */
export function readMac(b: Uint8Array, off: number): string {
  let text = '';
  for (let i = 0; i < 6; i++) {
    const hex = u8(b, off + i).toString(16);
    text += (i === 0 ? '' : ':') + (hex.length === 1 ? `0${hex}` : hex);
  }
  return text;
}

/** Write a MAC in the project's form. Precondition: `parseMac` accepted it. */
export function writeMac(b: Uint8Array, off: number, mac: string): void {
  for (let i = 0; i < 6; i++) setU8(b, off + i, Number.parseInt(mac.slice(3 * i, 3 * i + 2), 16));
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
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/** The MAC an IPv4 multicast group is sent to (RFC 1112 section 6.4); `group` in host order. */
export function ipv4MulticastMac(group: number): string {
  const low = group & 0x7fffff;
  const bytes = [0x01, 0x00, 0x5e, low >>> 16, (low >>> 8) & 0xff, low & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
