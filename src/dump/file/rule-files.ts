/**
 * Rules and sets of a dump: iptables-save of both families and variants, `iptables -S`, ipset.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { TableName } from '../../netfilter/hook.ts';
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { Table } from '../../netfilter/rule.ts';
import { parseIptables, printTable } from '../../plan/rule/iptables-text.ts';
import type { Family } from '../../wire/address/address.ts';
import type { DumpFile } from './dump-file.ts';
import type { Recognised } from './recognise.ts';

export interface RuleFile {
  readonly file: DumpFile;
  readonly as: Recognised;
}

/** Run a reader; its mistakes are kept beside those of other files. */
export function gather<T>(faults: Diagnostic[], read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    faults.push(...error.diagnostics);
    return null;
  }
}

interface Candidate {
  readonly table: Table;
  readonly from: RuleFile;
}

/** All tables of one family. `iptables -S` counts where there is no iptables-save. */
export function readTables(
  files: readonly RuleFile[],
  family: Family,
  faults: Diagnostic[],
): readonly Table[] {
  const own = files.filter(({ as }) => as.family === family);
  const saves = own.filter(({ as }) => as.kind === 'iptables');
  const used = saves.length > 0 ? saves : own.filter(({ as }) => as.kind === 'rules-list');
  const candidates = used.flatMap((from): Candidate[] => {
    const { text, path } = from.file;
    const read = from.as.kind === 'iptables' ? parseIptables : parseRulesList;
    const tables = gather(faults, () => read(text, path, family)) ?? [];
    return tables.map((table) => ({ table, from }));
  });
  const names = [...new Set(candidates.map(({ table }) => table.name))];
  return names.flatMap((name) => {
    return choose(
      candidates.filter(({ table }) => table.name === name),
      faults,
    );
  });
}

/**
 * One table of several files: the one that holds something. Two that differ are both there when
 * each is of another variant of iptables: packets meet both; else they are a mistake.
 */
function choose(candidates: readonly Candidate[], faults: Diagnostic[]): readonly Table[] {
  const full = candidates.filter(({ table }) => holdsSomething(table));
  const [first, ...rest] = full.length > 0 ? full : candidates;
  if (first === undefined) return [];
  const other = rest.find(({ table }) => plainText(table) !== plainText(first.table));
  if (other === undefined || full.length < 2) return [first.table];
  if (full.length === 2 && first.from.as.legacy !== other.from.as.legacy) {
    const [nft, legacy] = first.from.as.legacy ? [other, first] : [first, other];
    return [nft.table, { ...legacy.table, legacy: true }];
  }
  faults.push({
    code: 'DUMP_TABLE_TWICE',
    file: other.from.file.path,
    message: `table ${first.table.name} is in two files that differ`,
    found: `${first.from.file.path} and ${other.from.file.path}`,
    accepted: 'one of the two files',
  });
  return [first.table];
}

function holdsSomething({ chains }: Table): boolean {
  return chains.some((chain) => chain.rules.length > 0 || chain.policy === 'DROP');
}

/** The table without counters, as text. */
function plainText(table: Table): string {
  const chains = table.chains.map(({ counters: _, ...chain }) => chain);
  return printTable({ ...table, chains });
}

/** `iptables -S`: the chains and rules of one table, as commands without their table. */
function parseRulesList(text: string, file: string, family: Family): Table[] {
  const builtin = [...text.matchAll(/^-P (\S+)/gm)].map((m) => m[1] ?? '');
  // The table's line stands in front of the first, so that line numbers stay.
  const lines = text.replace(/\s+$/, '');
  return parseIptables(`*${tableOf(builtin)}\n${lines}\nCOMMIT\n`, file, family, -1);
}

/** Which table has just these built-in chains; filter is what `iptables -S` prints by itself. */
function tableOf(builtin: readonly string[]): TableName {
  if (builtin.includes('FORWARD')) return builtin.includes('PREROUTING') ? 'mangle' : 'filter';
  if (builtin.includes('POSTROUTING')) return 'nat';
  return builtin.includes('PREROUTING') ? 'raw' : 'filter';
}

/** Every set that rules name, with the place of the first rule that does. */
function namedSets(tables: readonly Table[]): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  const note = (set: string, place: string | undefined) => {
    if (!named.has(set)) named.set(set, place ?? '');
  };
  for (const { chains } of tables) {
    for (const { matches, target, place } of chains.flatMap((chain) => chain.rules)) {
      for (const match of matches) if (match.kind === 'set') note(match.set, place);
      if (target.kind === 'set') note(target.set, place);
    }
  }
  return named;
}

/** Sets that rules name and no file makes: mistakes where there is a file of sets. */
export function missingSets(tables: readonly Table[], sets: readonly IpSet[]): Diagnostic[] {
  const known = new Set(sets.map((set) => set.name));
  return [...namedSets(tables)]
    .filter(([name]) => !known.has(name))
    .map(([name, place]) => {
      const m = /^(.*):(\d+)$/.exec(place);
      const at = m ? { file: m[1] ?? '', line: Number(m[2]) } : {};
      const message = 'a rule names a set that the dump does not make';
      return { code: 'DUMP_SET_MISSING', ...at, message, found: name };
    });
}

/** Sets of which only the names are known, in place of a file of sets. */
export function unknownSets(tables: readonly Table[]): readonly IpSet[] {
  return [...namedSets(tables).keys()].map((name) => ({
    name,
    type: 'list:set',
    maxElements: 0,
    members: [],
    membersUnknown: true,
  }));
}
