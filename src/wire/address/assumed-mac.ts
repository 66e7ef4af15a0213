/**
 * The Ethernet address of somebody of whom only the IP address is known: locally administered (IEEE
 * 802 bit 0x02 of the first byte), and different for different addresses as far as four bytes go.
 * @module
 */
import type { Address } from './address.ts';

export function assumedMac({ w0, w1, w2, w3, family }: Address): string {
  const word = family === 4 ? w3 : w0 ^ w1 ^ w2 ^ w3;
  const bytes = [family === 4 ? 0x02 : 0x06, 0xfe, 24, 16, 8, 0];
  return bytes
    .map((byte, i) => (i < 2 ? byte : (word >>> byte) & 0xff))
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(':');
}

/** Is the address one that was made up for somebody, so that nobody knows the real one? */
export function isAssumedMac(mac: string): boolean {
  return mac.startsWith('02:fe:') || mac.startsWith('06:fe:');
}
