/**
 * Gates on a benchmark: how sure a median is of itself, which thresholds are understood, and when
 * they fail.
 * @module
 */
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import {
  exactly,
  type Interval,
  intervalOf,
  judge,
  parseThresholds,
  ratio,
} from '../../src/lab/bench/gate.ts';

const METRICS = ['pps', 'walked'];

t.test('the interval of a median is that of the order statistics', async (t) => {
  // Ranks from tables of the sign test, two-sided, at least 95 %: n, lower rank, upper rank.
  const rows: readonly (readonly [number, number, number])[] = [
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [10, 2, 9],
    [15, 4, 12],
    [20, 6, 15],
  ];
  for (const [n, low, high] of rows) {
    const ranks = Array.from({ length: n }, (_, i) => i + 1);
    const turned = ranks.map((rank, i) => ranks[(i * 7 + 3) % n] ?? rank);
    const found = intervalOf(turned);
    t.same([found.low, found.high], [low, high], `${n} values`);
    t.equal(found.median, (n + 1) / 2, `${n} values`);
  }
  t.throws(() => intervalOf([1, 2, 3, 4, 5]), RangeError, 'five are too few');
});

t.test('a rate fails its gate only when its whole interval does', async (t) => {
  const [threshold] = parseThresholds(['pps>=0.95x'], METRICS, true);
  const rows: readonly (readonly [Interval, string])[] = [
    [{ low: 0.96, median: 1, high: 1.1 }, 'pass'],
    [{ low: 0.95, median: 1, high: 1.1 }, 'pass'],
    [{ low: 0.9, median: 0.94, high: 0.96 }, 'undecided'],
    [{ low: 0.8, median: 0.9, high: 0.94 }, 'fail'],
  ];
  for (const [interval, expected] of rows) {
    t.equal(threshold && judge(threshold, interval), expected, JSON.stringify(interval));
  }
});

t.test('thresholds are absolute with a unit, or multiples of the base', async (t) => {
  const read = (text: string) => parseThresholds([text], METRICS, true)[0];
  t.match(read('pps >= 10M'), { metric: 'pps', operator: '>=', value: 1e7, isRatio: false });
  t.match(read('walked<1.5k'), { metric: 'walked', operator: '<', value: 1500, isRatio: false });
  t.match(read('walked<=1x'), { metric: 'walked', operator: '<=', value: 1, isRatio: true });
  const strict = parseThresholds(['walked<3', 'walked>3'], METRICS, false);
  const judged = strict.map((threshold) => judge(threshold, exactly(3)));
  t.same(judged, ['fail', 'fail'], 'neither holds of the value itself');
});

t.test('every wrong threshold is told', async (t) => {
  const wrong = () => parseThresholds(['pps>=1x', 'speed>=1', 'fast'], METRICS, false);
  t.throws(wrong, UserError);
  try {
    wrong();
  } catch (error) {
    const codes = (error as UserError).diagnostics.map(({ code }) => code);
    t.same(codes, ['BENCH_BASE', 'BENCH_METRIC', 'BENCH_THRESHOLD']);
  }
});

t.test('what grows from nothing is infinitely more', async (t) => {
  t.equal(ratio(0, 0), 1);
  t.equal(ratio(3, 0), Number.POSITIVE_INFINITY);
  t.equal(ratio(3, 4), 0.75);
});
