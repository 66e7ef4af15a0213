/**
 * Rule heads and targets that the kernel or iptables would not take where they stand.
 *
 * Source: net/netfilter/x_tables.c `xt_check_target` (table and hooks of the module), ipt_REJECT.c,
 * ip6t_REJECT.c, xt_nat.c, xt_MASQUERADE.c, xt_CT.c, xt_HL.c; iptables/xshared.c for interfaces.
 * @module
 */
import { type Hook, TABLES, type TableName } from '../netfilter/hook.ts';
import type { Rule } from '../netfilter/rule.ts';
import type { TargetKind } from '../netfilter/target.ts';
import { Protocol } from '../wire/protocol.ts';
import type { FaultText } from './fault.ts';
import type { RuleSite } from './rule-site.ts';

/** What is wrong with the head of a rule. */
export function headFaults(rule: Rule, { table, chain }: RuleSite): readonly FaultText[] {
  const { source, destination, inInterface, outInterface, fragment } = rule.ip;
  const faults: FaultText[] = [];
  for (const net of [source, destination]) {
    if (net === undefined || net.value.address.family === table.family) continue;
    faults.push({ code: 'PLAN_RULE_FAMILY', message: 'an address of the other family' });
  }
  if (fragment !== undefined && table.family === 6) {
    faults.push({ code: 'PLAN_RULE_FAMILY', message: 'ip6tables has no -f' });
  }
  if (inInterface !== undefined && NO_INPUT_INTERFACE.has(chain.name)) {
    const message = `-i can not be used in ${chain.name}`;
    faults.push({ code: 'PLAN_RULE_INTERFACE', message, found: inInterface.value });
  }
  if (outInterface !== undefined && NO_OUTPUT_INTERFACE.has(chain.name)) {
    const message = `-o can not be used in ${chain.name}`;
    faults.push({ code: 'PLAN_RULE_INTERFACE', message, found: outInterface.value });
  }
  return faults;
}

const NO_INPUT_INTERFACE: ReadonlySet<string> = new Set(['OUTPUT', 'POSTROUTING']);
const NO_OUTPUT_INTERFACE: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT']);

/** Where a target module may stand (`xt_target.table`, `xt_target.hooks`). */
interface Legal {
  readonly tables: readonly TableName[];
  readonly hooks?: readonly Hook[];
}

const LEGAL: Partial<Record<TargetKind, Legal>> = {
  reject: { tables: ['filter'], hooks: ['input', 'forward', 'output'] },
  masquerade: { tables: ['nat'], hooks: ['postrouting'] },
  snat: { tables: ['nat'], hooks: ['postrouting', 'input'] },
  dnat: { tables: ['nat'], hooks: ['prerouting', 'output'] },
  notrack: { tables: ['raw'] },
  ttl: { tables: ['mangle'] },
  ct: { tables: ['raw'] },
  redirect: { tables: ['nat'], hooks: ['prerouting', 'output'] },
  netmap: { tables: ['nat'], hooks: ['prerouting', 'input', 'output', 'postrouting'] },
  tos: { tables: ['mangle'] },
  dscp: { tables: ['mangle'] },
  checksum: { tables: ['mangle'] },
  classify: { tables: TABLES, hooks: ['output', 'forward', 'postrouting'] },
};

/** What is wrong with the target of a rule. */
export function targetFaults(rule: Rule, site: RuleSite): readonly FaultText[] {
  const { target } = rule;
  const legal = LEGAL[target.kind] ?? { tables: TABLES };
  const faults: FaultText[] = [];
  const name = target.kind.toUpperCase();
  if (!legal.tables.includes(site.table.name)) {
    const message = `target ${name} is not valid in table ${site.table.name}`;
    faults.push({ code: 'PLAN_TARGET_TABLE', message, accepted: legal.tables.join(', ') });
  }
  const strange = [...site.hooks].filter((hook) => legal.hooks && !legal.hooks.includes(hook));
  if (legal.hooks !== undefined && strange.length > 0) {
    const message = `target ${name} is reached from ${strange.join(', ').toUpperCase()}`;
    const accepted = legal.hooks.join(', ').toUpperCase();
    faults.push({ code: 'PLAN_TARGET_HOOK', message, accepted });
  }
  return [
    ...faults,
    ...rejectFaults(rule, site),
    ...rangeFaults(rule, site),
    ...mssFaults(rule, site),
    ...setFaults(rule, site),
  ];
}

