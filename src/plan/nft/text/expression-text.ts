/**
 * Expressions, keys and sets as `nft list ruleset` prints them.
 *
 * Source: nftables 1.0.6 src/expression.c, src/payload.c, src/rule.c `set_print`.
 * @module
 */
import { isBitmask, type NftType } from '../../../netfilter/nft/datatype.ts';
import type { NftExpression, NftKey } from '../../../netfilter/nft/expression.ts';
import type { NftElement, NftSet, NftSetReference } from '../../../netfilter/nft/ruleset.ts';
import type { NftVerdict } from '../../../netfilter/nft/statement.ts';
import { type SetsByName, typesOf } from '../../../netfilter/nft/type-of.ts';
import { formatBits, formatDuration, formatPattern, formatValue } from '../symbol.ts';
import { stateText } from './state-text.ts';

/** Keys of meta that are printed without the word. */
const BARE: ReadonlySet<string> = new Set(['iif', 'oif', 'iifname', 'oifname']);

export function expressionText(expression: NftExpression, sets: SetsByName): string {
  switch (expression.kind) {
    case 'meta':
      return BARE.has(expression.key) ? expression.key : `meta ${expression.key}`;
    case 'ct':
      return words('ct', expression.direction, expression.family, expression.key);
    case 'payload':
      return `${expression.protocol} ${expression.field}`;
    case 'raw':
      return `@${expression.base},${expression.offset},${expression.length}`;
    case 'fib': {
      const result = expression.result === 'check' ? 'oif' : expression.result;
      return `fib ${expression.flags.join(' . ')} ${result}`;
    }
    case 'numgen':
    case 'jhash':
      return drawText(expression, sets);
    case 'bits':
      return bitsText(expression, sets);
    case 'concat':
      return expression.parts.map((part) => expressionText(part, sets)).join(' . ');
    case 'constant':
      return expression.key.length === 0 ? '' : 'constant';
    case 'map':
      return `${expressionText(expression.key, sets)} map ${referenceText(expression.map)}`;
  }
}

function words(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' ');
}

function drawText(
  expression: Extract<NftExpression, { kind: 'numgen' | 'jhash' }>,
  sets: SetsByName,
): string {
  const { modulus, offset } = expression;
  const behind = offset === 0 ? '' : ` offset ${offset}`;
  if (expression.kind === 'numgen') return `numgen ${expression.mode} mod ${modulus}${behind}`;
  const of = expressionText(expression.of, sets);
  return `jhash ${of} mod ${modulus} seed 0x${expression.seed.toString(16)}${behind}`;
}

function bitsText(expression: Extract<NftExpression, { kind: 'bits' }>, sets: SetsByName): string {
  const { left, operator, right } = expression;
  const [type] = typesOf(left, sets) ?? [];
  const isShift = operator === '<<' || operator === '>>';
  const text = isRaw(left) && !isShift ? hex(right) : operandText(type, right, isShift);
  return `${expressionText(left, sets)} ${operator} ${text}`;
}

function operandText(type: NftType | undefined, value: bigint, isShift: boolean): string {
  if (type === undefined || isShift) return value.toString();
  if (isBitmask(type)) {
    const text = formatBits(type, value, ' | ');
    return text.includes(' ') ? `(${text})` : text;
  }
  return formatValue(type, value);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** Are these bits of no named field? They are printed as they lie. */
export function isRaw(expression: NftExpression): boolean {
  return expression.kind === 'bits' ? isRaw(expression.left) : expression.kind === 'raw';
}

/** Patterns of a key between dots. */
export function keyText(key: NftKey, types: readonly NftType[]): string {
  return key.map((one, i) => patternOf(types[i], one)).join(' . ');
}

function patternOf(type: NftType | undefined, pattern: NftKey[number]): string {
  return type === undefined ? '' : formatPattern(type, pattern);
}

export function verdictText(verdict: NftVerdict): string {
  return 'chain' in verdict ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
}

/** `@name`, or the elements in braces. */
export function referenceText(reference: NftSetReference): string {
  if (reference.kind === 'named') return `@${reference.name}`;
  const { set } = reference;
  return `{ ${set.elements.map((element) => elementText(element, set)).join(', ')} }`;
}

/** One element with what it remembers and what it stands for. */
export function elementText(element: NftElement, set: NftSet): string {
  const { key, data, verdict, timeoutMs, expiresMs, comment, state = [] } = element;
  const head = words(
    key === null ? '*' : keyText(key, set.type),
    ...state.map((one) => stateText(one)),
    timeoutMs === undefined ? undefined : `timeout ${formatDuration(timeoutMs)}`,
    expiresMs === undefined ? undefined : `expires ${formatDuration(expiresMs)}`,
    comment === undefined ? undefined : `comment "${comment}"`,
  );
  if (verdict !== undefined) return `${head} : ${verdictText(verdict)}`;
  return data === undefined ? head : `${head} : ${keyText(data, set.data ?? [])}`;
}
