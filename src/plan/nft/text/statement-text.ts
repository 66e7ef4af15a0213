/**
 * Statements and rules as `nft list ruleset` prints them.
 *
 * Source: nftables 1.0.6 src/statement.c, src/expression.c.
 * @module
 */
import { isBitmask, type NftType, nftType } from '../../../netfilter/nft/datatype.ts';
import type { NftExpression } from '../../../netfilter/nft/expression.ts';
import type { NftFamily, NftRule } from '../../../netfilter/nft/ruleset.ts';
import type { NftRight, NftStatement, RejectCode } from '../../../netfilter/nft/statement.ts';
import { type SetsByName, typesOf } from '../../../netfilter/nft/type-of.ts';
import type { RejectWith } from '../../../netfilter/target.ts';
import { rejectWords } from '../parse/nat-parser.ts';
import { formatBits, formatDuration } from '../symbol.ts';
import { expressionText, isRaw, keyText, referenceText, verdictText } from './expression-text.ts';
import { stateText } from './state-text.ts';

/** What printing a rule needs of its table. */
export interface TableWords {
  readonly family: NftFamily;
  readonly sets: SetsByName;
}

/** A rule with its comment. */
export function ruleText(rule: NftRule, table: TableWords): string {
  const parts = rule.statements.map((statement) => statementText(statement, table));
  if (rule.comment !== undefined) parts.push(`comment "${rule.comment}"`);
  return parts.join(' ');
}

export function statementText(statement: NftStatement, table: TableWords): string {
  const text = (expression: NftExpression) => expressionText(expression, table.sets);
  switch (statement.kind) {
    case 'counter':
    case 'limit':
    case 'quota':
      return stateText(statement);
    case 'match':
      return matchText(statement, table);
    case 'verdict':
      return verdictText(statement.verdict);
    case 'vmap':
      return `${text(statement.key)} vmap ${referenceText(statement.map)}`;
    case 'object':
      return `${statement.object} name "${statement.name}"`;
    case 'mangle': {
      const { target } = statement;
      return `${text(target)} set ${valueText(statement.value, target, table)}`;
    }
    case 'snat':
    case 'dnat':
      return natText(statement, table);
    case 'masquerade':
    case 'redirect': {
      const to = statement.port === undefined ? '' : ` to ${portText(statement.port, table)}`;
      return `${statement.kind}${to}${flagsText(statement.flags)}`;
    }
    case 'reject':
      return rejectText(statement.code, table.family);
    case 'notrack':
      return 'notrack';
    case 'log':
    case 'note':
      return statement.text;
    case 'update':
      return updateText(statement, table);
  }
}

type MatchStatement = Extract<NftStatement, { kind: 'match' }>;

function matchText({ left, operator, right }: MatchStatement, table: TableWords): string {
  const [type] = typesOf(left, table.sets) ?? [];
  const isFlags = type !== undefined && isBitmask(type);
  if (isFlags && left.kind === 'bits' && left.operator === '&' && right.kind === 'key') {
    const [only] = right.key;
    if (only?.kind === 'value' && (operator === '==' || operator === '!=')) {
      return maskText(left, { type, operator, value: only.value }, table);
    }
  }
  // Without an operator flags mean some of them, and masked numbers need theirs to be read again.
  const isPlain = operator === '==' && left.kind !== 'bits' && !(isFlags && right.kind === 'key');
  const head = expressionText(left, table.sets);
  const written = right.kind === 'any' ? '!' : operator;
  const between = isPlain ? ' ' : ` ${written} `;
  return `${head}${between}${rightText(right, left, table)}`;
}

/** Flags of which only some count: one, none, or exactly these of those. */
function maskText(
  left: Extract<NftExpression, { kind: 'bits' }>,
  held: { readonly type: NftType; readonly operator: '==' | '!='; readonly value: bigint },
  { sets }: TableWords,
): string {
  const { type, operator, value } = held;
  const head = expressionText(left.left, sets);
  const of = formatBits(type, left.right, ',');
  if (value === 0n) return `${head} ${operator === '!=' ? '' : '! '}${of}`;
  const not = operator === '!=' ? '!= ' : '';
  return `${head} ${not}${formatBits(type, value, ',')} / ${of}`;
}

