/**
 * Expressions of nft: what is read from a packet, and what it is held against.
 *
 * A constant's words mean what the type beside it says, so the left side is read first.
 *
 * Source: nftables 1.0.6 src/parser_bison.y, nft(8).
 * @module
 */
import type { NftType } from '../../../netfilter/nft/datatype.ts';
import { allOnes } from '../../../netfilter/nft/datatype.ts';
import {
  type BitOperator,
  CT_KEYS,
  type CtKey,
  FIB_FLAGS,
  type FibFlag,
  META_KEYS,
  type MetaKey,
  type NftExpression,
} from '../../../netfilter/nft/expression.ts';
import { fieldNamed, protocolNamed } from '../../../netfilter/nft/field.ts';
import type { SetsByName } from '../../../netfilter/nft/type-of.ts';
import { typesOf } from '../../../netfilter/nft/type-of.ts';
import { parseValue } from '../symbol.ts';
import type { Cursor } from './cursor.ts';

/** Where a statement stands: the text, and the sets of its table made before it. */
export interface Reading {
  readonly at: Cursor;
  readonly sets: SetsByName;
  readonly family: 'ip' | 'ip6' | 'inet';
}

/** Keys of meta that may stand alone. */
const BARE: ReadonlySet<string> = new Set([
  'mark',
  'iif',
  'oif',
  'iifname',
  'oifname',
  'iiftype',
  'oiftype',
  'skuid',
  'skgid',
]);

/** What nft can read and we can not, by first word. */
const REFUSED: ReadonlySet<string> = new Set([
  ...['ether', 'vlan', 'arp', 'ah', 'esp', 'comp', 'gre', 'vxlan', 'geneve', 'gretap', 'igmp'],
  ...['socket', 'osf', 'rt', 'ipsec', 'symhash', 'exthdr', 'hbh', 'frag', 'dst', 'mh', 'srh'],
  ...['iifgroup', 'oifgroup', 'cgroup', 'rtclassid', 'cpu', 'time', 'hour', 'day', 'pkttype'],
  ...['tproxy', 'synproxy', 'ibrname', 'obrname', 'random', 'secpath', 'nftrace', 'l3proto'],
]);

/** Does an expression, not a constant, start here? */
export function startsExpression({ at }: Reading): boolean {
  const { kind, text } = at.peek();
  if (kind === 'mark') return text === '(';
  if (kind !== 'word') return false;
  if (['meta', 'ct', 'fib', 'numgen', 'jhash', 'symhash'].includes(text)) return true;
  if (BARE.has(text) || /^@(nh|th|ll)$/.test(text)) return true;
  return protocolNamed(text) !== null && at.peek(1).kind === 'word';
}

/** An expression with its operators, or several concatenated. */
export function parseExpression(reading: Reading): NftExpression {
  const at: Cursor = reading.at;
  const parts = [parseBits(reading)];
  while (at.sees('.')) {
    at.next();
    parts.push(parseBits(reading));
  }
  const [only] = parts;
  return only !== undefined && parts.length === 1 ? only : { kind: 'concat', parts };
}

const OPERATORS: Readonly<Record<string, BitOperator>> = {
  '&': '&',
  and: '&',
  '|': '|',
  or: '|',
  '^': '^',
  xor: '^',
  '<<': '<<',
  lshift: '<<',
  '>>': '>>',
  rshift: '>>',
};

function parseBits(reading: Reading): NftExpression {
  const at: Cursor = reading.at;
  let left = parsePrimary(reading);
  for (;;) {
    const { text, kind } = at.peek();
    const operator = kind === 'string' ? undefined : OPERATORS[text];
    if (operator === undefined || !Object.hasOwn(OPERATORS, text)) return left;
    at.next();
    if (startsExpression(reading) && !at.sees('(')) {
      at.refuse('an operator between two expressions');
    }
    const [type] = typesOf(left, reading.sets) ?? [];
    if (type === undefined) at.fail('an operator needs a number on its left', text);
    left = { kind: 'bits', operator, left, right: parseMask(reading, type, operator) };
  }
}

/** `0xff`, or `(fin | syn)`. */
function parseMask({ at }: Reading, type: NftType, operator: BitOperator): bigint {
  if (!at.takes('(')) return operand(at, type, operator);
  let bits = operand(at, type, operator);
  while (at.takes('|') || at.takes(',')) bits |= operand(at, type, operator);
  at.expect(')');
  return bits;
}

function operand(at: Cursor, type: NftType, operator: BitOperator): bigint {
  const isShift = operator === '<<' || operator === '>>';
  const text = at.peek().text;
  const own = isShift ? null : parseValue(type, text);
  const plain = /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? BigInt(text) : null;
  const value = own ?? plain;
  if (value === null || value > allOnes(type.bits)) at.fail('not a number of this width', text);
  at.next();
  return value;
}

