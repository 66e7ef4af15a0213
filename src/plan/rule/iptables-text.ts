/**
 * Whole iptables-save files, written and read.
 *
 *   *filter                                 a table …
 *   :FORWARD ACCEPT [12:3456]               … its chains, built-in ones with policy and counters …
 *   :KUBE-FORWARD - [0:0]
 *   [3:180] -A FORWARD -j KUBE-FORWARD      … its rules, with counters when asked for …
 *   COMMIT                                  … and its end.
 *
 * Reading takes what iptables-restore takes from files written by hand too (`-I`, `-N`, `-P`,
 * `-F`, `-X` of what the file itself made). What the vocabulary of netfilter/ does not have is
 * refused, every place at once: a rule that is skipped in silence would change verdicts.
 *
 * Source: iptables 1.8.9, iptables/iptables-save.c, iptables/iptables-restore.c; user chains are
 * printed in strcmp order, as libiptc keeps them.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { BUILTIN_CHAINS, TABLES, type TableName } from '../../netfilter/hook.ts';
import type { Chain, Counters, Rule, Table } from '../../netfilter/rule.ts';
import type { Family } from '../../wire/address/address.ts';
import type { Plan } from '../model.ts';
import { chainFaults } from './chain-graph.ts';
import { optional } from './option-reader.ts';
import { splitWords, type Word } from './restore-line.ts';
import { type ParsedRule, RuleParser } from './rule-parser.ts';
import { formatRule } from './rule-text.ts';

export interface PrintOptions {
  /** Write the rules' counters too, as `iptables-save -c` does. */
  readonly counters?: boolean;
  /** Chains as the plan has them, as a dump of a host gave them, and not sorted. */
  readonly keepOrder?: boolean;
}

/**
 * Print all tables of one family as one file that iptables-restore takes; empty when it has none.
 */
export function printIptables(plan: Plan, family: Family, options: PrintOptions = {}): string {
  const tables = plan.tables.filter((table) => table.family === family);
  return tables.map((table) => printTable(table, options)).join('');
}

/** Print one table, from `*NAME` to `COMMIT`, with line ends. */
export function printTable(table: Table, options: PrintOptions = {}): string {
  const chains = options.keepOrder === true ? table.chains : inSaveOrder(table);
  const lines = [`*${table.name}`];
  for (const { name, policy, counters } of chains) {
    lines.push(`:${name} ${policy ?? '-'} ${formatCounters(counters)}`);
  }
  for (const chain of chains) {
    for (const rule of chain.rules) {
      const text = formatRule(rule, chain.name, table.family);
      lines.push(options.counters === true ? `${formatCounters(rule.counters)} ${text}` : text);
    }
  }
  return `${lines.join('\n')}\nCOMMIT\n`;
}

function inSaveOrder(table: Table): readonly Chain[] {
  const builtin = BUILTIN_CHAINS[table.name];
  const rank = (chain: Chain) => {
    const index = builtin.indexOf(chain.name);
    return index < 0 ? builtin.length : index;
  };
  const byName = (a: Chain, b: Chain) => (a.name < b.name ? -1 : Number(a.name > b.name));
  return table.chains.toSorted((a, b) => rank(a) - rank(b) || byName(a, b));
}

function formatCounters(counters: Counters = { packets: 0, bytes: 0 }): string {
  return `[${counters.packets}:${counters.bytes}]`;
}

interface DraftChain {
  policy: 'ACCEPT' | 'DROP' | undefined;
  counters: Counters | undefined;
  readonly rules: Rule[];
}

/**
 * Read an iptables-save or iptables-restore file of one family. Every rule carries `place`,
 * `FILE:LINE`; `shift` is added to line numbers, for text that has lines of our own in front.
 *
 * @throws UserError with everything that is wrong or not emulated, in the file's order.
 */
export function parseIptables(text: string, file: string, family: Family, shift = 0): Table[] {
  const reader = new FileReader(file, family);
  text.split('\n').forEach((line, index) => {
    reader.line(line.replace(/\r$/, ''), index + 1 + shift);
  });
  return reader.end();
}

class FileReader {
  readonly #file: string;
  readonly #family: Family;
  readonly #faults: Diagnostic[] = [];
  readonly #tables: Table[] = [];
  #table: { name: TableName; line: number; chains: Map<string, DraftChain> } | undefined;
  #skipping = false;
  #line = 0;

