/**
 * A plan's nft tables as a program, with every name resolved and every mistake found.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { LookupSet } from '../../image/nft/lookup-set.ts';
import type {
  NftLinkedChain,
  NftLinkedRule,
  NftOperation,
  NftProgram,
  NftTexts,
} from '../../image/nft/program.ts';
import type {
  NftRule,
  NftRuleset,
  NftSet,
  NftSetReference,
  NftTable,
} from '../../netfilter/nft/ruleset.ts';
import { nftTableName } from '../../netfilter/nft/ruleset.ts';
import type { Plan } from '../../plan/model.ts';
import { wordsOf } from '../../plan/nft/text/ruleset-text.ts';
import { ruleText, statementText } from '../../plan/nft/text/statement-text.ts';
import { fault, repeated } from '../fault.ts';
import { checkChains } from './check-chains.ts';
import { hookOrder } from './hook-order.ts';
import { RuleScope, type TableScope } from './link-expression.ts';
import { checkSets, compileSet, fillSet, setFaults } from './link-sets.ts';
import { linkStatement, linkVerdict, type Names } from './link-statement.ts';

type Draft = { -readonly [K in keyof NftLinkedChain]: NftLinkedChain[K] } & {
  readonly rules: NftLinkedRule[];
};

/** Where a rule's text comes from. */
interface Source {
  readonly rule: NftRule;
  readonly table: NftTable;
  /** The statement that each operation belongs to. */
  readonly owners: readonly number[];
}

/**
 * Link a plan's nft tables; null when it has none, and no table of iptables twice.
 *
 * `faults` gets every mistake; then what comes back must not be used.
 */
export function linkNft(plan: Plan, faults: Diagnostic[]): NftProgram | null {
  const { nft = { tables: [] } } = plan;
  const hasLegacy = plan.tables.some(({ legacy }) => legacy);
  if (nft.tables.length === 0 && !hasLegacy) return null;
  faults.push(...checkRuleset(plan.host, nft));
  const linker = new Linker(plan.host, faults);
  for (const table of nft.tables) linker.link(table);
  const { rules, counters, sources } = linker;
  const { entries, translations } = hookOrder(plan, linker.chains);
  return { rules, counters, entries, translations, texts: textsOf(sources) };
}

function checkRuleset(host: string, { tables }: NftRuleset): readonly Diagnostic[] {
  return [
    ...repeated(tables.map(nftTableName)).map((name) =>
      fault(
        { host, part: `nft ${name}` },
        { code: 'PLAN_TABLE_TWICE', message: 'two tables of this family and name' },
      ),
    ),
    ...tables.flatMap((table) => [...checkChains(host, table), ...checkSets(host, table)]),
  ];
}

function textsOf(sources: readonly Source[]): NftTexts {
  const text = (id: number, at: number) => {
    const source = sources[id];
    const statement = source?.rule.statements.at(at);
    if (source === undefined || statement === undefined) return '';
    return statementText(statement, wordsOf(source.table));
  };
  return {
    rule: (id) => {
      const source = sources[id];
      return source === undefined ? '' : ruleText(source.rule, wordsOf(source.table));
    },
    statement: (id, operation) => text(id, sources[id]?.owners[operation] ?? -1),
    action: (id) => text(id, -1),
  };
}

/** Links table after table; numbers are dense over the host. */
class Linker {
  readonly rules: NftLinkedRule[] = [];
  readonly sources: Source[] = [];
  readonly counters: string[] = [];
  /** Linked chains, by table and in its order. */
  readonly chains = new Map<NftTable, readonly NftLinkedChain[]>();
  readonly #host: string;
  readonly #faults: Diagnostic[];
  #numgens = 0;
  #meters = 0;
  #anonymous = 0;

  constructor(host: string, faults: Diagnostic[]) {
    this.#host = host;
    this.#faults = faults;
  }

  link(table: NftTable): void {
    const drafts = new Map<string, Draft>();
    for (const { name, base = null } of table.chains) {
      const { family } = table;
      drafts.set(name, { table: nftTableName(table), family, name, base, rules: [] });
    }
    const names = this.#names(table, drafts);
    const scope = this.#scope(table, names);
    for (const chain of table.chains) {
      const home = drafts.get(chain.name);
      for (const [i, rule] of chain.rules.entries()) {
        if (home !== undefined) this.#linkRule(table, home, i + 1, rule, scope, names);
      }
    }
    this.chains.set(table, [...drafts.values()]);
  }