function parsePrimary(reading: Reading): NftExpression {
  const at: Cursor = reading.at;
  if (at.takes('(')) {
    const inner = parseBits(reading);
    at.expect(')');
    return inner;
  }
  const { text, kind } = at.peek();
  if (kind !== 'word') at.fail('an expression must stand here', text);
  if (text === 'meta') {
    at.next();
    return metaKey(at, at.peek().text);
  }
  if (BARE.has(text)) return metaKey(at, text);
  if (text === 'ct') return parseCt(at);
  if (text === 'fib') return parseFib(at);
  if (text === 'numgen') return parseNumgen(at);
  if (text === 'jhash') return parseJhash(reading);
  if (text === '@nh' || text === '@th' || text === '@ll') return parseRaw(at);
  if (protocolNamed(text) !== null) return parsePayload(at);
  if (REFUSED.has(text)) at.refuse(text);
  at.fail('not a word of nft that is known here', text);
}

function metaKey(at: Cursor, key: string): NftExpression {
  const known = META_KEYS.find((one) => one === key);
  if (known === undefined) at.refuse(`meta ${key}`);
  at.next();
  return { kind: 'meta', key: known satisfies MetaKey };
}

function parseCt(at: Cursor): NftExpression {
  at.next();
  const direction = at.takes('original') ? 'original' : at.takes('reply') ? 'reply' : undefined;
  const family = direction === undefined ? undefined : at.takes('ip') ? 'ip' : takesIp6(at);
  const text = at.peek().text;
  const key: CtKey | undefined = CT_KEYS.find((one) => one === text);
  if (key === undefined) at.refuse(`ct ${text}`);
  const isAddress = key === 'saddr' || key === 'daddr';
  if (isAddress && family === undefined) at.fail('an address needs its family', text, 'ip or ip6');
  const isOfTuple = isAddress || key === 'proto-src' || key === 'proto-dst';
  if (isOfTuple && direction === undefined) at.fail('a direction must stand before', text);
  at.next();
  return {
    kind: 'ct',
    key,
    ...(direction === undefined ? {} : { direction }),
    ...(family === undefined ? {} : { family }),
  };
}

function takesIp6(at: Cursor): 'ip6' | undefined {
  return at.takes('ip6') ? 'ip6' : undefined;
}

function parseFib(at: Cursor): NftExpression {
  at.next();
  const flags: FibFlag[] = [];
  do {
    const text = at.peek().text;
    const flag = FIB_FLAGS.find((one) => one === text);
    if (flag === undefined) at.fail('not a selector of fib', text, FIB_FLAGS.join(', '));
    at.next();
    flags.push(flag);
  } while (at.takes('.'));
  if (flags.includes('saddr') === flags.includes('daddr')) {
    at.fail('fib asks for one of saddr and daddr', flags.join(' . '));
  }
  const result = at.word('oif, oifname or type');
  if (result === 'check') return { kind: 'fib', flags, result };
  if (result !== 'oif' && result !== 'oifname' && result !== 'type') {
    at.fail('not a result of fib', result, 'oif, oifname or type');
  }
  const asked = at.sees('==') || at.sees('!=') ? 1 : 0;
  const isCheck = result !== 'type' && (at.sees('exists', asked) || at.sees('missing', asked));
  return { kind: 'fib', flags, result: isCheck ? 'check' : result };
}

function parseNumgen(at: Cursor): NftExpression {
  at.next();
  const mode = at.word('random or inc');
  if (mode !== 'random' && mode !== 'inc') at.fail('not a mode of numgen', mode, 'random or inc');
  at.expect('mod');
  const modulus = at.number('a modulus');
  if (modulus === 0) at.fail('a modulus is more than 0', '0');
  const offset = at.takes('offset') ? at.number('an offset') : 0;
  return { kind: 'numgen', mode, modulus, offset };
}

function parseJhash(reading: Reading): NftExpression {
  const at: Cursor = reading.at;
  at.next();
  const of = parseExpression(reading);
  at.expect('mod');
  const modulus = at.number('a modulus');
  if (modulus === 0) at.fail('a modulus is more than 0', '0');
  // Without one, the kernel draws it once.
  if (!at.takes('seed')) at.refuse('jhash with a seed that the kernel drew');
  const seed = at.number('a seed');
  const offset = at.takes('offset') ? at.number('an offset') : 0;
  return { kind: 'jhash', of, modulus, seed, offset };
}

function parseRaw(at: Cursor): NftExpression {
  const base = at.next().text.slice(1);
  at.expect(',');
  const offset = at.number('an offset in bits');
  at.expect(',');
  const length = at.number('a length in bits');
  if (base !== 'nh' && base !== 'th') at.refuse('a load from the link header');
  if (length === 0 || length > 128) at.fail('a load is of 1 to 128 bits', String(length));
  return { kind: 'raw', base, offset, length };
}

function parsePayload(at: Cursor): NftExpression {
  const protocol = at.next().text;
  // `ip6 option` and `tcp option` are loads of another kind.
  const field = at.peek().text;
  if (fieldNamed(protocol, field) === null) at.refuse(`${protocol} ${field}`);
  at.next();
  return { kind: 'payload', protocol, field };
}
