/**
 * Gates on a benchmark that do not flake: exact counters are compared as they are, rates only by
 * interleaved rounds, and a rate fails only when its whole interval is on the wrong side.
 *
 * The interval of a median of ratios is that of order statistics (the sign test's): it asks nothing
 * of how the machine's noise is distributed, and draws nothing.
 * @module
 */
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';

/** What both sides of a comparison say of themselves; exact figures are equal on every machine. */
export interface BenchFigures {
  readonly pps: number;
  readonly counters: Readonly<Record<string, number>>;
}

export interface Threshold {
  readonly text: string;
  readonly metric: string;
  readonly operator: '>=' | '<=' | '>' | '<';
  readonly value: number;
  /** The value is a multiple of the base's. */
  readonly isRatio: boolean;
}

export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export type Judgement = 'pass' | 'fail' | 'undecided';

/** Rounds below which no two order statistics hold the median with 95 %. */
export const LEAST_ROUNDS = 6;

const PATTERN = /^([a-zA-Z]+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)(x|k|M|G)?$/;
const FACTORS: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 };

/**
 * Read `--threshold` options: `pps>=0.95x` against the base, `pps>=10M` or `walked<=100` by itself.
 * @param metrics that there are
 * @throws UserError with every mistake
 */
export function parseThresholds(
  texts: readonly string[],
  metrics: readonly string[],
  hasBase: boolean,
): readonly Threshold[] {
  const mistakes: Diagnostic[] = [];
  const field = '--threshold';
  const thresholds = texts.flatMap((text): readonly Threshold[] => {
    const [, metric = '', operator, digits = '', suffix = ''] = PATTERN.exec(text.trim()) ?? [];
    if (operator === undefined) {
      const accepted = 'METRIC>=VALUE or <=, VALUE with k, M, G, or x for a multiple of the base';
      const message = 'no threshold';
      mistakes.push({ code: 'BENCH_THRESHOLD', field, message, found: text, accepted });
      return [];
    }
    if (!metrics.includes(metric)) {
      const accepted = metrics.join(', ');
      const message = 'no such metric';
      mistakes.push({ code: 'BENCH_METRIC', field, message, found: metric, accepted });
    }
    const isRatio = suffix === 'x';
    if (isRatio && !hasBase) {
      const message = 'a multiple needs something to be a multiple of';
      mistakes.push({ code: 'BENCH_BASE', field, message, found: text, accepted: '--base PATH' });
    }
    const value = Number(digits) * (FACTORS[suffix] ?? 1);
    return [{ text, metric, operator: operator as Threshold['operator'], value, isRatio }];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return thresholds;
}

/** The metric `name` of one side; null when it has none of that name. */
export function figureOf(figures: BenchFigures, name: string): number | null {
  if (name === 'pps') return figures.pps;
  if (name === 'ns') return 1e9 / figures.pps;
  return figures.counters[name] ?? null;
}

/** Rates are noisy; everything else is a count. */
export function isExact(metric: string): boolean {
  return metric !== 'pps' && metric !== 'ns';
}

/**
 * The median and its 95 % interval.
 * @throws RangeError below `LEAST_ROUNDS`
 */
export function intervalOf(values: readonly number[]): Interval {
  const n = values.length;
  if (n < LEAST_ROUNDS) throw new RangeError(`${n} values have no interval`);
  const sorted = [...values].sort((a, b) => a - b);
  const at = (i: number) => sorted[i] ?? Number.NaN;
  // The chance that fewer than `rank` of n values fall below the median: Binomial(n, 1/2).
  let outside = 0;
  let term = 0.5 ** n;
  let rank = 0;
  for (;;) {
    outside += term;
    if (outside > 0.025) break;
    rank += 1;
    term = (term * (n - rank + 1)) / rank;
  }
  const half = n >>> 1;
  const median = n % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
  return { median, low: at(rank - 1), high: at(n - rank) };
}

/** Whether what was found keeps to the threshold; an interval across it decides nothing. */
export function judge({ operator, value }: Threshold, found: Interval): Judgement {
  const holds = (x: number) => {
    if (operator === '>=') return x >= value;
    if (operator === '<=') return x <= value;
    return operator === '>' ? x > value : x < value;
  };
  const [low, high] = [holds(found.low), holds(found.high)];
  if (low && high) return 'pass';
  return low || high ? 'undecided' : 'fail';
}

/** A count is its own interval. */
export function exactly(value: number): Interval {
  return { median: value, low: value, high: value };
}

/** One side over the other: what grows from nothing is infinitely more. */
export function ratio(head: number, base: number): number {
  return base === 0 && head === 0 ? 1 : head / base;
}
