/**
 * A ruleset of nft: what `nft list ruleset` prints, and the commands (`add rule …`) that say the
 * same.
 *
 * Every mistake is found, each with its file and line; one that can not be read refuses the whole.
 *
 * Source: nftables 1.0.6 src/parser_bison.y, nft(8).
 * @module
 */
import { type Diagnostic, UserError } from '../../../diagnostic/diagnostic.ts';
import { HOOKS } from '../../../netfilter/hook.ts';
import {
  CHAIN_TYPES,
  NFT_FAMILIES,
  type NftBase,
  type NftFamily,
  type NftRuleset,
} from '../../../netfilter/nft/ruleset.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../../netfilter/nft/statement.ts';
import { Cursor } from './cursor.ts';
import { type DraftChain, DraftRuleset, type DraftTable } from './draft.ts';
import { type Carried, parseElements, parseSetBlock } from './set-parser.ts';
import { parseCounts, parseLimit, parseQuota } from './state-parser.ts';
import { parseRule } from './statement-parser.ts';
import { tokenize } from './token.ts';

export interface ParseOptions {
  /** Tables that are read elsewhere: passed over, `FAMILY NAME`. */
  readonly passOver?: (table: string) => boolean;
}

/**
 * Read a ruleset.
 *
 * @throws UserError with every line that can not be read or is not emulated.
 */
export function parseNft(text: string, file: string, options: ParseOptions = {}): NftRuleset {
  const at = new Cursor(tokenize(text, file), text, file);
  const faults: Diagnostic[] = [];
  const draft = new DraftRuleset();
  const passOver = options.passOver ?? (() => false);
  for (at.skipEnds(); at.peek().kind !== 'end'; at.skipEnds()) {
    const before = at.peek();
    at.guard(faults, () => parseTop({ at, faults, draft, passOver }));
    // A brace that nothing opened.
    if (at.peek() === before) at.next();
  }
  if (faults.length > 0) throw new UserError(faults);
  return draft.build();
}

interface Top {
  readonly at: Cursor;
  readonly faults: Diagnostic[];
  readonly draft: DraftRuleset;
  readonly passOver: (table: string) => boolean;
}

function parseTop(top: Top): void {
  const at: Cursor = top.at;
  const word = at.word('table, add or flush');
  if (word === 'table') parseTable(top);
  else if (word === 'add' || word === 'create') parseCommand(top);
  else if (word === 'flush' && at.takes('ruleset')) {
    if (!top.draft.isEmpty) at.refuse('flush ruleset behind tables');
  } else at.fail('not a command that is known here', word, 'table, add or flush ruleset');
}

/** `FAMILY NAME`, ip when no family is said. */
function tableName(at: Cursor): { readonly family: string; readonly name: string } {
  const families = [...NFT_FAMILIES, 'arp', 'bridge', 'netdev'];
  const first = at.word('a family');
  if (!families.includes(first)) return { family: 'ip', name: first };
  return { family: first, name: at.word('the name of a table') };
}

function knownFamily(at: Cursor, family: string): NftFamily {
  const known = NFT_FAMILIES.find((one) => one === family);
  if (known === undefined) at.refuse(`tables of family ${family}`);
  return known;
}

function parseTable(top: Top): void {
  const at: Cursor = top.at;
  const { draft } = top;
  const { family, name } = tableName(at);
  if (top.passOver(`${family} ${name}`)) {
    draft.passed(`${family} ${name}`);
    at.skipBlock();
    return;
  }
  const table = draft.table(knownFamily(at, family), name);
  if (!at.takes('{')) return;
  for (at.skipEnds(); !at.takes('}'); at.skipEnds()) {
    if (at.peek().kind === 'end') at.fail('a table without its closing brace', 'end of file');
    const before = at.peek();
    at.guard(top.faults, () => parseInTable(top, table));
    if (at.peek() === before) at.next();
  }
}

function parseInTable(top: Top, table: DraftTable): void {
  const at: Cursor = top.at;
  const word = at.word('chain, set, map or counter');
  if (word === 'comment') table.comment = at.word('a comment');
  else if (word === 'flags') parseTableFlags(at, table);
  else if (word === 'chain') parseChain(top, table);
  else if (word === 'set' || word === 'map') parseSet(at, table, word);
  else if (OBJECT_KINDS.some((one) => one === word)) parseObject(at, table, word as ObjectKind);
  else at.refuse(word === 'ct' ? `ct ${at.peek().text}` : word);
}

function parseTableFlags(at: Cursor, table: DraftTable): void {
  const flag = at.word('dormant');
  if (flag !== 'dormant') at.refuse(`tables with flag ${flag}`);
  table.dormant = true;
}

function parseSet(at: Cursor, table: DraftTable, kind: 'set' | 'map'): void {
  const name = at.word(`the name of a ${kind}`);
  table.addSet(at, parseSetBlock({ at, sets: table.lookUp, family: table.family }, name, kind));
}

function parseObject(at: Cursor, table: DraftTable, kind: ObjectKind): void {
  const name = at.word(`the name of a ${kind}`);
  at.expect('{');
  at.skipEnds();
  const comment = at.takes('comment') ? { comment: at.word('a comment') } : {};
  at.skipEnds();
  if (kind === 'counter') table.objects.push({ kind, name, ...comment, counter: parseCounts(at) });
  else if (kind === 'limit') table.objects.push({ kind, name, ...comment, limit: parseLimit(at) });
  else table.objects.push({ kind, name, ...comment, quota: parseQuota(at) });
  at.skipEnds();
  at.expect('}');
}

