/**
 * Mistakes in a plan's tables, chains and rules: what iptables-restore and the kernel refuse.
 *
 * Which hooks reach a chain decides what its rules may do (net/ipv4/netfilter/ip_tables.c
 * `mark_source_chains`); a chain that none reaches may do anything, as in the kernel.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { builtinChain, HOOKS, type Hook, TABLE_ORDER } from '../netfilter/hook.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { Chain, Table } from '../netfilter/rule.ts';
import type { Plan } from '../plan/model.ts';
import { chainFaults } from '../plan/rule/chain-graph.ts';
import { fault, repeated } from './fault.ts';
import { matchFaults } from './legal-match.ts';
import { headFaults, targetFaults } from './legal-target.ts';
import type { RuleSite } from './rule-site.ts';

/** XT_EXTENSION_MAXNAMELEN (include/uapi/linux/netfilter/x_tables.h) with its closing zero. */
const CHAIN_NAME_LENGTH = 28;

/** All mistakes in the tables of a plan. */
export function checkRules(plan: Plan): readonly Diagnostic[] {
  const sets = new Map(plan.ipsets.map((set) => [set.name, set]));
  return [
    ...repeated(plan.tables.map((t) => `${t.family} ${t.legacy ? 'legacy ' : ''}${t.name}`)).map(
      (name) =>
        fault(
          { host: plan.host, part: `table ${name}` },
          { code: 'PLAN_TABLE_TWICE', message: 'two tables of this family and name' },
        ),
    ),
    ...plan.tables.flatMap((table) => checkTable(plan.host, table, sets)),
  ];
}

function checkTable(
  host: string,
  table: Table,
  sets: ReadonlyMap<string, IpSet>,
): readonly Diagnostic[] {
  const part = `${table.family === 4 ? 'iptables' : 'ip6tables'} ${table.name}`;
  const faults = repeated(table.chains.map((c) => c.name)).map((name) =>
    fault(
      { host, part: `${part}/${name}` },
      { code: 'PLAN_CHAIN_TWICE', message: 'two chains of this name' },
    ),
  );
  faults.push(...graphFaults(host, part, table));
  const reached = reachingHooks(table);
  for (const chain of table.chains) {
    faults.push(...checkName(host, `${part}/${chain.name}`, table, chain));
    const site: RuleSite = { table, chain, hooks: reached.get(chain.name) ?? new Set(), sets };
    for (const [i, rule] of chain.rules.entries()) {
      const place = { host, part: `${part}/${chain.name} rule ${i + 1}`, rule };
      const found = [
        ...headFaults(rule, site),
        ...matchFaults(rule, site),
        ...targetFaults(rule, site),
      ];
      faults.push(...found.map((text) => fault(place, text)));
    }
  }
  return faults;
}

/** Missing chains and loops; a rule's own file and line stand where it has them. */
function graphFaults(host: string, part: string, table: Table): Diagnostic[] {
  return chainFaults(table, '').map(({ file, object, ...rest }) => ({
    ...rest,
    ...(file === '' || file === undefined ? {} : { file }),
    object: `${host} ${object ?? part}`,
  }));
}

function checkName(host: string, part: string, table: Table, chain: Chain): Diagnostic[] {
  const isBuiltin = builtins(table).has(chain.name);
  const faults: Diagnostic[] = [];
  if (chain.policy !== undefined && !isBuiltin) {
    const message = `only built-in chains have a policy, and table ${table.name} has no such chain`;
    faults.push(fault({ host, part }, { code: 'PLAN_CHAIN_POLICY', message, found: chain.policy }));
  }
  if (chain.policy === undefined && isBuiltin) {
    const message = 'a built-in chain has a policy';
    const accepted = 'ACCEPT or DROP';
    faults.push(fault({ host, part }, { code: 'PLAN_CHAIN_POLICY', message, accepted }));
  }
  if (chain.name.length === 0 || chain.name.length > CHAIN_NAME_LENGTH) {
    const message = `a chain's name has 1 to ${CHAIN_NAME_LENGTH} characters`;
    faults.push(fault({ host, part }, { code: 'PLAN_CHAIN_NAME', message, found: chain.name }));
  }
  return faults;
}

function builtins(table: Table): ReadonlySet<string> {
  return new Set(hooksOf(table).map(builtinChain));
}

function hooksOf(table: Table): readonly Hook[] {
  return HOOKS.filter((hook) => TABLE_ORDER[hook].includes(table.name));
}

/** From which hooks each chain is reached, by name. */
function reachingHooks(table: Table): ReadonlyMap<string, ReadonlySet<Hook>> {
  const chains = new Map(table.chains.map((chain) => [chain.name, chain]));
  const reached = new Map<string, Set<Hook>>();
  const visit = (name: string, hook: Hook): void => {
    const hooks = reached.get(name) ?? new Set<Hook>();
    if (hooks.has(hook)) return;
    reached.set(name, hooks.add(hook));
    for (const { target } of chains.get(name)?.rules ?? []) {
      if (target.kind === 'jump' || target.kind === 'goto') visit(target.chain, hook);
    }
  };
  for (const hook of hooksOf(table)) visit(builtinChain(hook), hook);
  return reached;
}
