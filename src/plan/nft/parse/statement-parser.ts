/**
 * Statements of nft: what a rule does, from left to right.
 *
 * Source: nftables 1.0.6 src/parser_bison.y `stmt`, nft(8).
 * @module
 */
import { isBitmask, type NftType } from '../../../netfilter/nft/datatype.ts';
import type { NftExpression } from '../../../netfilter/nft/expression.ts';
import type {
  Comparison,
  NftStatement,
  ObjectKind,
  StatefulStatement,
} from '../../../netfilter/nft/statement.ts';
import { typesOf } from '../../../netfilter/nft/type-of.ts';
import { parseValue } from '../symbol.ts';
import type { Cursor } from './cursor.ts';
import { parseExpression, type Reading, startsExpression } from './expression-parser.ts';
import { parseKey } from './key-parser.ts';
import { parseMasquerade, parseNat, parseReject } from './nat-parser.ts';
import { duration, parseMapped, parseSetReference, takeVerdict } from './set-parser.ts';
import { parseState } from './state-parser.ts';

/** Statements that nft can read and we can not. */
const REFUSED: ReadonlySet<string> = new Set([
  ...['queue', 'dup', 'fwd', 'flow', 'tproxy', 'synproxy', 'xt', 'set', 'map', 'last', 'reset'],
  ...['tcp option', 'ip option'],
]);

/** A rule's statements and comment, up to the end of its line. */
export function parseRule(reading: Reading): {
  readonly statements: readonly NftStatement[];
  readonly comment?: string;
} {
  const at: Cursor = reading.at;
  const statements: NftStatement[] = [];
  while (!at.atEnd) {
    if (at.takes('comment')) {
      const comment = at.word('a comment');
      if (!at.atEnd) at.fail('nothing stands behind a comment', at.peek().text);
      return { statements, comment };
    }
    const last = statements.at(-1);
    if (last?.kind === 'verdict') at.fail('nothing stands behind a verdict', at.peek().text);
    statements.push(parseStatement(reading));
  }
  return { statements };
}

function parseStatement(reading: Reading): NftStatement {
  const at: Cursor = reading.at;
  const verdict = takeVerdict(at);
  if (verdict !== null) return { kind: 'verdict', verdict };
  const { text } = at.peek();
  switch (text) {
    case 'counter':
    case 'limit':
    case 'quota':
      return at.sees('name', 1) ? parseObject(at, text) : parseState(at);
    case 'log':
      return parseLog(at);
    case 'reject':
      return parseReject(at);
    case 'masquerade':
    case 'redirect':
      return parseMasquerade(reading, text);
    case 'snat':
    case 'dnat':
      return parseNat(reading, text);
    case 'notrack':
      at.next();
      return { kind: 'notrack' };
    case 'add':
    case 'update':
    case 'delete':
      return parseUpdate(reading, text);
    default:
      if (REFUSED.has(text)) at.refuse(text);
      return parseSetting(reading) ?? parseMatch(reading);
  }
}

/** `counter name "x"`. */
function parseObject(at: Cursor, object: ObjectKind): NftStatement {
  at.next();
  at.next();
  if (at.peek(1).text === 'map' || at.peek(2).text === 'map') at.refuse(`${object} name … map`);
  return { kind: 'object', object, name: at.word('a name') };
}

/** How many words follow each option of log. */
const LOG_OPTIONS: ReadonlySet<string> = new Set([
  ...['prefix', 'level', 'group', 'snaplen', 'queue-threshold', 'flags'],
]);

function parseLog(at: Cursor): NftStatement {
  at.next();
  const words = ['log'];
  while (LOG_OPTIONS.has(at.peek().text)) {
    const option = at.next().text;
    const value = at.peek();
    at.word(`what ${option} is`);
    words.push(option, value.kind === 'string' ? `"${value.text}"` : value.text);
    if (option === 'flags' && /^(tcp|ip)$/.test(value.text)) words.push(at.word('flags'));
    while (option === 'flags' && at.takes(',')) words.push(',', at.word('flags'));
  }
  return { kind: 'log', text: words.join(' ').replaceAll(' , ', ',') };
}

/** `add @set { KEY timeout 5s limit rate 5/second : DATA }`. */
function parseUpdate(reading: Reading, operation: 'add' | 'update' | 'delete'): NftStatement {
  const at: Cursor = reading.at;
  at.next();
  const name = at.word('@ and the name of a set');
  if (!name.startsWith('@')) at.fail('not the name of a set', name, '@NAME');
  const set = name.slice(1);
  at.expect('{');
  const key = parseExpression(reading);
  const state: StatefulStatement[] = [];
  let timeout: { timeoutMs?: number } = {};
  for (;;) {
    if (at.takes('timeout')) timeout = { timeoutMs: duration(at) };
    else if (at.sees('counter') || at.sees('limit') || at.sees('quota')) state.push(parseState(at));
    else if (at.sees('ct')) at.refuse('ct count');
    else break;
  }
  const data = at.takes(':') ? { data: parseData(reading, set) } : {};
  at.expect('}');
  return { kind: 'update', operation, set, key, ...timeout, state, ...data };
}

function parseData(reading: Reading, set: string): NftExpression {
  if (startsExpression(reading)) return parseExpression(reading);
  const data = reading.sets(set)?.data;
  if (data === undefined) reading.at.fail('not a map that is known here', set);
  return { kind: 'constant', key: parseKey(reading.at, data) };
}

