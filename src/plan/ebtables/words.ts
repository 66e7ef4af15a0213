/**
 * Names and orders that ebtables prints and reads.
 *
 * Source: iptables 1.8.9, iptables/nft-bridge.c, extensions/libebt_arp.c; Debian netbase,
 * etc/ethertypes.
 * @module
 */
import type { EbMatch, EbTable } from '../../netfilter/ebtables.ts';

/** The built-in chains of each table, in the order in which ebtables-nft-save prints them. */
export const EB_BUILTIN: Readonly<Record<EbTable['name'], readonly string[]>> = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'OUTPUT', 'POSTROUTING'],
  broute: ['BROUTING'],
};

/** Names of /etc/ethertypes (Debian netbase) that ebtables prints. */
export const ETHER_NAMES: readonly (readonly [string, number])[] = [
  ['IPv4', 0x0800],
  ['X25', 0x0805],
  ['ARP', 0x0806],
  ['TEB', 0x6558],
  ['RARP', 0x8035],
  ['ATALK', 0x809b],
  ['AARP', 0x80f3],
  ['802_1Q', 0x8100],
  ['IPX', 0x8137],
  ['NetBEUI', 0x8191],
  ['IPv6', 0x86dd],
  ['PPP', 0x880b],
  ['MPLS', 0x8847],
  ['MPLS_MULTI', 0x8848],
  ['PPP_DISC', 0x8863],
  ['PPP_SES', 0x8864],
  ['EAPOL', 0x888e],
  ['S-TAG', 0x88a8],
  ['LLDP', 0x88cc],
  ['MACSEC', 0x88e5],
  ['PBB', 0x88e7],
  ['PTP', 0x88f7],
];

/** Names of ARP operations from 1 (libebt_arp.c `opcodes`). */
export const ARP_OPERATIONS = [
  'Request',
  'Reply',
  'Request_Reverse',
  'Reply_Reverse',
  'DRARP_Request',
  'DRARP_Reply',
  'DRARP_Error',
  'InARP_Request',
  'ARP_NAK',
] as const;

/**
 * Addresses with masks that ebtables prints by name (libxtables `xtables_print_mac_and_mask`).
 */
export const MAC_NAMES: readonly (readonly [name: string, mac: string, mask: string])[] = [
  ['Unicast', '00:00:00:00:00:00', '01:00:00:00:00:00'],
  ['Multicast', '01:00:00:00:00:00', '01:00:00:00:00:00'],
  ['Broadcast', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff'],
  ['BGA', '01:80:c2:00:00:00', 'ff:ff:ff:ff:ff:ff'],
];

export const WHOLE_MAC = 'ff:ff:ff:ff:ff:ff';

/** The order in which the parts of a rule are printed. */
const MATCH_ORDER: readonly EbMatch['kind'][] = [
  'protocol',
  'source',
  'destination',
  'inInterface',
  'logicalIn',
  'outInterface',
  'logicalOut',
  'arpOperation',
  'arpSource',
  'arpDestination',
  'ipSource',
  'ipDestination',
];

/** Matches in the order in which they are printed, and read back. */
export function orderedMatches(matches: readonly EbMatch[]): readonly EbMatch[] {
  return matches.toSorted((a, b) => MATCH_ORDER.indexOf(a.kind) - MATCH_ORDER.indexOf(b.kind));
}
