/**
 * Text and reading of xt_string.
 *
 * Source: iptables 1.8.9, extensions/libxt_string.c `parse_hex_string`, `string_save`.
 * @module
 */
import type { FurtherMatch } from '../../netfilter/further-match.ts';
import type { Match } from '../../netfilter/match.ts';
import { type Extension, OptionFault, oneOf, u16 } from '../rule/option-reader.ts';
import { negated, words } from './match-words.ts';

/** XT_STRING_MAX_PATTERN_SIZE. */
const MAX_PATTERN = 128;
/** The default of `--to`, which is not written. */
const NO_END = 65_535;

export function formatString(match: Extract<FurtherMatch, { kind: 'string' }>): string {
  const { pattern, algorithm, from, to, ignoreCase } = match;
  const isText = pattern.every((byte) => byte >= 0x20 && byte < 0x7f) && pattern.at(-1) !== 0x5c;
  const text = isText
    ? `--string "${String.fromCharCode(...pattern).replaceAll(/["\\]/g, '\\$&')}"`
    : `--hex-string "|${pattern.map(twoDigits).join('')}|"`;
  return words(
    `-m string ${negated(match)}${text} --algo ${algorithm}`,
    from !== 0 && `--from ${from}`,
    to !== NO_END && `--to ${to}`,
    ignoreCase && '--icase',
  );
}

function twoDigits(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

export const string: Extension<Match> = {
  options: [
    { name: '--string', values: 1, negatable: true },
    { name: '--hex-string', values: 1, negatable: true },
    { name: '--algo', values: 1 },
    { name: '--from', values: 1 },
    { name: '--to', values: 1 },
    { name: '--icase', values: 0 },
  ],
  read(given) {
    const text = given.one('--string', (words) => [...new TextEncoder().encode(words)]);
    const found = text ?? given.needed('--hex-string', hexString);
    if (text && given.has('--hex-string')) {
      throw new OptionFault('--string and --hex-string exclude each other');
    }
    const { value, negate } = found;
    if (value.length === 0 || value.length > MAX_PATTERN) {
      throw new OptionFault(`a pattern has 1 to ${MAX_PATTERN} bytes`);
    }
    return {
      kind: 'string',
      algorithm: given.needed('--algo', oneOf(['bm', 'kmp'])).value,
      from: given.one('--from', u16)?.value ?? 0,
      to: given.one('--to', u16)?.value ?? NO_END,
      pattern: value,
      ignoreCase: given.has('--icase'),
      negate,
    };
  },
};

/** Text with bytes between bars: `GET |0d 0a|`; a backslash takes the next character as it is. */
function hexString(text: string): readonly number[] {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; ) {
    if (text[i] === '|') {
      const end = text.indexOf('|', i + 1);
      const digits = text.slice(i + 1, end).replaceAll(/\s/g, '');
      if (end < 0 || digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) {
        throw new OptionFault('not hexadecimal', text, '|0d0a|');
      }
      for (let at = 0; at < digits.length; at += 2) {
        bytes.push(Number.parseInt(digits.slice(at, at + 2), 16));
      }
      i = end + 1;
    } else {
      if (text[i] === '\\') i++;
      const character = String.fromCodePoint(text.codePointAt(i) ?? 0);
      bytes.push(...new TextEncoder().encode(character));
      i += character.length;
    }
  }
  return bytes;
}
