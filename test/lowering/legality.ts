/**
 * Rules that stand where they may, or may not, and what is said of them. The kernel is asked about
 * the same rows by test/differential/kernel/image.test.ts.
 */
import type { TableName } from '../../src/netfilter/hook.ts';
import type { Match } from '../../src/netfilter/match.ts';
import type { Target } from '../../src/netfilter/target.ts';
import type { RuleParts } from '../../src/plan/builder.ts';
import { address } from '../support/packets.ts';
import { prefix } from '../support/walks.ts';

const RANGE = { random: false, randomFully: false, persistent: false };
const TO = { ...RANGE, low: address('10.9.0.1'), high: address('10.9.0.1') };
const TCP = { protocol: { value: 6, negate: false } } as const;
const LIMIT_OUT: Match = {
  kind: 'addrtype',
  source: { value: ['LOCAL'], negate: false },
  limitIfaceIn: false,
  limitIfaceOut: true,
};
const RPFILTER: Match = {
  kind: 'rpfilter',
  loose: false,
  validmark: false,
  acceptLocal: false,
  invert: false,
};
const SYN: Match = { kind: 'tcp', flags: { value: { mask: 6, set: 2 }, negate: false } };

const target = (table: TableName, chain: string, to: Target, ip: RuleParts['ip'] = {}) =>
  [table, chain, { target: to, ip }] as const;
const match = (table: TableName, chain: string, m: Match, ip: RuleParts['ip'] = {}) =>
  [table, chain, { matches: [m], ip }] as const;
const reset = { kind: 'reject', with: 'tcp-reset' } as const;
const dports = { kind: 'multiport', which: 'dports', negate: false } as const;
const port = { low: 80, high: 80 };
const physOut = { kind: 'physdev', physOut: { value: 'e', negate: false } } as const;

/** A rule, where it stands, and the codes of what is wrong with it. */
export interface LegalityRow {
  readonly name: string;
  readonly table: TableName;
  readonly chain: string;
  readonly rule: RuleParts;
  readonly faults: readonly string[];
}

type Placed = readonly [TableName, string, RuleParts];

