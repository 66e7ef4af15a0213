/**
 * Names of ICMP and ICMPv6 types that iptables reads; iptables-save prints only numbers.
 *
 * Source: iptables 1.8.9, libxtables/xtables.c `xt_icmp_codes` (libxt_icmp.h): `icmp_codes`,
 * `icmpv6_codes`. IANA's registries give the numbers.
 * @module
 */
import type { Family } from '../../wire/address/address.ts';

/** Names of a type, then the names of its codes from the listed numbers. */
type TypeRow = readonly [type: number, names: string, codes?: Readonly<Record<string, number>>];

const ICMP: readonly TypeRow[] = [
  [0, 'echo-reply pong'],
  [
    3,
    'destination-unreachable',
    {
      'network-unreachable': 0,
      'host-unreachable': 1,
      'protocol-unreachable': 2,
      'port-unreachable': 3,
      'fragmentation-needed': 4,
      'source-route-failed': 5,
      'network-unknown': 6,
      'host-unknown': 7,
      'network-prohibited': 9,
      'host-prohibited': 10,
      'TOS-network-unreachable': 11,
      'TOS-host-unreachable': 12,
      'communication-prohibited': 13,
      'host-precedence-violation': 14,
      'precedence-cutoff': 15,
    },
  ],
  [4, 'source-quench'],
  [
    5,
    'redirect',
    {
      'network-redirect': 0,
      'host-redirect': 1,
      'TOS-network-redirect': 2,
      'TOS-host-redirect': 3,
    },
  ],
  [8, 'echo-request ping'],
  [9, 'router-advertisement'],
  [10, 'router-solicitation'],
  [
    11,
    'time-exceeded ttl-exceeded',
    { 'ttl-zero-during-transit': 0, 'ttl-zero-during-reassembly': 1 },
  ],
  [12, 'parameter-problem', { 'ip-header-bad': 0, 'required-option-missing': 1 }],
  [13, 'timestamp-request'],
  [14, 'timestamp-reply'],
  [17, 'address-mask-request'],
  [18, 'address-mask-reply'],
];

const ICMPV6: readonly TypeRow[] = [
  [
    1,
    'destination-unreachable',
    {
      'no-route': 0,
      'communication-prohibited': 1,
      'beyond-scope': 2,
      'address-unreachable': 3,
      'port-unreachable': 4,
      'failed-policy': 5,
      'reject-route': 6,
    },
  ],
  [2, 'packet-too-big'],
  [
    3,
    'time-exceeded ttl-exceeded',
    { 'ttl-zero-during-transit': 0, 'ttl-zero-during-reassembly': 1 },
  ],
  [4, 'parameter-problem', { 'bad-header': 0, 'unknown-header-type': 1, 'unknown-option': 2 }],
  [128, 'echo-request ping'],
  [129, 'echo-reply pong'],
  [130, 'mld-listener-query'],
  [131, 'mld-listener-report'],
  [132, 'mld-listener-done mld-listener-reduction'],
  [133, 'router-solicitation'],
  [134, 'router-advertisement'],
  [135, 'neighbour-solicitation neighbor-solicitation'],
  [136, 'neighbour-advertisement neighbor-advertisement'],
  [137, 'redirect'],
];

export interface IcmpType {
  readonly type: number;
  readonly codes: { readonly low: number; readonly high: number };
}

const ANY_CODE = { low: 0, high: 255 } as const;

/** The type and codes behind a name (any case); `undefined` when it names none. */
export function icmpTypeByName(name: string, family: Family): IcmpType | undefined {
  const wanted = name.toLowerCase();
  if (family === 4 && wanted === 'any') return { type: 255, codes: ANY_CODE };
  for (const [type, names, codes = {}] of family === 4 ? ICMP : ICMPV6) {
    if (names.split(' ').includes(wanted)) return { type, codes: ANY_CODE };
    const code = Object.entries(codes).find(([one]) => one.toLowerCase() === wanted)?.[1];
    if (code !== undefined) return { type, codes: { low: code, high: code } };
  }
  return undefined;
}

/** Names that ipset's own table does not have (ipset 7.17, lib/icmpv6.c). */
const NOT_OF_IPSET = ['beyond-scope', 'failed-policy', 'reject-route'];

/**
 * The name that ipset prints for a type and code; `undefined` when it prints numbers. A type
 * without named codes has its name for code 0.
 */
export function icmpNameOf(type: number, code: number, family: Family): string | undefined {
  const row = (family === 4 ? ICMP : ICMPV6).find(([number]) => number === type);
  if (!row) return undefined;
  const [, names, codes] = row;
  if (codes !== undefined) {
    const found = Object.keys(codes).find((name) => codes[name] === code);
    return found !== undefined && NOT_OF_IPSET.includes(found) ? undefined : found;
  }
  return code !== 0 || names.startsWith('mld-') ? undefined : names.split(' ')[0];
}