  constructor(file: string, family: Family) {
    this.#file = file;
    this.#family = family;
  }

  line(line: string, number: number): void {
    this.#line = number;
    const text = line.trim();
    if (text === '' || text.startsWith('#')) return;
    if (text.startsWith('*')) this.#begin(text.slice(1).trim());
    else if (this.#skipping) this.#skipping = text !== 'COMMIT';
    else if (!this.#table) this.#fault('PLAN_SYNTAX', 'stands outside of a table', text);
    else if (text === 'COMMIT') this.#commit();
    else if (text.startsWith(':')) this.#chainLine(text.slice(1));
    else this.#command(text);
  }

  end(): Table[] {
    if (this.#table) {
      this.#line = this.#table.line;
      this.#fault('PLAN_COMMIT_MISSING', `table ${this.#table.name} has no COMMIT`);
      this.#commit();
    }
    if (this.#faults.length > 0) {
      throw new UserError(this.#faults.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)));
    }
    return this.#tables;
  }

  #begin(name: string): void {
    if (this.#table) {
      this.#fault('PLAN_COMMIT_MISSING', `table ${this.#table.name} has no COMMIT`);
      this.#commit();
    }
    const known = TABLES.find((one) => one === name);
    this.#skipping = known === undefined;
    if (known === undefined) {
      this.#fault('PLAN_TABLE', 'unknown table', name, TABLES.join(', '));
      return;
    }
    if (this.#tables.some((table) => table.name === known)) {
      this.#fault('PLAN_TABLE', 'the table is given twice', name);
    }
    const chains = new Map<string, DraftChain>();
    for (const chain of BUILTIN_CHAINS[known]) {
      chains.set(chain, { policy: 'ACCEPT', counters: undefined, rules: [] });
    }
    this.#table = { name: known, line: this.#line, chains };
  }

  #commit(): void {
    if (!this.#table) return;
    const { name, chains } = this.#table;
    const family = this.#family;
    const list = [...chains].map(
      ([chain, { policy, counters, rules }]): Chain => ({
        name: chain,
        ...optional('policy', policy),
        rules,
        ...optional('counters', counters),
      }),
    );
    const table: Table = { family, name, chains: list };
    this.#faults.push(...chainFaults(table, this.#file));
    this.#tables.push(table);
    this.#table = undefined;
  }

  /** `NAME POLICY [PACKETS:BYTES]`. */
  #chainLine(text: string): void {
    const [name = '', policy, counters] = text.split(/\s+/);
    const chains = this.#table?.chains;
    const found = chains?.get(name);
    const read = counters === undefined ? undefined : parseCounters(counters);
    if (read === null) this.#fault('PLAN_SYNTAX', 'counters are [PACKETS:BYTES]', counters);
    if (found?.policy !== undefined) {
      this.#setPolicy(name, policy);
      if (read) found.counters = read;
    } else if (found) {
      this.#fault('PLAN_CHAIN_TWICE', 'the chain is made twice', name);
    } else {
      if (policy !== '-')
        this.#fault('PLAN_POLICY', 'only built-in chains have a policy', text, '-');
      this.#newChain(name, read ?? undefined);
    }
  }

  #newChain(name: string, counters?: Counters): void {
    if (!/^[^\s!-][^\s]{0,27}$/.test(name)) {
      const accepted = '1–28 characters, no blank, not starting with - or !';
      this.#fault('PLAN_CHAIN_NAME', 'not a name of a chain', name, accepted);
    } else if (this.#table?.chains.has(name)) {
      this.#fault('PLAN_CHAIN_TWICE', 'the chain is made twice', name);
    } else {
      this.#table?.chains.set(name, { policy: undefined, counters, rules: [] });
    }
  }

