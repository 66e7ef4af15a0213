/**
 * Sets of nft: named ones with their properties, anonymous ones in braces, and elements.
 *
 * Source: nftables 1.0.6 src/parser_bison.y `set_block`, `map_block`, `set_list_expr`, nft(8).
 * @module
 */
import { type NftType, typeNamed } from '../../../netfilter/nft/datatype.ts';
import type { NftExpression } from '../../../netfilter/nft/expression.ts';
import type {
  NftElement,
  NftSet,
  NftSetFlag,
  NftSetReference,
} from '../../../netfilter/nft/ruleset.ts';
import { SET_FLAGS } from '../../../netfilter/nft/ruleset.ts';
import type { NftVerdict, StatefulStatement } from '../../../netfilter/nft/statement.ts';
import { typesOf } from '../../../netfilter/nft/type-of.ts';
import { parseDuration } from '../symbol.ts';
import type { Cursor } from './cursor.ts';
import { parseExpression, type Reading } from './expression-parser.ts';
import { parseKey } from './key-parser.ts';
import { parseState } from './state-parser.ts';

/** What elements carry beside their key. */
export type Carried =
  | { readonly kind: 'set' }
  | { readonly kind: 'vmap' }
  | { readonly kind: 'map'; readonly data: readonly NftType[] };

/** `@name`, or elements in braces for what `key` reads. */
export function parseSetReference(
  reading: Reading,
  key: NftExpression,
  carried: Carried,
): NftSetReference {
  const at: Cursor = reading.at;
  const { text, kind } = at.peek();
  if (kind === 'word' && text.startsWith('@')) {
    at.next();
    return { kind: 'named', name: text.slice(1) };
  }
  const type = typesOf(key, reading.sets);
  if (type === null) at.fail('elements of no known type', text);
  const place = at.place;
  const elements = parseElements(at, type, carried);
  const isInterval = elements.some(({ key: own }) => own?.some((one) => one.kind !== 'value'));
  const data = carried.kind === 'map' ? { data: carried.data } : {};
  const flags: NftSetFlag[] = isInterval ? ['constant', 'interval'] : ['constant'];
  const set = { name: '', kind: carried.kind, type, ...data, flags, elements, place };
  return { kind: 'anonymous', set };
}

/** `EXPRESSION map @NAME` or `EXPRESSION map { … }`, if a map follows. */
export function parseMapped(
  reading: Reading,
  key: NftExpression,
  data: readonly NftType[],
): NftExpression {
  if (!reading.at.takes('map')) return key;
  return { kind: 'map', key, map: parseSetReference(reading, key, { kind: 'map', data }) };
}

/** `{ ELEMENT, ELEMENT }`, over as many lines as it takes. */
export function parseElements(
  at: Cursor,
  type: readonly NftType[],
  carried: Carried,
): readonly NftElement[] {
  at.expect('{');
  const elements: NftElement[] = [];
  for (;;) {
    at.skipNewlines();
    if (at.takes('}')) return elements;
    elements.push(parseElement(at, type, carried));
    at.skipNewlines();
    if (!at.takes(',') && !at.sees('}')) {
      at.fail('something else must stand here', at.peek().text, ', or }');
    }
  }
}

function parseElement(at: Cursor, type: readonly NftType[], carried: Carried): NftElement {
  const key = at.takes('*') ? null : parseKey(at, type);
  const options = parseOptions(at);
  if (carried.kind === 'set') return { key, ...options };
  at.expect(':');
  const content =
    carried.kind === 'vmap' ? { verdict: parseVerdict(at) } : { data: parseKey(at, carried.data) };
  return { key, ...options, ...content };
}

type Options = Pick<NftElement, 'timeoutMs' | 'expiresMs' | 'comment' | 'state'>;

function parseOptions(at: Cursor): Options {
  const state: StatefulStatement[] = [];
  let options: Options = {};
  for (;;) {
    if (at.takes('timeout')) options = { ...options, timeoutMs: duration(at) };
    else if (at.takes('expires')) options = { ...options, expiresMs: duration(at) };
    else if (at.takes('comment')) options = { ...options, comment: at.word('a comment') };
    else if (at.sees('counter') || at.sees('limit') || at.sees('quota')) state.push(parseState(at));
    else return state.length === 0 ? options : { ...options, state };
  }
}

/** Milliseconds. */
export function duration(at: Cursor): number {
  const text = at.word('a duration');
  const ms = parseDuration(text);
  if (ms === null) at.fail('not a duration', text, 'as 1h30m or 90s');
  return ms;
}

const VERDICTS = ['accept', 'drop', 'return', 'continue'] as const;

