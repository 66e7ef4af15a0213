/**
 * Constants of nft: what a key is held against, in the words of its types.
 * @module
 */
import { isBitmask, type NftType } from '../../../netfilter/nft/datatype.ts';
import type { NftKey, NftPattern } from '../../../netfilter/nft/expression.ts';
import { parsePattern, parseValue } from '../symbol.ts';
import type { Cursor } from './cursor.ts';

/** Patterns of a key, between dots. */
export function parseKey(at: Cursor, types: readonly NftType[]): NftKey {
  return types.map((type, i) => {
    if (i > 0) at.expect('.');
    return parseOne(at, type);
  });
}

function parseOne(at: Cursor, type: NftType): NftPattern {
  const token = at.peek();
  if (token.kind !== 'word' && token.kind !== 'string') {
    at.fail('a value must stand here', token.text);
  }
  const pattern = parsePattern(type, token.text);
  if (pattern === null) at.fail(`not a value of type ${type.name}`, token.text);
  at.next();
  if (pattern.kind !== 'value' || !isBitmask(type)) return pattern;
  let { value } = pattern;
  while (at.takes('|')) {
    const more = parseValue(type, at.peek().text);
    if (more === null) at.fail(`not a value of type ${type.name}`, at.peek().text);
    at.next();
    value |= more;
  }
  return { kind: 'value', value };
}
