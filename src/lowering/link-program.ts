/**
 * Chains with their names resolved: jumps to chain objects, set matches to compiled sets, rules
 * numbered over the whole host in the order tables, chains and rules have in the plan.
 *
 * Precondition: lowering/check-rules.ts found nothing wrong.
 * @module
 */
import { assert } from '../diagnostic/diagnostic.ts';
import {
  type LinkedChain,
  type LinkedMatch,
  type LinkedRule,
  type LinkedTable,
  makeProgram,
  type RuleProgram,
} from '../image/program.ts';
import type { CompiledSet } from '../image/set/ip-set.ts';
import { builtinChain, HOOKS, type Hook, TABLE_ORDER } from '../netfilter/hook.ts';
import type { IpMatch, Match } from '../netfilter/match.ts';
import type { Chain, Rule, Table } from '../netfilter/rule.ts';

type Sets = ReadonlyMap<string, CompiledSet>;

/** Link all tables of one host. */
export function linkProgram(tables: readonly Table[], sets: Sets): RuleProgram {
  const rules: LinkedRule[] = [];
  const linked = tables.map((table) => linkTable(table, sets, rules));
  return makeProgram(linked, rules);
}

interface Draft extends LinkedChain {
  readonly rules: LinkedRule[];
}

/** Chains are made empty first, because jumps may lead forward. */
function linkTable(table: Table, sets: Sets, all: LinkedRule[]): LinkedTable {
  const drafts = new Map<string, Draft>();
  for (const chain of table.chains) drafts.set(chain.name, draftChain(table, chain));
  for (const chain of table.chains) {
    const home = find(drafts, chain.name);
    for (const [i, rule] of chain.rules.entries()) {
      const place = { home, index: i + 1, id: all.length, drafts, sets };
      const linked = linkRule(rule, table.legacy ? { ...place, legacy: true } : place);
      home.rules.push(linked);
      all.push(linked);
    }
  }
  const entry = new Map<Hook, LinkedChain>();
  for (const hook of HOOKS) {
    const chain = drafts.get(builtinChain(hook));
    if (chain !== undefined && TABLE_ORDER[hook].includes(table.name)) entry.set(hook, chain);
  }
  const legacy = table.legacy ? { legacy: table.legacy } : {};
  return { family: table.family, name: table.name, entry, chains: drafts, ...legacy };
}

function draftChain(table: Table, chain: Chain): Draft {
  const policy =
    chain.policy === undefined ? null : chain.policy === 'DROP' ? 'drop' : ('accept' as const);
  return { family: table.family, table: table.name, name: chain.name, policy, rules: [] };
}

function find(drafts: ReadonlyMap<string, Draft>, name: string): Draft {
  const found = drafts.get(name);
  assert(found !== undefined, `chain ${name} exists`);
  return found;
}

interface RulePlace {
  readonly home: Draft;
  readonly index: number;
  readonly id: number;
  readonly drafts: ReadonlyMap<string, Draft>;
  readonly sets: Sets;
  readonly legacy?: true;
}

function linkRule(rule: Rule, place: RulePlace): LinkedRule {
  const { home, index, id, drafts, sets } = place;
  const { target } = rule;
  const address = { family: home.family, table: home.table, chain: home.name, index };
  const leads = target.kind === 'jump' || target.kind === 'goto';
  return {
    id,
    address: place.legacy ? { ...address, legacy: true } : address,
    ip: linkHead(rule.ip),
    matches: rule.matches.map((match) => linkMatch(match, sets)),
    targetSet: target.kind === 'set' ? (sets.get(target.set) ?? null) : null,
    target,
    home,
    chain: leads ? find(drafts, target.chain) : null,
    origin: rule.origin ?? [],
    markBits: markBits(rule.matches),
    source: rule,
  };
}

/** Every field written, absent or not: the walk reads heads of one shape several times as fast. */
function linkHead(ip: IpMatch): IpMatch {
  const { source, destination, inInterface, outInterface, protocol, fragment } = ip;
  return { source, destination, inInterface, outInterface, protocol, fragment } as IpMatch;
}

function linkMatch(match: Match, sets: Sets): LinkedMatch {
  return { match, set: match.kind === 'set' ? (sets.get(match.set) ?? null) : null };
}

/** The bits that the rule's mark tests look at. */
function markBits(matches: readonly Match[]): number {
  return matches.reduce((bits, m) => (m.kind === 'mark' ? bits | m.mask : bits), 0) >>> 0;
}
