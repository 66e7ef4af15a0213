/**
 * Matches that the kernel or iptables would not take where they stand.
 *
 * Source: net/netfilter/x_tables.c `xt_check_match` (protocol, table, hooks of the module) and the
 * `checkentry` of each module, named beside its rule.
 * @module
 */

import type { Hook } from '../netfilter/hook.ts';
import { hashlimitBucket } from '../netfilter/limit-bucket.ts';
import type { Match, MatchKind } from '../netfilter/match.ts';
import type { Rule } from '../netfilter/rule.ts';
import { Protocol, protocolName } from '../wire/protocol.ts';
import type { FaultText } from './fault.ts';
import type { RuleSite } from './rule-site.ts';

/** What is wrong with the matches of a rule. */
export function matchFaults(rule: Rule, site: RuleSite): readonly FaultText[] {
  return rule.matches.flatMap((match) => [
    ...protocolFaults(match.kind, rule, site),
    ...ownFaults(match, site),
  ]);
}

/** `-p` that a match module wants (`xt_match.proto`). */
const WANTED_PROTOCOL: Partial<Record<MatchKind, number>> = {
  tcp: Protocol.tcp,
  udp: Protocol.udp,
  udplite: Protocol.udplite,
  sctp: Protocol.sctp,
  dccp: Protocol.dccp,
  icmp: Protocol.icmp,
  icmp6: Protocol.icmpv6,
};

const MULTIPORT_PROTOCOLS: readonly number[] = [
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
  Protocol.dccp,
];

function protocolFaults(kind: MatchKind, rule: Rule, { table }: RuleSite): FaultText[] {
  const wanted = WANTED_PROTOCOL[kind];
  const accepted = wanted === undefined ? [] : [wanted];
  if (kind === 'multiport') accepted.push(...MULTIPORT_PROTOCOLS);
  if (accepted.length === 0) return [];
  const faults: FaultText[] = [];
  if ((kind === 'icmp' && table.family === 6) || (kind === 'icmp6' && table.family === 4)) {
    faults.push({ code: 'PLAN_MATCH_FAMILY', message: `match ${kind} is of the other family` });
  }
  const { protocol } = rule.ip;
  const ok = protocol !== undefined && !protocol.negate && accepted.includes(protocol.value);
  if (ok) return faults;
  const text = accepted.map((p) => `-p ${protocolName(p)}`).join(' or ');
  const message = `match ${kind} needs its protocol`;
  return [...faults, { code: 'PLAN_MATCH_PROTOCOL', message, accepted: text }];
}

function ownFaults(match: Match, site: RuleSite): FaultText[] {
  switch (match.kind) {
    case 'set':
      return setFaults(match, site);
    case 'physdev':
      return physdevFaults(match, site);
    case 'addrtype':
      return addrtypeFaults(match, site);
    case 'rpfilter':
      return rpfilterFaults(site);
    case 'multiport':
      return multiportFaults(match);
    case 'mac':
      return beyond(match.kind, site, ['prerouting', 'input', 'forward']);
    case 'owner':
      return beyond(match.kind, site, ['output', 'postrouting']);
    case 'cgroup':
      return beyond(match.kind, site, ['output', 'postrouting', 'input']);
    case 'socket':
      return beyond(match.kind, site, ['prerouting', 'input']);
    case 'hashlimit':
      return hashlimitFaults(match);
    case 'policy':
      return policyFaults(match, site);
    case 'ttl':
    case 'hl':
      return ttlFaults(match, site);
    default:
      return [];
  }
}

/** A match that is reached from a hook where its module can not work (`xt_match.hooks`). */
function beyond(kind: MatchKind, { hooks }: RuleSite, legal: readonly Hook[]): FaultText[] {
  const strange = [...hooks].filter((hook) => !legal.includes(hook));
  if (strange.length === 0) return [];
  const message = `match ${kind} is reached from ${strange.join(', ').toUpperCase()}`;
  return [{ code: 'PLAN_MATCH_HOOK', message, accepted: legal.join(', ').toUpperCase() }];
}

function ttlFaults({ kind }: MatchOf<'ttl' | 'hl'>, { table }: RuleSite): FaultText[] {
  if ((kind === 'ttl') === (table.family === 4)) return [];
  return [{ code: 'PLAN_MATCH_FAMILY', message: `match ${kind} is of the other family` }];
}

type MatchOf<K extends MatchKind> = Extract<Match, { kind: K }>;

/**
 * More than IPSET_DIM_MAX dimensions are refused. Too few are taken, and then the set never
 * matches (ip_set_core.c `ip_set_test`). A family that does not fit is refused by iptables itself.
 */