function rightText(right: NftRight, left: NftExpression, { sets }: TableWords): string {
  const types = typesOf(left, sets) ?? [];
  const [type] = types;
  if (right.kind === 'set') return referenceText(right.set);
  if (right.kind === 'any') return type === undefined ? '' : formatBits(type, right.bits, ',');
  const [only] = right.key;
  const isFlags = type !== undefined && isBitmask(type) && types.length === 1;
  if (isFlags && only?.kind === 'value') return formatBits(type, only.value, ',');
  const isMasked = isRaw(left) && only?.kind === 'value';
  return isMasked ? `0x${only.value.toString(16)}` : keyText(right.key, types);
}

function valueText(value: NftExpression, target: NftExpression, table: TableWords): string {
  if (value.kind !== 'constant') return expressionText(value, table.sets);
  return keyText(value.key, typesOf(target, table.sets) ?? []);
}

function portText(port: NftExpression, { sets }: TableWords): string {
  if (port.kind !== 'constant') return expressionText(port, sets);
  return `:${keyText(port.key, [nftType('inet_service')])}`;
}

function flagsText(flags: readonly string[]): string {
  return flags.length === 0 ? '' : ` ${flags.join(',')}`;
}

type NatStatement = Extract<NftStatement, { kind: 'snat' | 'dnat' }>;

function natText(statement: NatStatement, table: TableWords): string {
  const { kind, address, port, flags, prefix } = statement;
  const own = table.family === 'inet' ? 'ip' : table.family;
  const family = statement.family ?? own;
  const chosen = address?.kind === 'map' && hasPortOrRange(address, table);
  const says = statement.family !== undefined || chosen;
  const head = [kind, ...(says ? [family] : []), ...(prefix ? ['prefix'] : []), 'to'].join(' ');
  const to = address === undefined ? '' : addressText(address, family, port !== undefined, table);
  const behind = port === undefined ? '' : portText(port, table);
  return `${head} ${to}${behind}${flagsText(flags)}`;
}

function hasPortOrRange(
  { map }: Extract<NftExpression, { kind: 'map' }>,
  { sets }: TableWords,
): boolean {
  const set = map.kind === 'anonymous' ? map.set : sets(map.name);
  if ((set?.data?.length ?? 0) > 1) return true;
  return set?.elements.some(({ data }) => data?.[0]?.kind !== 'value') ?? false;
}

function addressText(
  address: NftExpression,
  family: 'ip' | 'ip6',
  hasPort: boolean,
  { sets }: TableWords,
): string {
  if (address.kind !== 'constant') return expressionText(address, sets);
  const type = nftType(family === 'ip' ? 'ipv4_addr' : 'ipv6_addr');
  const text = keyText(address.key, [type]);
  if (family === 'ip' || !hasPort) return text;
  return text
    .split('-')
    .map((one) => `[${one}]`)
    .join('-');
}

function rejectText(code: RejectCode, family: NftFamily): string {
  switch (code.kind) {
    case 'tcp-reset':
      return 'reject with tcp reset';
    case 'icmpx':
      if (code.code === 'port-unreachable') return 'reject';
      return `reject with icmpx ${code.code}`;
    default:
      // What no word means in tables of one family.
      if (code.with === PLAIN[family]) return 'reject';
      return `reject with ${code.kind} ${rejectWords(code.kind, code.with)}`;
  }
}

const PLAIN: Partial<Readonly<Record<NftFamily, RejectWith>>> = {
  ip: 'icmp-port-unreachable',
  ip6: 'icmp6-port-unreachable',
};

type UpdateStatement = Extract<NftStatement, { kind: 'update' }>;

function updateText(statement: UpdateStatement, table: TableWords): string {
  const { operation, set, key, timeoutMs, state, data } = statement;
  const parts = [expressionText(key, table.sets)];
  if (timeoutMs !== undefined) parts.push(`timeout ${formatDuration(timeoutMs)}`);
  // A counter that starts at nothing is printed as it is written.
  for (const one of state) parts.push(one.kind === 'counter' ? 'counter' : stateText(one));
  if (data !== undefined) {
    const types = table.sets(set)?.data ?? [];
    const constant = data.kind === 'constant' ? keyText(data.key, types) : '';
    parts.push(':', constant === '' ? expressionText(data, table.sets) : constant);
  }
  return `${operation} @${set} { ${parts.join(' ')} }`;
}