  #names(table: NftTable, drafts: ReadonlyMap<string, Draft>): Names {
    const counters = new Map<string, number>();
    const meters = new Map<string, NftOperation>();
    for (const object of table.objects) {
      const key = `${nftTableName(table)} ${object.kind} ${object.name}`;
      if (object.kind === 'counter') {
        counters.set(object.name, this.counters.length);
        this.counters.push(key);
      } else if (object.kind === 'limit') {
        meters.set(`limit ${object.name}`, { kind: 'limit', limit: object.limit, key });
      } else meters.set(`quota ${object.name}`, { kind: 'quota', quota: object.quota, key });
    }
    return {
      chain: (name) => drafts.get(name) ?? null,
      counter: (name) => counters.get(name) ?? null,
      meter: (kind, name) => meters.get(`${kind} ${name}`) ?? null,
      nextMeter: () => `rule ${this.#meters++}`,
    };
  }

  #scope(table: NftTable, names: Names): TableScope {
    const declared = new Map(table.sets.map((set) => [set.name, set]));
    const changing = changingSets(table);
    const compiled = new Map<string, LookupSet>();
    for (const set of table.sets) {
      const made = compileSet(table, set, set.name, changing.has(set.name));
      fillSet(made, set, (verdict) => linkVerdict(verdict, names));
      compiled.set(set.name, made);
    }
    const anonymous = (set: NftSet) => {
      const made = compileSet(table, set, `anonymous ${this.#anonymous++}`, false);
      fillSet(made, set, (verdict) => linkVerdict(verdict, names));
      return made;
    };
    return {
      family: table.family,
      sets: (name) => declared.get(name),
      compiled: (reference: NftSetReference) =>
        reference.kind === 'anonymous'
          ? anonymous(reference.set)
          : (compiled.get(reference.name) ?? null),
      nextNumgen: () => this.#numgens++,
    };
  }

  #linkRule(
    table: NftTable,
    home: Draft,
    index: number,
    rule: NftRule,
    scope: TableScope,
    names: Names,
  ): void {
    const part = `nft ${home.table}/${home.name} rule ${index}`;
    const own = new RuleScope(scope, (text) => {
      this.#faults.push(fault({ host: this.#host, part, rule }, text));
    });
    const owners: number[] = [];
    for (const [at, statement] of rule.statements.entries()) {
      for (const set of anonymousSets(statement))
        for (const text of setFaults(set)) own.blame(text);
      linkStatement(own, names, statement);
      while (owners.length < own.operations.length) owners.push(at);
    }
    const { markBits } = own;
    const operations = [...own.front, ...own.operations];
    // What goes before all others is asked for by the last statement.
    owners.unshift(...own.front.map(() => rule.statements.length - 1));
    const id = this.rules.length;
    const family = table.family === 'ip6' ? 6 : 4;
    const linked: NftLinkedRule = {
      id,
      address: { family, table: home.table, chain: home.name, index },
      operations,
      counterAt: operations.findIndex((one) => one.kind === 'counter' && one.object === null),
      home,
      origin: rule.origin ?? [],
      markBits: markBits >>> 0,
    };
    home.rules.push(linked);
    this.rules.push(linked);
    this.sources.push({ rule, table, owners });
  }
}

/** Names of the sets that rules add to, renew and delete from. */
function changingSets({ chains, sets }: NftTable): ReadonlySet<string> {
  const statements = chains.flatMap(({ rules }) => rules.flatMap((rule) => rule.statements));
  const named = statements.flatMap((one) => (one.kind === 'update' ? [one.set] : []));
  return new Set(named.filter((name) => sets.some((set) => set.name === name)));
}

/** The sets that a statement has in braces. */
function anonymousSets(statement: NftRule['statements'][number]): readonly NftSet[] {
  const references: NftSetReference[] = [];
  if (statement.kind === 'vmap') references.push(statement.map);
  if (statement.kind === 'match' && statement.right.kind === 'set') {
    references.push(statement.right.set);
  }
  if (statement.kind === 'mangle' && statement.value.kind === 'map') {
    references.push(statement.value.map);
  }
  if ((statement.kind === 'dnat' || statement.kind === 'snat') && statement.address) {
    if (statement.address.kind === 'map') references.push(statement.address.map);
  }
  return references.flatMap((one) => (one.kind === 'anonymous' ? [one.set] : []));
}
