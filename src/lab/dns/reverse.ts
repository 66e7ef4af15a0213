/**
 * Addresses spelt backwards: `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5) and nibbles under
 * `ip6.arpa` (RFC 3596 section 2.5).
 * @module
 */
import { type Address, parseAddress } from '../../wire/address/address.ts';

/** The address of a reverse name; null when it spells no whole one. */
export function reversedAddress(name: string): Address | null {
  const four = /^((?:\d+\.){4})in-addr\.arpa$/.exec(name)?.[1];
  if (four) return parseAddress(four.slice(0, -1).split('.').reverse().join('.'));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (!six) return null;
  const digits = six.slice(0, -1).split('.').reverse().join('');
  return parseAddress(digits.replaceAll(/(.{4})(?=.)/g, '$1:'));
}