/** `meta mark set …`, `ct mark set …`, `ip ttl set …`; null when it is none. */
function parseSetting(reading: Reading): NftStatement | null {
  const at: Cursor = reading.at;
  const isBare = at.sees('set', 1);
  if (!isBare && !at.sees('set', 2)) return null;
  const [room, key] = isBare ? ['meta', at.peek().text] : [at.peek().text, at.peek(1).text];
  // What only a shaper or a trace looks at.
  if (room === 'meta' && (key === 'priority' || key === 'nftrace')) {
    const words = [at.next().text];
    while (!at.atEnd && !isNext(reading, words)) words.push(at.next().text);
    return { kind: 'note', text: words.join(' ') };
  }
  if (room === 'ct' && key !== 'mark') at.refuse(`ct ${key} set`);
  if (room === 'meta' && key !== 'mark') at.refuse(`meta ${key} set`);
  const target = parseExpression(reading);
  at.expect('set');
  if (target.kind !== 'meta' && target.kind !== 'ct' && target.kind !== 'payload') {
    at.fail('not a thing to set', at.peek().text);
  }
  const types = typesOf(target, reading.sets) ?? [];
  const value = parseSource(reading, types);
  if (target.kind === 'payload') {
    const name = `${target.protocol} ${target.field}`;
    if (!WRITABLE.has(name)) at.refuse(`${name} set`);
    return { kind: 'mangle', target, value };
  }
  return { kind: 'mangle', target: { kind: target.kind, key: 'mark' }, value };
}

/** Fields of the network header that no other checksum than its own covers. */
const WRITABLE: ReadonlySet<string> = new Set([
  ...['ip ttl', 'ip dscp', 'ip ecn', 'ip6 hoplimit', 'ip6 dscp', 'ip6 ecn'],
]);

/** After `meta priority set X` the next statement begins. */
function isNext(_reading: Reading, words: readonly string[]): boolean {
  const set = words.indexOf('set');
  return set >= 0 && words.length > set + 1;
}

/** What something is set to: a constant, an expression, or what a map has for it. */
function parseSource(reading: Reading, types: readonly NftType[]): NftExpression {
  if (startsExpression(reading)) return parseMapped(reading, parseExpression(reading), types);
  return { kind: 'constant', key: parseKey(reading.at, types) };
}

const OPERATORS: Readonly<Record<string, Comparison>> = {
  '==': '==',
  eq: '==',
  '!=': '!=',
  ne: '!=',
  '<': '<',
  lt: '<',
  '>': '>',
  gt: '>',
  '<=': '<=',
  le: '<=',
  '>=': '>=',
  ge: '>=',
  '!': '!=',
};

function parseMatch(reading: Reading): NftStatement {
  const at: Cursor = reading.at;
  const left = parseExpression(reading);
  if (at.takes('vmap')) {
    return { kind: 'vmap', key: left, map: parseSetReference(reading, left, { kind: 'vmap' }) };
  }
  const types = typesOf(left, reading.sets);
  if (types === null) at.fail('of no known type', at.peek().text);
  const { text, kind } = at.peek();
  const isOperator = kind !== 'string' && Object.hasOwn(OPERATORS, text);
  const written = isOperator ? OPERATORS[text] : undefined;
  if (written !== undefined) at.next();
  const operator = written ?? '==';
  if (at.sees('{') || (at.peek().kind === 'word' && at.peek().text.startsWith('@'))) {
    if (operator !== '==' && operator !== '!=') at.fail('no set is larger or smaller', operator);
    const set = parseSetReference(reading, left, { kind: 'set' });
    return { kind: 'match', left, operator, right: { kind: 'set', set } };
  }
  const [type] = types;
  if (type !== undefined && types.length === 1 && isBitmask(type) && left.kind !== 'bits') {
    return parseFlags(at, left, type, text === '!' ? '!' : written);
  }
  const right = { kind: 'key', key: parseKey(at, types) } as const;
  const isRange = right.key.some((one) => one.kind !== 'value');
  if (isRange && operator !== '==' && operator !== '!=') {
    at.fail('a range is not larger or smaller', operator);
  }
  return { kind: 'match', left, operator, right };
}

/**
 * `syn,ack` has one of them, `! syn,ack` none; `== syn,ack` is both; `syn / syn,ack` of these, only
 * that.
 */
function parseFlags(
  at: Cursor,
  left: NftExpression,
  type: NftType,
  written: Comparison | '!' | undefined,
): NftStatement {
  const value = flagList(at, type);
  if (at.takes('/')) {
    const masked = { kind: 'bits', operator: '&', left, right: flagList(at, type) } as const;
    const right = { kind: 'key', key: [{ kind: 'value', value }] } as const;
    const operator = written === '!' ? '!=' : (written ?? '==');
    return { kind: 'match', left: masked, operator, right };
  }
  if (written === undefined || written === '!') {
    const operator = written === '!' ? '!=' : '==';
    return { kind: 'match', left, operator, right: { kind: 'any', bits: value } };
  }
  const right = { kind: 'key', key: [{ kind: 'value', value }] } as const;
  return { kind: 'match', left, operator: written, right };
}

function flagList(at: Cursor, type: NftType): bigint {
  let value = 0n;
  do {
    const one = parseValue(type, at.peek().text);
    if (one === null) at.fail(`not a value of type ${type.name}`, at.peek().text);
    at.next();
    value |= one;
  } while (at.takes(',') || at.takes('|'));
  return value;
}
