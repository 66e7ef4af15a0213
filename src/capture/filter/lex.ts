/**
 * Tokens of pcap-filter(7): the longest match wins, of equal ones the first rule (as flex does).
 *
 * Source: libpcap 1.10.3 `scanner.l`. The rules' order is that file's.
 * @module
 */
import { parseAddress } from '../../wire/address/address.ts';
import { filterError } from './error.ts';
import { ALIASES, CONSTANTS, GRAMMAR_WORDS, PROTOCOL_WORDS, REFUSED_WORDS } from './names.ts';

export type TokenKind =
  | 'word' // a keyword
  | 'operator'
  | 'number'
  | 'name' // anything else that looks like a name, and \escaped words
  | 'ipv4' // two to four dotted numbers
  | 'ipv6'
  | 'mac'
  | 'arcnet'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** Keywords and operators in their first spelling. */
  readonly text: string;
  /** Of numbers, 32 bits. */
  readonly value: number;
  /** Index into the expression. */
  readonly at: number;
}

const N = '(?:0[xX][0-9a-fA-F]+|[0-9]+)';
const B = '[0-9a-fA-F][0-9a-fA-F]?';
const B2 = '[0-9a-fA-F]{4}';
const MAC = [
  ...[':', '-', '\\.'].map((separator) => Array(6).fill(`(?:${B})`).join(separator)),
  `${B2}\\.${B2}\\.${B2}`,
  '[0-9a-fA-F]{12}',
];

const SPACE = /[ \r\n\t]+/y;
const OPERATOR = />=|<=|!=|==|<<|>>|&&|\|\||[+\-*/%:[\]!<>()&|^=]/y;
const IPV6_LIKE = new RegExp(`[0-9a-fA-F:]*:[0-9a-fA-F:]*(?:${N}\\.${N}\\.${N}\\.${N})?`, 'y');
const NAME = /[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?/y;
const ESCAPED = /\\[^ !()\n\t]+/y;
const KEYWORDS: ReadonlySet<string> = new Set<string>([
  ...PROTOCOL_WORDS,
  ...GRAMMAR_WORDS,
  ...REFUSED_WORDS.keys(),
  ...ALIASES.keys(),
]);

/** Rules in order; each gives the length of its match at an index, or 0. */
const RULES: readonly (readonly [TokenKind, (text: string, at: number) => number])[] = [
  ['word', (text, at) => keyword(text, at)],
  ['operator', matcher(OPERATOR)],
  ['arcnet', matcher(new RegExp(`\\$(?:${B})`, 'y'))],
  ...MAC.map((pattern) => ['mac', matcher(new RegExp(pattern, 'y'))] as const),
  ['number', matcher(new RegExp(N, 'y'))],
  ['ipv4', matcher(new RegExp(`${N}(?:\\.${N}){1,3}`, 'y'))],
  ['ipv6', ipv6Length],
  ['name', matcher(NAME)],
  ['name', matcher(ESCAPED)],
];

function matcher(pattern: RegExp): (text: string, at: number) => number {
  return (text, at) => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0].length ?? 0;
  };
}

const NAME_LENGTH = matcher(NAME);

/** A keyword must be all of the name that stands there (a longer name would win). */
function keyword(text: string, at: number): number {
  const length = NAME_LENGTH(text, at);
  return KEYWORDS.has(text.slice(at, at + length)) ? length : 0;
}

/** The longest IPv6 address that starts here; the pattern alone would take too much (`::1:`). */
function ipv6Length(text: string, at: number): number {
  IPV6_LIKE.lastIndex = at;
  const most = Math.min(IPV6_LIKE.exec(text)?.[0].length ?? 0, 64);
  for (let length = most; length >= 2; length--) {
    if (parseAddress(text.slice(at, at + length))?.family === 6) return length;
  }
  return 0;
}

/** Longer expressions are a mistake, not a filter. */
const TEXT_MAX = 16_384;

/** Cut an expression into tokens, the last of kind `end`. Throws a UserError naming the column. */
export function lexFilter(text: string): Token[] {
  if (text.length > TEXT_MAX) {
    throw filterError('FILTER_SYNTAX', TEXT_MAX, 'the expression is too long', {
      accepted: `up to ${TEXT_MAX} characters`,
    });
  }
  const tokens: Token[] = [];
  const space = matcher(SPACE);
  let at = space(text, 0);
  while (at < text.length) {
    const token = nextToken(text, at);
    tokens.push(token.token);
    at += token.length;
    at += space(text, at);
  }
  tokens.push({ kind: 'end', text: '', value: 0, at: text.length });
  return tokens;
}

function nextToken(text: string, at: number): { token: Token; length: number } {
  let kind: TokenKind = 'end';
  let length = 0;
  for (const [candidate, measure] of RULES) {
    const size = measure(text, at);
    if (size > length) {
      kind = candidate;
      length = size;
    }
  }
  if (length === 0) {
    const found = JSON.stringify(text.charAt(at));
    throw filterError('FILTER_SYNTAX', at, 'no word of a filter expression starts so', { found });
  }
  const raw = text.slice(at, at + length);
  return { token: makeToken(kind, raw, at), length };
}

function makeToken(kind: TokenKind, raw: string, at: number): Token {
  const constant = kind === 'name' ? CONSTANTS.get(raw) : undefined;
  if (constant !== undefined) return { kind: 'number', text: raw, value: constant, at };
  if (kind === 'number') return { kind, text: raw, value: numberValue(raw, at), at };
  if (kind === 'word' || kind === 'operator') {
    const text = ALIASES.get(raw) ?? raw;
    return { kind: GRAMMAR_WORDS.has(text) ? 'word' : kind, text, value: 0, at };
  }
  const text = kind === 'name' && raw.startsWith('\\') ? raw.slice(1) : raw;
  return { kind, text, value: 0, at };
}

/** Decimal, 0x hexadecimal or 0 octal, at most 32 bits (libpcap's `stoulen`). */
function numberValue(raw: string, at: number): number {
  const hex = /^0[xX]/.test(raw);
  const octal = !hex && raw.length > 1 && raw.startsWith('0');
  if (octal && /[89]/.test(raw)) {
    throw filterError('FILTER_VALUE', at, 'a number with a leading 0 is octal', {
      found: raw,
      accepted: 'digits 0 to 7',
    });
  }
  const value = octal ? Number.parseInt(raw, 8) : Number(raw);
  if (value <= 0xffffffff) return value;
  throw filterError('FILTER_VALUE', at, 'the number does not fit 32 bits', { found: raw });
}
