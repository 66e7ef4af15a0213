/**
 * Protocol numbers as iptables-save writes them after `-p`: by the names of /etc/protocols
 * (Debian's netbase, as on AKS nodes), else as a number. More names than wire/protocol.ts has,
 * which holds the protocols that the emulator looks into.
 * @module
 */
import { protocolNumber } from '../../wire/protocol.ts';

/** Debian netbase 6.4, etc/protocols; iptables writes the official name, reads it in any case. */
const NAMES: readonly (readonly [number, string])[] = [
  [1, 'icmp'],
  [2, 'igmp'],
  [3, 'ggp'],
  [4, 'ipencap'],
  [5, 'st'],
  [6, 'tcp'],
  [8, 'egp'],
  [9, 'igp'],
  [12, 'pup'],
  [17, 'udp'],
  [20, 'hmp'],
  [22, 'xns-idp'],
  [27, 'rdp'],
  [29, 'iso-tp4'],
  [33, 'dccp'],
  [36, 'xtp'],
  [37, 'ddp'],
  [38, 'idpr-cmtp'],
  [41, 'ipv6'],
  [43, 'ipv6-route'],
  [44, 'ipv6-frag'],
  [45, 'idrp'],
  [46, 'rsvp'],
  [47, 'gre'],
  [50, 'esp'],
  [51, 'ah'],
  [57, 'skip'],
  [58, 'ipv6-icmp'],
  [59, 'ipv6-nonxt'],
  [60, 'ipv6-opts'],
  [73, 'rspf'],
  [81, 'vmtp'],
  [88, 'eigrp'],
  [89, 'ospf'],
  [93, 'ax.25'],
  [94, 'ipip'],
  [97, 'etherip'],
  [98, 'encap'],
  [103, 'pim'],
  [108, 'ipcomp'],
  [112, 'vrrp'],
  [115, 'l2tp'],
  [124, 'isis'],
  [132, 'sctp'],
  [133, 'fc'],
  [135, 'mobility-header'],
  [136, 'udplite'],
  [137, 'mpls-in-ip'],
  [138, 'manet'],
  [139, 'hip'],
  [140, 'shim6'],
  [141, 'wesp'],
  [142, 'rohc'],
  [143, 'ethernet'],
];

const NAME_OF: ReadonlyMap<number, string> = new Map(NAMES);
const NUMBER_OF: ReadonlyMap<string, number> = new Map(NAMES.map(([n, name]) => [name, n]));

/** The name as iptables-save writes it, or the number. */
export function formatProtocol(protocol: number): string {
  return NAME_OF.get(protocol) ?? String(protocol);
}

/** The number behind a protocol as iptables reads it (`all` is 0); `null` when it is none. */
export function parseProtocol(text: string): number | null {
  const lower = text.toLowerCase();
  if (lower === 'all' || lower === 'ip') return 0;
  return NUMBER_OF.get(lower) ?? protocolNumber(text);
}