function setFaults(match: MatchOf<'set'>, { sets, table }: RuleSite): FaultText[] {
  const set = sets.get(match.set);
  if (set === undefined) {
    return [{ code: 'PLAN_SET_MISSING', message: 'no such set', found: match.set }];
  }
  if (set.membersUnknown) return [];
  const faults: FaultText[] = [];
  const given = match.directions.length;
  if (given < 1 || given > 6) {
    const message = `set ${set.name} is asked for ${given} dimensions`;
    const accepted = '1 to 6 of src and dst';
    const found = match.directions.join(',');
    faults.push({ code: 'PLAN_SET_DIMENSIONS', message, found, accepted });
  }
  if (set.family !== undefined && set.type !== 'list:set' && set.family !== table.family) {
    const message = `set ${set.name} holds addresses of the other family`;
    faults.push({ code: 'PLAN_SET_FAMILY', message });
  }
  return faults;
}

/** xt_hashlimit.c `hashlimit_mt_check_common`; iptables-nft takes any burst of xt_limit. */
function hashlimitFaults(match: MatchOf<'hashlimit'>): FaultText[] {
  const { cost, full } = hashlimitBucket(match);
  if (full >= cost) return [];
  const message = 'match hashlimit: this burst at this rate is more than the kernel counts';
  return [{ code: 'PLAN_MATCH_RANGE', message, found: `burst ${match.burst}` }];
}

/** xt_policy.c `policy_mt_check`. */
function policyFaults({ direction }: MatchOf<'policy'>, { hooks }: RuleSite): FaultText[] {
  const wrong = direction === 'in' ? ['postrouting', 'output'] : ['prerouting', 'input'];
  const strange = [...hooks].filter((hook) => wrong.includes(hook));
  if (strange.length === 0) return [];
  const message = `policy --dir ${direction} is not valid in ${strange.join(', ').toUpperCase()}`;
  return [{ code: 'PLAN_MATCH_HOOK', message }];
}

/** xt_physdev.c `physdev_mt_check`. */
function physdevFaults(match: MatchOf<'physdev'>, { hooks }: RuleSite): FaultText[] {
  const { physIn, physOut, isIn, isOut, isBridged } = match;
  if (![physIn, physOut, isIn, isOut, isBridged].some((part) => part !== undefined)) {
    return [{ code: 'PLAN_MATCH_EMPTY', message: 'match physdev asks nothing' }];
  }
  const wantsOut = physOut !== undefined || isOut !== undefined;
  const onlyBridged = isBridged !== undefined && !isBridged.negate;
  if (!wantsOut || onlyBridged || !hooks.has('output')) return [];
  const message = 'the output port is not known in OUTPUT';
  const accepted = '--physdev-out in FORWARD and POSTROUTING';
  return [{ code: 'PLAN_MATCH_HOOK', message, accepted }];
}

/** xt_addrtype.c `addrtype_mt_checkentry_v1`. */
function addrtypeFaults(match: MatchOf<'addrtype'>, { hooks, table }: RuleSite): FaultText[] {
  const faults: FaultText[] = [];
  const hook = (message: string) => faults.push({ code: 'PLAN_MATCH_HOOK', message });
  const any = (...names: Hook[]) => names.some((name) => hooks.has(name));
  if (match.limitIfaceIn && match.limitIfaceOut) hook('addrtype: one interface limit, not both');
  if (match.limitIfaceOut && any('prerouting', 'input')) {
    hook('addrtype --limit-iface-out is not valid in PREROUTING and INPUT');
  }
  if (match.limitIfaceIn && any('postrouting', 'output')) {
    hook('addrtype --limit-iface-in is not valid in POSTROUTING and OUTPUT');
  }
  const types = [...(match.source?.value ?? []), ...(match.destination?.value ?? [])];
  if (types.length === 0) {
    faults.push({ code: 'PLAN_MATCH_EMPTY', message: 'match addrtype asks nothing' });
  }
  if (table.family === 4) return faults;
  for (const type of ['BLACKHOLE', 'PROHIBIT', 'BROADCAST'] as const) {
    if (!types.includes(type)) continue;
    faults.push({ code: 'PLAN_MATCH_FAMILY', message: 'IPv6 knows no such type', found: type });
  }
  return faults;
}

/** ipt_rpfilter.c `rpfilter_check` and its hooks. */
function rpfilterFaults({ table, hooks }: RuleSite): FaultText[] {
  const faults: FaultText[] = [];
  if (table.name !== 'raw' && table.name !== 'mangle') {
    const message = 'match rpfilter is valid in tables raw and mangle only';
    faults.push({ code: 'PLAN_MATCH_TABLE', message, found: table.name });
  }
  if ([...hooks].some((hook) => hook !== 'prerouting')) {
    const message = 'match rpfilter is valid in PREROUTING only';
    faults.push({ code: 'PLAN_MATCH_HOOK', message, found: [...hooks].join(', ') });
  }
  return faults;
}

/** XT_MULTI_PORTS (include/uapi/linux/netfilter/xt_multiport.h); a range takes two places. */
const MULTI_PORTS = 15;

function multiportFaults(match: MatchOf<'multiport'>): FaultText[] {
  const places = match.ports.reduce((n, range) => n + (range.low === range.high ? 1 : 2), 0);
  if (places >= 1 && places <= MULTI_PORTS) return [];
  const message = `match multiport takes 1 to ${MULTI_PORTS} ports, a range counts as two`;
  return [{ code: 'PLAN_MATCH_PORTS', message, found: String(places) }];
}
