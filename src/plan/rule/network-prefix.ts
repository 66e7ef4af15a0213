/**
 * Networks as iptables and ebtables read them: with a length or, for IPv4, with a dotted mask.
 * @module
 */
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import {
  type Address,
  equalAddress,
  type Family,
  ipv4,
  ipv6,
  maskAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../wire/address/address.ts';
import { OptionFault } from './option-reader.ts';

/** What a rule's head takes: a network, or an address with a mask that has holes. */
export function headNetwork(text: string, family: Family): HeadNetwork {
  const [address, mask] = text.split('/').map(parseAddress);
  if (address?.family !== family || mask?.family !== family) return networkPrefix(text, family);
  const length = leadingOnes(mask);
  const masked = maskAddress(mask, length);
  if (equalAddress(masked, mask)) return { address: maskAddress(address, length), length };
  const word = (at: 'w0' | 'w1' | 'w2' | 'w3') => (address[at] & mask[at]) >>> 0;
  const kept =
    family === 4 ? ipv4(word('w3')) : ipv6(word('w0'), word('w1'), word('w2'), word('w3'));
  return { address: kept, length, mask };
}

function leadingOnes({ family, w0, w1, w2, w3 }: Address): number {
  let ones = 0;
  for (const word of family === 4 ? [w3] : [w0, w1, w2, w3]) {
    const found = Math.clz32(~word);
    ones += found;
    if (found < 32) break;
  }
  return ones;
}

/** `ADDRESS[/LENGTH]`, or `/a.b.c.d` with the ones in front; host bits are cleared. */
export function networkPrefix(text: string, family: Family): Prefix {
  const prefix = parsePrefix(padded(text)) ?? dottedMask(text);
  if (prefix?.address.family !== family) {
    const accepted = `IPv${family} ADDRESS[/LENGTH]; names are not resolved`;
    throw new OptionFault('an address was expected', text, accepted);
  }
  return { address: maskAddress(prefix.address, prefix.length), length: prefix.length };
}

function dottedMask(text: string): Prefix | null {
  const [address, mask] = text.split('/').map(parseAddress);
  if (address?.family !== 4 || mask?.family !== 4) return null;
  const length = Math.clz32(~mask.w3);
  if (length !== 32 && (mask.w3 << length) >>> 0 !== 0) {
    throw new OptionFault('a mask with holes is not emulated', text);
  }
  return { address, length };
}

/** `10/8` is `10.0.0.0/8` (libxtables/xtables.c `pad_cidr`). */
function padded(text: string): string {
  const m = /^(\d{1,3}(?:\.\d{1,3}){0,2})(\/\d+)$/.exec(text);
  if (!m) return text;
  const parts = (m[1] ?? '').split('.');
  return `${[...parts, '0', '0', '0'].slice(0, 4).join('.')}${m[2]}`;
}