/** xt_TCPMSS.c `tcpmss_tg4_check`: SYNs only, and the path's MTU is known on the way out only. */
function mssFaults({ target, ip, matches }: Rule, { hooks }: RuleSite): FaultText[] {
  if (target.kind !== 'tcpmss') return [];
  const faults: FaultText[] = [];
  const isTcp = ip.protocol?.value === Protocol.tcp && !ip.protocol.negate;
  const asksSyn = matches.some(
    (m) => m.kind === 'tcp' && m.flags && !m.flags.negate && (m.flags.value.set & 0x02) !== 0,
  );
  if (!isTcp || !asksSyn) {
    const message = 'target TCPMSS works on SYN packets only';
    faults.push({ code: 'PLAN_TARGET_PROTOCOL', message, accepted: '-p tcp --tcp-flags … SYN' });
  }
  if (target.mss === 'pmtu' && (hooks.has('prerouting') || hooks.has('input'))) {
    const message = 'TCPMSS --clamp-mss-to-pmtu knows no path in PREROUTING and INPUT';
    faults.push({ code: 'PLAN_TARGET_HOOK', message, accepted: 'FORWARD, OUTPUT, POSTROUTING' });
  }
  return faults;
}

function setFaults({ target }: Rule, { sets }: RuleSite): FaultText[] {
  if (target.kind !== 'set' || sets.has(target.set)) return [];
  return [{ code: 'PLAN_SET_MISSING', message: 'no such set', found: target.set }];
}

/** The kinds of refusal belong to a family; a reset answers only TCP (`reject_tg_check`). */
function rejectFaults({ target, ip }: Rule, { table }: RuleSite): FaultText[] {
  if (target.kind !== 'reject') return [];
  if (target.with === 'tcp-reset') {
    const isTcp = ip.protocol?.value === Protocol.tcp && !ip.protocol.negate;
    if (isTcp) return [];
    const message = 'REJECT --reject-with tcp-reset answers TCP only';
    return [{ code: 'PLAN_TARGET_PROTOCOL', message, accepted: '-p tcp' }];
  }
  if (target.with.startsWith('icmp6-') === (table.family === 6)) return [];
  const message = 'a refusal of the other family';
  return [{ code: 'PLAN_TARGET_FAMILY', message, found: target.with }];
}

function rangeFaults({ target, ip }: Rule, { table }: RuleSite): FaultText[] {
  if (!('range' in target)) return [];
  const { low, high, ports } = target.range;
  const faults: FaultText[] = [];
  if ([low, high].some((a) => a !== undefined && a.family !== table.family)) {
    faults.push({ code: 'PLAN_TARGET_FAMILY', message: 'a new address of the other family' });
  }
  if (ports !== undefined && !hasOnePortProtocol(ip)) {
    const message = 'new ports need a protocol that has ports';
    const accepted = '-p tcp, udp, udplite, sctp, dccp or icmp';
    faults.push({ code: 'PLAN_TARGET_PROTOCOL', message, accepted });
  }
  return faults;
}

const PORT_PROTOCOLS: ReadonlySet<number> = new Set([
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
  Protocol.dccp,
  Protocol.icmp,
  Protocol.icmpv6,
]);

function hasOnePortProtocol(ip: Rule['ip']): boolean {
  return ip.protocol !== undefined && !ip.protocol.negate && PORT_PROTOCOLS.has(ip.protocol.value);
}
