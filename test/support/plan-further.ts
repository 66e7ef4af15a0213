/**
 * fast-check arbitraries of the matches of netfilter/further-match.ts, in the form in which the tools
 * print them back.
 * @module
 */
import fc from 'fast-check';
import {
  CHUNK_MODES,
  type ChunkTypes,
  CONNBYTES_DIRECTIONS,
  CONNBYTES_MODES,
} from '../../src/netfilter/further-match.ts';
import type { Match } from '../../src/netfilter/match.ts';
import { byte, negatable, type RuleScope, rangeOf, u32 } from './plan-values.ts';

const flag = fc.boolean();

/** Quotas, counts, bytes, clocks and sockets. */
export function furtherMatches({ table }: RuleScope): fc.Arbitrary<Match>[] {
  const number = fc.nat(2 ** 31 - 1);
  const step = fc.oneof(
    fc.record({ operation: fc.constantFrom('and' as const, 'at' as const), number: u32 }),
    fc.record({
      operation: fc.constantFrom('left' as const, 'right' as const),
      number: fc.nat(31),
    }),
  );
  const test = fc.record({
    start: fc.nat(100),
    steps: fc.array(step, { maxLength: 3 }),
    ranges: fc.array(rangeOf(u32), { minLength: 1, maxLength: 3 }),
  });
  const u32Match = fc.record({
    kind: fc.constant('u32' as const),
    tests: fc.array(test, { minLength: 1, maxLength: 3 }),
    negate: flag,
  });
  const quota = fc.record({ kind: fc.constant('quota' as const), bytes: number, negate: flag });
  return [quota, connbytes(number), u32Match, time(), string(), ...sockets(table)];
}

/** A negated range of one number loses its `!` on the way. */
function connbytes(number: fc.Arbitrary<number>): fc.Arbitrary<Match> {
  return fc
    .record({
      range: rangeOf(number),
      direction: fc.constantFrom(...CONNBYTES_DIRECTIONS),
      mode: fc.constantFrom(...CONNBYTES_MODES),
      negate: flag,
    })
    .map(({ range: { low, high }, negate, ...rest }) => {
      const only = negate && low !== high;
      return { kind: 'connbytes', from: low, to: high, negate: only, ...rest };
    });
}

function time(): fc.Arbitrary<Match> {
  const day = (last: number) =>
    fc
      .subarray(
        Array.from({ length: last }, (_, i) => i + 1),
        { minLength: 1 },
      )
      .filter((days) => days.length < last);
  return fc
    .record(
      {
        dates: rangeOf(fc.integer({ min: 1, max: 0x7fffffff })),
        dayStart: fc.nat(86_399),
        dayStop: fc.nat(86_399),
        monthDays: day(31),
        weekDays: day(7),
        contiguous: flag,
        kernelZone: flag,
      },
      { requiredKeys: ['dates', 'dayStart', 'dayStop', 'contiguous', 'kernelZone'] },
    )
    .map(({ dates, contiguous, ...rest }) => ({
      kind: 'time',
      dateStart: dates.low,
      dateStop: dates.high,
      contiguous: contiguous && rest.dayStart >= rest.dayStop,
      ...rest,
    }));
}

function string(): fc.Arbitrary<Match> {
  return fc
    .record({
      algorithm: fc.constantFrom('bm' as const, 'kmp' as const),
      range: rangeOf(fc.integer({ min: 1, max: 0xfffe })),
      pattern: fc.array(fc.oneof(byte, fc.integer({ min: 0x21, max: 0x7e })), {
        minLength: 1,
        maxLength: 20,
      }),
      ignoreCase: flag,
      negate: flag,
    })
    .map(({ range, ...rest }) => ({ kind: 'string', from: range.low, to: range.high, ...rest }));
}

function sockets(table: RuleScope['table']): fc.Arbitrary<Match>[] {
  const socket = fc.record({
    kind: fc.constant('socket' as const),
    transparent: flag,
    nowildcard: flag,
    restoreMark: fc.constant(false),
  });
  const policy = fc.constantFrom<Match>(
    { kind: 'policy', direction: 'in', policy: 'none', strict: false, element: '' },
    { kind: 'policy', direction: 'in', policy: 'ipsec', strict: false, element: '--proto esp' },
    {
      kind: 'policy',
      direction: 'out',
      policy: 'ipsec',
      strict: true,
      element: '! --reqid 5 --mode transport',
    },
  );
  const cgroup = negatable(u32).map(
    ({ value, negate }): Match => ({ kind: 'cgroup', group: { classId: value }, negate }),
  );
  return table === 'mangle' ? [socket, policy, cgroup] : [policy, cgroup];
}

const TYPES = [0, 1, 3, 6, 12, 14, 128, 192, 193] as const;

/** Chunks by number; only DATA, ABORT and SHUTDOWN COMPLETE have flags that can be named. */
export const chunkTypes: fc.Arbitrary<ChunkTypes> = fc
  .tuple(fc.constantFrom(...CHUNK_MODES), fc.subarray([...TYPES], { minLength: 1 }), byte, byte)
  .map(([mode, types, mask, set]) => {
    const named = (type: number) => (type === 0 ? mask & 0x0f : type === 6 ? mask & 1 : 0);
    const chunks = types.map((type) => {
      const bits = named(type);
      return bits === 0 ? { type } : { type, flags: { mask: bits, set: set & bits } };
    });
    return { mode, chunks };
  });

export const dccpTypes = fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], { minLength: 1 });
