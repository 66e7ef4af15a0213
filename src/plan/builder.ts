/**
 * A plan while it is being written. Positions follow iptables(8): append (`-A`) and insert at the
 * top (`-I`), because products order their jumps by the order in which they start.
 * @module
 */
import { UserError } from '../diagnostic/diagnostic.ts';
import type { EbTable } from '../netfilter/ebtables.ts';
import { BUILTIN_CHAINS, TABLES, type TableName } from '../netfilter/hook.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { IpMatch, Match } from '../netfilter/match.ts';
import type { NftTable } from '../netfilter/nft/ruleset.ts';
import type { Chain, Provenance, Rule, Table } from '../netfilter/rule.ts';
import type { Target } from '../netfilter/target.ts';
import type { VirtualServers } from '../netfilter/virtual-server.ts';
import type { Family } from '../wire/address/address.ts';
import type { HnsState } from './hns/model.ts';
import type { Evidence, FdbEntry, Interface, Neighbor, Plan, Route, RoutingRule } from './model.ts';

interface DraftChain {
  readonly name: string;
  policy?: 'ACCEPT' | 'DROP';
  readonly rules: Rule[];
}

/** The parts of a rule, most of them usually absent. */
export interface RuleParts {
  readonly ip?: IpMatch;
  readonly matches?: readonly Match[];
  readonly target?: Target;
  readonly origin?: readonly Provenance[];
}

export function makeRule(parts: RuleParts): Rule {
  const { ip = {}, matches = [], target = { kind: 'none' }, origin } = parts;
  return origin === undefined ? { ip, matches, target } : { ip, matches, target, origin };
}

export class PlanBuilder {
  readonly host: string;
  readonly role: Plan['role'];
  evidence: Evidence = 'source';
  kernel = '6.18';
  readonly interfaces: Interface[] = [];
  readonly routes: Route[] = [];
  readonly routingRules: RoutingRule[] = [];
  readonly neighbors: Neighbor[] = [];
  readonly fdb: FdbEntry[] = [];
  readonly ebtables: EbTable[] = [];
  readonly ipsets: IpSet[] = [];
  /** Tables of nft's own, in the order in which they are made; later than those of iptables. */
  readonly nftTables: NftTable[] = [];
  /** Virtual servers (IPVS). */
  virtualServers: VirtualServers | null = null;
  readonly sysctls: Record<string, string> = {};
  keepsRefused = false;
  /** Of a Windows host only. */
  hns: HnsState | null = null;
  readonly #tables = new Map<string, Map<string, DraftChain>>();

  constructor(host: string, role: Plan['role']) {
    this.host = host;
    this.role = role;
  }

  /** Make the chain if it is not there; the table comes with its built-in chains. */
  ensureChain(family: Family, table: TableName, chain: string): DraftChain {
    const chains = this.#table(family, table);
    const found = chains.get(chain);
    if (found) return found;
    const made: DraftChain = { name: chain, rules: [] };
    chains.set(chain, made);
    return made;
  }

  append(family: Family, table: TableName, chain: string, ...rules: RuleParts[]): void {
    this.ensureChain(family, table, chain).rules.push(...rules.map(makeRule));
  }

  /** Append rules that are made already: equal ones of several hosts are one object. */
  extend(family: Family, table: TableName, chain: string, rules: readonly Rule[]): void {
    const { rules: own } = this.ensureChain(family, table, chain);
    for (const rule of rules) own.push(rule);
  }

  /** Insert before rule `index` (from 1), as `iptables -I CHAIN INDEX`; the default is the top. */
  insert(family: Family, table: TableName, chain: string, rule: RuleParts, index = 1): void {
    this.ensureChain(family, table, chain).rules.splice(index - 1, 0, makeRule(rule));
  }

  /** Set a built-in chain's policy, as `iptables -P`. */
  policy(family: Family, table: TableName, chain: string, policy: 'ACCEPT' | 'DROP'): void {
    this.ensureChain(family, table, chain).policy = policy;
  }

  /** The rules of a chain as they stand; empty when there is no such chain. */
  rules(family: Family, table: TableName, chain: string): readonly Rule[] {
    return this.#tables.get(`${family} ${table}`)?.get(chain)?.rules ?? [];
  }

  build(): Plan {
    const tables: Table[] = [];
    for (const family of [4, 6] as const) {
      for (const name of TABLES) {
        const chains = this.#tables.get(`${family} ${name}`);
        if (chains) tables.push({ family, name, chains: [...chains.values()].map(frozenChain) });
      }
    }
    const names = new Set<string>();
    for (const set of this.ipsets) {
      if (names.has(set.name)) {
        throw new UserError([
          { code: 'PLAN_SET_TWICE', message: `set ${set.name} is made twice on ${this.host}` },
        ]);
      }
      names.add(set.name);
    }
    const { host, role, evidence, kernel, interfaces, routes, routingRules, neighbors, fdb } = this;
    const { ebtables, ipsets, nftTables, virtualServers, hns, sysctls } = this;
    return {
      host,
      role,
      evidence,
      kernel,
      interfaces,
      routes,
      routingRules,
      neighbors,
      fdb,
      tables,
      ebtables,
      ipsets,
      ...(nftTables.length === 0 ? {} : { nft: { tables: nftTables } }),
      ...(hns === null ? {} : { hns }),
      ...(virtualServers === null ? {} : { virtualServers }),
      sysctls,
      ...(this.keepsRefused ? { keepsRefused: true as const } : {}),
    };
  }

  #table(family: Family, table: TableName): Map<string, DraftChain> {
    const key = `${family} ${table}`;
    const found = this.#tables.get(key);
    if (found) return found;
    const made = new Map<string, DraftChain>();
    for (const name of BUILTIN_CHAINS[table]) made.set(name, { name, policy: 'ACCEPT', rules: [] });
    this.#tables.set(key, made);
    return made;
  }
}

function frozenChain(draft: DraftChain): Chain {
  const { name, policy, rules } = draft;
  return policy === undefined ? { name, rules: [...rules] } : { name, policy, rules: [...rules] };
}
