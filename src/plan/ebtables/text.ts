/**
 * ebtables tables as ebtables-save prints and ebtables-restore reads them.
 *
 *   *nat
 *   :PREROUTING ACCEPT
 *   :POSTROUTING ACCEPT
 *   -A PREROUTING -p ARP --arp-op Request -j arpreply --arpreply-mac 00:0d:3a:00:00:01
 *
 * There are no counters and no COMMIT; every chain, also a user's, has a policy. Rules are
 * printed with the frame's own fields first (`-p -s -d -i --logical-in -o --logical-out`), then
 * the ARP or IP matches, whatever their order in the plan.
 *
 * Source: iptables 1.8.9, iptables/nft-bridge.c `nft_bridge_save_rule`, extensions/libebt_arp.c,
 * libebt_ip.c, libebt_ip6.c, libebt_snat.c, libebt_dnat.c, libebt_redirect.c, libebt_arpreply.c.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { EbChain, EbMatch, EbRule, EbTable, EbTarget } from '../../netfilter/ebtables.ts';
import { bits, formatAddress, maskAddress, type Prefix } from '../../wire/address/address.ts';
import { words } from '../match/match-words.ts';
import type { Plan } from '../model.ts';
import {
  ARP_OPERATIONS,
  EB_BUILTIN,
  ETHER_NAMES,
  MAC_NAMES,
  orderedMatches,
  WHOLE_MAC,
} from './words.ts';

export { parseEbtables } from './parser.ts';

/** Print all tables of a plan as one file; empty when it has none. */
export function printEbtables(plan: Plan): string {
  return plan.ebtables.map(printEbTable).join('');
}

function printEbTable({ name, chains }: EbTable): string {
  const builtin = EB_BUILTIN[name];
  const rank = (chain: EbChain) => (chain.builtin ? builtin.indexOf(chain.name) : builtin.length);
  const ordered = chains.toSorted((a, b) => rank(a) - rank(b));
  const heads = ordered.map((chain) => `:${chain.name} ${chain.policy}`);
  const rules = ordered.flatMap((chain) =>
    chain.rules.map((rule) => formatEbRule(rule, chain.name)),
  );
  return `${[`*${name}`, ...heads, ...rules].join('\n')}\n`;
}

/** Write one rule as an ebtables-save line, without line end. */
export function formatEbRule(rule: EbRule, chain: string): string {
  return words(
    `-A ${chain}`,
    ...orderedMatches(rule.matches).map(formatEbMatch),
    formatEbTarget(rule.target),
  );
}

function formatEbMatch(match: EbMatch): string {
  const not = match.negate ? '! ' : '';
  switch (match.kind) {
    case 'protocol':
      return `-p ${not}${formatEtherType(match.etherType)}`;
    case 'source':
      return `-s ${not}${formatMac(match)}`;
    case 'destination':
      return `-d ${not}${formatMac(match)}`;
    case 'inInterface':
      return `-i ${not}${match.name}`;
    case 'outInterface':
      return `-o ${not}${match.name}`;
    case 'logicalIn':
      return `--logical-in ${not}${match.name}`;
    case 'logicalOut':
      return `--logical-out ${not}${match.name}`;
    case 'arpOperation':
      return `--arp-op ${not}${ARP_OPERATIONS[match.operation - 1] ?? match.operation}`;
    case 'arpSource':
      return `--arp-ip-src ${not}${formatEbNet(match.net)}`;
    case 'arpDestination':
      return `--arp-ip-dst ${not}${formatEbNet(match.net)}`;
    case 'ipSource':
      return `--${ipName(match.net)}-src ${not}${formatEbNet(match.net)}`;
    case 'ipDestination':
      return `--${ipName(match.net)}-dst ${not}${formatEbNet(match.net)}`;
    default:
      return unreachable(match);
  }
}

function formatEtherType(type: number): string {
  const name = ETHER_NAMES.find(([, number]) => number === type)?.[0];
  return name ?? `0x${type.toString(16)}`;
}

function formatMac({ mac, mask }: { readonly mac: string; readonly mask: string }): string {
  const name = MAC_NAMES.find((row) => row[1] === mac && row[2] === mask)?.[0];
  return name ?? (mask === WHOLE_MAC ? mac : `${mac}/${mask}`);
}

function ipName(net: Prefix): string {
  return net.address.family === 4 ? 'ip' : 'ip6';
}

function formatEbNet({ address, length }: Prefix): string {
  const network = formatAddress(maskAddress(address, length));
  return length === bits(address.family) ? network : `${network}/${length}`;
}

function formatEbTarget(target: EbTarget): string {
  switch (target.kind) {
    case 'accept':
    case 'drop':
    case 'continue':
    case 'return':
      return `-j ${target.kind.toUpperCase()}`;
    case 'jump':
      return `-j ${target.chain}`;
    case 'snat': {
      const arp = target.arp && '--snat-arp';
      return words(`-j snat --to-src ${target.mac}`, arp, `--snat-target ${target.verdict}`);
    }
    case 'dnat':
      return `-j dnat --to-dst ${target.mac} --dnat-target ${target.verdict}`;
    case 'redirect':
      return words(
        '-j redirect',
        target.verdict !== 'ACCEPT' && `--redirect-target ${target.verdict}`,
      );
    case 'arpreply': {
      const then = target.verdict !== 'DROP' && `--arpreply-target ${target.verdict}`;
      return words(`-j arpreply --arpreply-mac ${target.mac}`, then);
    }
    default:
      return unreachable(target);
  }
}