export const RULES: readonly LegalityRow[] = (
  [
    [
      'REJECT in FORWARD',
      target('filter', 'FORWARD', { kind: 'reject', with: 'icmp-net-unreachable' }),
      [],
    ],
    [
      'REJECT in mangle',
      target('mangle', 'FORWARD', { kind: 'reject', with: 'icmp-net-unreachable' }),
      ['PLAN_TARGET_TABLE'],
    ],
    [
      'REJECT with an IPv6 code',
      target('filter', 'INPUT', { kind: 'reject', with: 'icmp6-no-route' }),
      ['PLAN_TARGET_FAMILY'],
    ],
    ['tcp-reset to all', target('filter', 'INPUT', reset), ['PLAN_TARGET_PROTOCOL']],
    ['tcp-reset to TCP', target('filter', 'INPUT', reset, TCP), []],
    [
      'MASQUERADE in PREROUTING',
      target('nat', 'PREROUTING', { kind: 'masquerade', range: RANGE }),
      ['PLAN_TARGET_HOOK'],
    ],
    [
      'MASQUERADE in filter',
      target('filter', 'FORWARD', { kind: 'masquerade', range: RANGE }),
      ['PLAN_TARGET_HOOK', 'PLAN_TARGET_TABLE'],
    ],
    [
      'DNAT in POSTROUTING',
      target('nat', 'POSTROUTING', { kind: 'dnat', range: TO }),
      ['PLAN_TARGET_HOOK'],
    ],
    ['SNAT in INPUT', target('nat', 'INPUT', { kind: 'snat', range: TO }), []],
    [
      'DNAT to an IPv6 address',
      target('nat', 'OUTPUT', {
        kind: 'dnat',
        range: { ...RANGE, low: address('fd00::1'), high: address('fd00::1') },
      }),
      ['PLAN_TARGET_FAMILY'],
    ],
    [
      'new ports without a protocol',
      target('nat', 'PREROUTING', { kind: 'dnat', range: { ...TO, ports: port } }),
      ['PLAN_TARGET_PROTOCOL'],
    ],
    ['NOTRACK in filter', target('filter', 'INPUT', { kind: 'notrack' }), ['PLAN_TARGET_TABLE']],
    [
      'TTL in filter',
      target('filter', 'INPUT', { kind: 'ttl', operation: 'set', value: 1 }),
      ['PLAN_TARGET_TABLE'],
    ],
    [
      'TCPMSS on all TCP',
      target('mangle', 'FORWARD', { kind: 'tcpmss', mss: 1200 }, TCP),
      ['PLAN_TARGET_PROTOCOL'],
    ],
    ['tcp without -p tcp', match('filter', 'INPUT', { kind: 'tcp' }), ['PLAN_MATCH_PROTOCOL']],
    [
      'tcp with ! -p tcp',
      match('filter', 'INPUT', { kind: 'tcp' }, { protocol: { value: 6, negate: true } }),
      ['PLAN_MATCH_PROTOCOL'],
    ],
    ['udp with -p tcp', match('filter', 'INPUT', { kind: 'udp' }, TCP), ['PLAN_MATCH_PROTOCOL']],
    [
      'multiport without a protocol',
      match('filter', 'INPUT', { ...dports, ports: [port] }),
      ['PLAN_MATCH_PROTOCOL'],
    ],
    [
      'sixteen ports',
      match('filter', 'INPUT', { ...dports, ports: Array(16).fill(port) }, TCP),
      ['PLAN_MATCH_PORTS'],
    ],
    ['physdev out in OUTPUT', match('filter', 'OUTPUT', physOut), ['PLAN_MATCH_HOOK']],
    ['physdev out in FORWARD', match('filter', 'FORWARD', physOut), []],
    [
      'physdev out of bridged packets',
      match('filter', 'OUTPUT', { ...physOut, isBridged: { value: true, negate: false } }),
      [],
    ],
    ['limit-iface-out in INPUT', match('filter', 'INPUT', LIMIT_OUT), ['PLAN_MATCH_HOOK']],
    [
      'rpfilter in filter',
      match('filter', 'FORWARD', RPFILTER),
      ['PLAN_MATCH_HOOK', 'PLAN_MATCH_TABLE'],
    ],
    ['rpfilter in raw', match('raw', 'PREROUTING', RPFILTER), []],
    [
      'icmp6 in iptables',
      match(
        'filter',
        'INPUT',
        { kind: 'icmp6', type: { value: { type: 1, codes: port }, negate: false } },
        { protocol: { value: 58, negate: false } },
      ),
      ['PLAN_MATCH_FAMILY'],
    ],
    [
      'owner in FORWARD',
      match('filter', 'FORWARD', {
        kind: 'owner',
        uid: { value: { low: 0, high: 0 }, negate: false },
      }),
      ['PLAN_MATCH_HOOK'],
    ],
    [
      '-i in OUTPUT',
      ['filter', 'OUTPUT', { ip: { inInterface: { value: 'eth0', negate: false } } }],
      ['PLAN_RULE_INTERFACE'],
    ],
    [
      '-s of IPv6',
      ['filter', 'INPUT', { ip: { source: { value: prefix('fd00::/8'), negate: false } } }],
      ['PLAN_RULE_FAMILY'],
    ],
    [
      'a jump to nowhere',
      target('filter', 'INPUT', { kind: 'jump', chain: 'gone' }),
      ['PLAN_CHAIN_MISSING'],
    ],
    [
      'a jump to a built-in chain',
      target('filter', 'INPUT', { kind: 'jump', chain: 'FORWARD' }),
      ['PLAN_CHAIN_BUILTIN'],
    ],
    [
      'a set that is not there',
      match('filter', 'INPUT', { kind: 'set', set: 'gone', directions: ['src'], negate: false }),
      ['PLAN_SET_MISSING'],
    ],
    [
      'TCPMSS on SYNs',
      ['mangle', 'FORWARD', { ip: TCP, matches: [SYN], target: { kind: 'tcpmss', mss: 1200 } }],
      [],
    ],
  ] as readonly (readonly [string, Placed, readonly string[]])[]
).map(([name, [table, chain, rule], faults]) => ({ name, table, chain, rule, faults }));