  #setPolicy(name: string, policy: string | undefined): void {
    const chain = this.#table?.chains.get(name);
    if (chain?.policy === undefined) {
      this.#fault('PLAN_POLICY', 'not a built-in chain of this table', name);
    } else if (policy === 'ACCEPT' || policy === 'DROP') {
      chain.policy = policy;
    } else {
      this.#fault('PLAN_POLICY', 'unknown policy', policy ?? '', 'ACCEPT, DROP');
    }
  }

  #command(text: string): void {
    const counted = /^(\[\d+:\d+\])\s+(.*)$/s.exec(text);
    const words = splitWords(counted?.[2] ?? text);
    if (!words) {
      this.#fault('PLAN_SYNTAX', 'a quote is left open', text);
      return;
    }
    const counters = counted ? parseCounters(counted[1] ?? '') : undefined;
    const [command = '', name = '', ...rest] = words.map((word) => word.text);
    switch (command) {
      case '-A':
      case '--append':
        this.#addRule(name, words.slice(2), counters ?? undefined);
        return;
      case '-I':
      case '--insert': {
        const position = /^\d+$/.test(rest[0] ?? '') ? Number(rest[0]) : undefined;
        const from = position === undefined ? 2 : 3;
        this.#addRule(name, words.slice(from), counters ?? undefined, position ?? 1);
        return;
      }
      case '-N':
      case '--new-chain':
        this.#newChain(name);
        return;
      case '-P':
      case '--policy':
        this.#setPolicy(name, rest[0]);
        return;
      case '-F':
      case '--flush':
        this.#chain(name)?.rules.splice(0);
        return;
      case '-X':
      case '--delete-chain':
        this.#deleteChain(name);
        return;
      default: {
        const accepted = '-A, -I, -N, -P, -F CHAIN, -X CHAIN, :CHAIN, COMMIT';
        this.#fault('PLAN_UNSUPPORTED', 'this command is not read', text, accepted);
      }
    }
  }

  #chain(name: string): DraftChain | undefined {
    const chain = this.#table?.chains.get(name);
    if (!chain) this.#fault('PLAN_CHAIN_MISSING', 'there is no such chain in the table', name);
    return chain;
  }

  #deleteChain(name: string): void {
    const chain = this.#chain(name);
    if (!chain) return;
    if (chain.policy !== undefined || chain.rules.length > 0) {
      this.#fault('PLAN_CHAIN_IN_USE', 'only an empty chain of one’s own can be deleted', name);
    } else {
      this.#table?.chains.delete(name);
    }
  }

  #addRule(name: string, words: readonly Word[], counters?: Counters, position?: number): void {
    const chain = this.#chain(name);
    const parser = new RuleParser(words, this.#family);
    const parsed = parser.parse();
    for (const { code, message, found, accepted } of parser.faults) {
      this.#fault(code, message, found, accepted);
    }
    if (!chain || parser.faults.length > 0) return;
    const rules = expand(parsed, `${this.#file}:${this.#line}`, counters);
    const index = position === undefined ? chain.rules.length : position - 1;
    if (index < 0 || index > chain.rules.length) {
      const accepted = `1–${chain.rules.length + 1}`;
      this.#fault('PLAN_RULE', 'there is no such place in the chain', `${position}`, accepted);
      return;
    }
    chain.rules.splice(index, 0, ...rules);
  }

  #fault(code: string, message: string, found?: string, accepted?: string): void {
    const place = { file: this.#file, line: this.#line };
    const detail = { ...optional('found', found), ...optional('accepted', accepted) };
    this.#faults.push({ code, ...place, message, ...detail });
  }
}

/**
 * One rule for each pair of addresses, sources outermost (libxtables `xtables_ipparse_multiple`).
 */
function expand(parsed: ParsedRule, place: string, counters: Counters | undefined): Rule[] {
  const { head, matches, target } = parsed;
  const rules: Rule[] = [];
  const counted = counters ?? parsed.counters;
  const sources = parsed.sources.length > 0 ? parsed.sources : [undefined];
  const destinations = parsed.destinations.length > 0 ? parsed.destinations : [undefined];
  for (const source of sources) {
    for (const destination of destinations) {
      const addresses = {
        ...optional('source', noCondition(source) ? undefined : source),
        ...optional('destination', noCondition(destination) ? undefined : destination),
      };
      const ip = { ...addresses, ...head };
      rules.push({ ip, matches, target, place, ...optional('counters', counted) });
    }
  }
  return rules;
}

/** A prefix of length 0 matches every packet. */
function noCondition(part: ParsedRule['sources'][number] | undefined): boolean {
  return part !== undefined && part.value.length === 0 && !part.value.mask && !part.negate;
}

function parseCounters(text: string): Counters | null {
  const m = /^\[(\d+):(\d+)\]$/.exec(text);
  return m ? { packets: Number(m[1]), bytes: Number(m[2]) } : null;
}