/** A chain's block; rules that can not be read are passed over, and said. */
function parseChain(top: Top, table: DraftTable): void {
  const at: Cursor = top.at;
  const chain = table.chain(at, at.word('the name of a chain'));
  at.expect('{');
  for (at.skipEnds(); !at.takes('}'); at.skipEnds()) {
    if (at.peek().kind === 'end') at.fail('a chain without its closing brace', 'end of file');
    const before = at.peek();
    at.guard(top.faults, () => parseInChain(at, table, chain));
    if (at.peek() === before) at.next();
  }
}

function parseInChain(at: Cursor, table: DraftTable, chain: DraftChain): void {
  if (at.takes('type')) chain.base = parseBase(at);
  else if (at.takes('policy')) chain.policy = parsePolicy(at);
  else if (at.takes('comment')) chain.comment = at.word('a comment');
  else addRule(at, table, chain);
}

function addRule(at: Cursor, table: DraftTable, chain: DraftChain): void {
  const { place } = at;
  const rule = parseRule({ at, sets: table.lookUp, family: table.family });
  chain.rules.push({ ...rule, place });
}

function parsePolicy(at: Cursor): 'accept' | 'drop' {
  const policy = at.word('accept or drop');
  if (policy !== 'accept' && policy !== 'drop') at.fail('not a policy', policy, 'accept or drop');
  return policy;
}

/** `filter hook forward priority filter - 10`, from behind `type` on. */
function parseBase(at: Cursor): Omit<NftBase, 'policy'> {
  const word = at.word('the type of a chain');
  const type = CHAIN_TYPES.find((one) => one === word);
  if (type === undefined) at.fail('not a type of chains', word, CHAIN_TYPES.join(', '));
  at.expect('hook');
  const name = at.word('a hook');
  const hook = HOOKS.find((one) => one === name);
  if (hook === undefined) at.refuse(`hook ${name}`);
  if (at.sees('device') || at.sees('devices')) at.refuse('chains of a device');
  at.expect('priority');
  return { type, hook, priority: parsePriority(at) };
}

const PRIORITIES: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  dstnat: -100,
  filter: 0,
  security: 50,
  srcnat: 100,
};

function parsePriority(at: Cursor): number {
  const word = at.word('a priority');
  const named = Object.hasOwn(PRIORITIES, word) ? PRIORITIES[word] : undefined;
  if (named === undefined) {
    if (!/^-?\d+$/.test(word)) at.fail('not a priority', word);
    return Number(word);
  }
  if (at.takes('+')) return named + at.number('a number');
  if (at.takes('-')) return named - at.number('a number');
  return named;
}

/** `add KIND FAMILY TABLE …`, from behind `add` on. */
function parseCommand(top: Top): void {
  const at: Cursor = top.at;
  const { draft } = top;
  const what = at.word('table, chain, set, map, rule or element');
  const { family, name } = tableName(at);
  if (top.passOver(`${family} ${name}`)) {
    draft.passed(`${family} ${name}`);
    at.skipStatement();
    return;
  }
  const known = knownFamily(at, family);
  if (what === 'table') {
    const table = draft.table(known, name);
    if (at.takes('{')) readBlock(at, () => parseInTable(top, table));
    return;
  }
  const table = draft.find(known, name);
  if (table === undefined) at.fail('a table that is not there', `${family} ${name}`);
  if (what === 'chain') parseChainCommand(at, table);
  else if (what === 'set' || what === 'map') parseSet(at, table, what);
  else if (what === 'element') parseElementCommand(at, table);
  else if (what === 'rule') parseRuleCommand(at, table);
  else if (OBJECT_KINDS.some((one) => one === what)) parseObject(at, table, what as ObjectKind);
  else at.refuse(`add ${what}`);
}

function parseRuleCommand(at: Cursor, table: DraftTable): void {
  const name = at.word('the name of a chain');
  const chain = table.findChain(name);
  if (chain === undefined) at.fail('a chain that is not there', name);
  addRule(at, table, chain);
}

function readBlock(at: Cursor, read: () => void): void {
  for (at.skipEnds(); !at.takes('}'); at.skipEnds()) read();
}

function parseChainCommand(at: Cursor, table: DraftTable): void {
  const chain = table.chain(at, at.word('the name of a chain'));
  if (!at.takes('{')) return;
  readBlock(at, () => {
    const word = at.peek().text;
    if (word !== 'type' && word !== 'policy' && word !== 'comment') {
      at.fail('something else must stand here', word, 'type, policy or comment');
    }
    parseInChain(at, table, chain);
  });
}

function parseElementCommand(at: Cursor, table: DraftTable): void {
  const name = at.word('the name of a set');
  const set = table.lookUp(name);
  if (set === undefined) at.fail('a set that is not there', name);
  const carried: Carried =
    set.kind === 'map'
      ? { kind: 'map', data: set.data ?? [] }
      : { kind: set.kind === 'vmap' ? 'vmap' : 'set' };
  table.addElements(name, parseElements(at, set.type, carried));
}
