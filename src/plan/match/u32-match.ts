/**
 * Text and reading of xt_u32: `[!] --u32 "LOCATION=RANGES&&LOCATION=RANGES"`, where a location is a
 * number and then any of `&`, `<<`, `>>` and `@` with a number each.
 *
 * Source: iptables 1.8.9, extensions/libxt_u32.c `u32_parse`, `u32_dump`; limits are those of
 * uapi/linux/netfilter/xt_u32.h.
 * @module
 */
import type { FurtherMatch, U32Step, U32Test } from '../../netfilter/further-match.ts';
import type { Match } from '../../netfilter/match.ts';
import { type Extension, OptionFault, u32, whole } from '../rule/option-reader.ts';
import { hex, negated } from './match-words.ts';

const OPERATIONS = [
  ['<<', 'left'],
  ['>>', 'right'],
  ['&', 'and'],
  ['@', 'at'],
] as const;

/** XT_U32_MAXSIZE: tests, numbers of a location, ranges of a test. */
const MAX_SIZE = 10;

export function formatU32(match: Extract<FurtherMatch, { kind: 'u32' }>): string {
  return `-m u32 ${negated(match)}--u32 "${match.tests.map(formatTest).join('&&')}"`;
}

function formatTest({ start, steps, ranges }: U32Test): string {
  const way = steps.map(({ operation, number }) => {
    const sign = OPERATIONS.find(([, name]) => name === operation)?.[0] ?? '';
    return sign + hex(number);
  });
  const text = ranges.map(({ low, high }) =>
    low === high ? hex(low) : `${hex(low)}:${hex(high)}`,
  );
  return `${hex(start)}${way.join('')}=${text.join(',')}`;
}

export const u32Match: Extension<Match> = {
  options: [{ name: '--u32', values: 1, negatable: true }],
  read(given) {
    const { value, negate } = given.needed('--u32', parseTests);
    return { kind: 'u32', tests: value, negate };
  },
};

/** The kernel refuses to shift by the whole word or more. */
const shiftBits = whole(0, 31);

function parseTests(text: string): readonly U32Test[] {
  const tests = text.replaceAll(/\s/g, '').split('&&').map(parseTest);
  if (tests.length > MAX_SIZE) throw new OptionFault('too many tests', text, `at most ${MAX_SIZE}`);
  return tests;
}

function parseTest(text: string): U32Test {
  const [location = '', values, ...rest] = text.split('=');
  if (values === undefined || rest.length > 0) {
    throw new OptionFault('not a test of u32', text, 'LOCATION=VALUES');
  }
  const [first = '', ...words] = location.split(/(<<|>>|&|@)/);
  const steps: U32Step[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const operation = OPERATIONS.find(([sign]) => sign === words[i])?.[1] ?? 'and';
    const isShift = operation === 'left' || operation === 'right';
    steps.push({ operation, number: (isShift ? shiftBits : u32)(words[i + 1] ?? '') });
  }
  const ranges = values.split(',').map((range) => {
    const [low = '', high = low, ...more] = range.split(':');
    if (more.length > 0) throw new OptionFault('not a range', range);
    return { low: u32(low), high: u32(high) };
  });
  if (steps.length >= MAX_SIZE || ranges.length > MAX_SIZE) {
    throw new OptionFault('too long a test', text, `${MAX_SIZE} numbers and ${MAX_SIZE} ranges`);
  }
  return { start: u32(first), steps, ranges };
}
