/**
 * The text of one rule as iptables-save prints it:
 *
 *   -A CHAIN  -s -d -i -o -p -f  -m MATCH …  -j TARGET …
 *
 * The head's order is that of `struct ipt_ip`'s printer, whatever order the rule was typed in.
 * Source: iptables 1.8.9, iptables/iptables.c `print_rule4`, ip6tables.c `print_rule6`.
 * @module
 */
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import type { IpMatch } from '../../netfilter/match.ts';
import type { Rule } from '../../netfilter/rule.ts';
import {
  type Family,
  formatAddress,
  formatPrefix,
  maskAddress,
} from '../../wire/address/address.ts';
import { formatMatch } from '../match/match-text.ts';
import { option, words } from '../match/match-words.ts';
import { formatProtocol } from './protocol-name.ts';
import { formatTarget } from './target-text.ts';

export { formatMatch, formatTarget };

/** Write a rule as an iptables-save line without counters and without line end. */
export function formatRule(rule: Rule, chain: string, family: Family = 4): string {
  return words(
    `-A ${chain}`,
    formatHead(rule.ip),
    ...rule.matches.map(formatMatch),
    formatTarget(rule.target, family),
  );
}

/** Write the head of a rule; the empty string when it matches everything. */
export function formatHead(ip: IpMatch): string {
  return words(
    anyPrefix(ip.source) ? '' : option('-s', ip.source, formatNetwork),
    anyPrefix(ip.destination) ? '' : option('-d', ip.destination, formatNetwork),
    option('-i', ip.inInterface, String),
    option('-o', ip.outInterface, String),
    option('-p', ip.protocol, formatProtocol),
    option('-f', ip.fragment, () => ''),
  );
}

function anyPrefix(part: { readonly value: HeadNetwork; readonly negate: boolean } | undefined) {
  return part !== undefined && !part.negate && part.value.length === 0 && !part.value.mask;
}

/** The tools clear host bits when they read a rule, so they never print any. */
function formatNetwork({ address, length, mask }: HeadNetwork): string {
  if (mask !== undefined) return `${formatAddress(address)}/${formatAddress(mask)}`;
  return formatPrefix({ address: maskAddress(address, length), length });
}