/** A verdict, or null when none starts here. */
export function takeVerdict(at: Cursor): NftVerdict | null {
  const { text } = at.peek();
  const plain = VERDICTS.find((one) => one === text);
  if (plain !== undefined) {
    at.next();
    return { kind: plain };
  }
  if (text !== 'jump' && text !== 'goto') return null;
  at.next();
  if (at.sees('{')) at.refuse('a chain without a name');
  return { kind: text, chain: at.word('the name of a chain') };
}

function parseVerdict(at: Cursor): NftVerdict {
  const verdict = takeVerdict(at);
  if (verdict === null) at.fail('a verdict must stand here', at.peek().text);
  return verdict;
}

type Draft = { -readonly [K in keyof NftSet]?: NftSet[K] };

/** The block of a set or map after its name; `of` what keyword began it. */
export function parseSetBlock(reading: Reading, name: string, of: 'set' | 'map'): NftSet {
  const at: Cursor = reading.at;
  const place = at.place;
  const draft: Draft = {};
  const state: StatefulStatement[] = [];
  let isVerdict = false;
  at.expect('{');
  for (;;) {
    at.skipEnds();
    if (at.takes('}')) break;
    const word = at.peek().text;
    if (word === 'type' || word === 'typeof') isVerdict = parseType(reading, draft, of, word);
    else if (word === 'elements') parseList(at, draft, of, isVerdict);
    else if (word === 'counter' || word === 'limit' || word === 'quota') state.push(parseState(at));
    else parseProperty(at, draft);
  }
  const { type, flags = [], elements = [], ...rest } = draft;
  if (type === undefined) at.fail(`${of} ${name} says no type`, '');
  const kind = of === 'set' ? 'set' : isVerdict ? 'vmap' : 'map';
  if (kind === 'map' && rest.data === undefined) at.fail(`map ${name} says no type of data`, '');
  const more = state.length === 0 ? {} : { state };
  return { ...rest, name, kind, type, flags, elements, ...more, place };
}

/** `type KEY [: DATA]`; whether the data are verdicts. */
function parseType(reading: Reading, draft: Draft, of: 'set' | 'map', word: string): boolean {
  const at: Cursor = reading.at;
  at.next();
  if (word === 'type') draft.type = typeList(at);
  else {
    draft.of = parseExpression(reading);
    const types = typesOf(draft.of, reading.sets);
    if (types === null) at.fail('of no known type', at.peek().text);
    draft.type = types;
  }
  if (of === 'set') return false;
  at.expect(':');
  if (at.takes('verdict')) return true;
  at.takes('interval');
  if (['counter', 'quota', 'limit'].includes(at.peek().text)) at.refuse('a map of objects');
  if (word === 'type') draft.data = typeList(at);
  else {
    draft.dataOf = parseExpression(reading);
    draft.data = typesOf(draft.dataOf, reading.sets) ?? [];
  }
  return false;
}

function typeList(at: Cursor): readonly NftType[] {
  const types: NftType[] = [];
  do {
    const text = at.word('a type');
    const type = typeNamed(text);
    if (type === null) at.refuse(`type ${text}`);
    types.push(type);
  } while (at.takes('.'));
  return types;
}

function parseList(at: Cursor, draft: Draft, of: 'set' | 'map', isVerdict: boolean): void {
  at.next();
  at.expect('=');
  const { type, data } = draft;
  if (type === undefined) at.fail('elements before their type', 'elements');
  const carried: Carried =
    of === 'set'
      ? { kind: 'set' }
      : isVerdict
        ? { kind: 'vmap' }
        : { kind: 'map', data: data ?? [] };
  draft.elements = [...(draft.elements ?? []), ...parseElements(at, type, carried)];
}

function parseProperty(at: Cursor, draft: Draft): void {
  const word = at.word('a property of a set');
  if (word === 'flags') draft.flags = parseFlags(at);
  else if (word === 'timeout') draft.timeoutMs = duration(at);
  else if (word === 'gc-interval') draft.gcMs = duration(at);
  else if (word === 'size') draft.size = at.number('a size');
  else if (word === 'comment') draft.comment = at.word('a comment');
  else if (word === 'auto-merge') draft.autoMerge = true;
  else if (word === 'policy') {
    const policy = at.word('performance or memory');
    if (policy !== 'performance' && policy !== 'memory') at.fail('not a policy of sets', policy);
    draft.policy = policy;
  } else at.fail('not a property of sets that is known here', word);
}

function parseFlags(at: Cursor): readonly NftSetFlag[] {
  const flags: NftSetFlag[] = [];
  do {
    const text = at.word('a flag');
    const flag = SET_FLAGS.find((one) => one === text);
    if (flag === undefined) at.fail('not a flag of sets', text, SET_FLAGS.join(', '));
    flags.push(flag);
  } while (at.takes(','));
  return flags;
}
