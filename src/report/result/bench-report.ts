/**
 * What `bench` found, as a table, as JSON, and in the forms that store benchmarks over time:
 * github-action-benchmark (`customBiggerIsBetter` of its README: name, unit, value, range, extra)
 * and Bencher (its Metric Format: measures by name of benchmark, with lower and upper value).
 * @module
 */
import { figureOf, type Interval, isExact, type Judgement } from '../../lab/bench/gate.ts';
import type { Spread } from '../../lab/bench/measure.ts';
import type { OutputRequest } from '../formats.ts';
import { resultHead } from '../json-shape.ts';
import { formatTable } from '../text/table.ts';

export const BENCH_FORMATS = ['table', 'json', 'github-action-benchmark', 'bencher'] as const;
export type BenchFormat = (typeof BENCH_FORMATS)[number];

export interface BenchRow {
  readonly name: string;
  readonly engine: string;
  readonly workers: number;
  readonly packets: number;
  readonly pps: Spread;
  readonly nsPerPacket: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly digest: string;
  readonly checked: number;
}

/** One metric beside the base's. */
export interface MetricRow {
  readonly metric: string;
  readonly base: number | null;
  readonly head: number;
  /** Head over base; null without a base. */
  readonly ratio: Interval | null;
  readonly gates: readonly { readonly text: string; readonly judgement: Judgement }[];
}

export interface BenchReport {
  readonly stack: string;
  readonly seed: number;
  readonly row: BenchRow;
  /** What it was compared with, in words; null without. */
  readonly base: { readonly text: string; readonly rounds: number; readonly digest: string } | null;
  readonly metrics: readonly MetricRow[];
}

/** The report in the form asked for. */
export function benchText(report: BenchReport, { format }: OutputRequest<BenchFormat>): string {
  if (format === 'table') return asTable(report);
  if (format === 'json') return `${JSON.stringify(asJson(report), null, 1)}\n`;
  const stored = format === 'bencher' ? asBencher(report) : asActionBenchmark(report);
  return `${JSON.stringify(stored, null, 1)}\n`;
}

function asJson({ stack, seed, row, base, metrics }: BenchReport): object {
  const head = resultHead('BenchResult', row.engine, seed);
  const gated = metrics.length === 0 ? {} : { metrics };
  const counts = { cases: 1, packets: row.packets };
  return { ...head, stack, inputs: [], counts, cases: [row], ...(base && { base }), ...gated };
}

function asActionBenchmark({ stack, row }: BenchReport): object {
  const extra = `${list(row.counters)}; digest ${row.digest}`;
  const { median, mad } = row.pps;
  const name = `${row.name}, ${stack}`;
  const range = `± ${Math.round(mad)}`;
  return [{ name, unit: 'packets/s', value: Math.round(median), range, extra }];
}

function asBencher({ stack, row }: BenchReport): object {
  const { median, min, max } = row.pps;
  const counts = Object.entries(row.counters).map(([name, value]) => [name, { value }] as const);
  const measures = {
    throughput: { value: median, lower_value: min, upper_value: max },
    latency: { value: 1e9 / median, lower_value: 1e9 / max, upper_value: 1e9 / min },
    ...Object.fromEntries(counts),
  };
  return { [`${row.name}, ${stack}`]: measures };
}

function asTable(report: BenchReport): string {
  const { stack, row, base, metrics } = report;
  const { pps, counters, outcomes } = row;
  const million = (n: number) => (n / 1e6).toFixed(2);
  const text = formatTable({
    columns: ['WHAT', 'FOUND'],
    rows: [
      ['traffic', row.name],
      ['Mpps, median', million(pps.median)],
      ['Mpps, min to max', `${million(pps.min)} to ${million(pps.max)}`],
      ['Mpps, deviation', million(pps.mad)],
      ['ns a packet', row.nsPerPacket.toFixed(1)],
      ['outcomes of a sample', list(outcomes)],
      ['counters of the run', list(counters)],
      ['equal to the reference', `${row.checked} packets, digest ${row.digest}`],
    ],
  });
  const head = `BENCH  on ${stack}  (${row.engine} engine, ${workersText(row.workers)})\n\n${text}`;
  if (base === null && metrics.length === 0) return head;
  const verdicts =
    base === null || base.digest === row.digest
      ? ''
      : `\nThe verdicts differ from the base's (digest ${base.digest}).\n`;
  const about = base === null ? '' : `\nAgainst ${base.text}, ${base.rounds} interleaved rounds\n`;
  return `${head}${about}\n${metricTable(metrics)}${verdicts}`;
}

function metricTable(metrics: readonly MetricRow[]): string {
  const rows = metrics.map(({ metric, base, head, ratio, gates }) => {
    const number = (n: number | null) => (n === null ? '' : formatFigure(metric, n));
    const gate = gates.map(({ text, judgement }) => `${judgement} (${text})`).join(', ');
    return [metric, number(base), number(head), ratioText(metric, ratio), gate];
  });
  return formatTable({ columns: ['METRIC', 'BASE', 'HEAD', 'RATIO [95 % CI]', 'GATE'], rows });
}

function formatFigure(metric: string, value: number): string {
  return metric === 'ns' ? value.toFixed(1) : String(Math.round(value));
}

function ratioText(metric: string, ratio: Interval | null): string {
  if (ratio === null) return '';
  const { median, low, high } = ratio;
  if (isExact(metric)) return `${median.toFixed(3)} (exact)`;
  return `${median.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
}

function list(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ');
}

function workersText(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`;
}

/** The figures of a row that gates speak of. */
export function figuresOf(row: BenchRow, metric: string): number {
  const figure = figureOf({ pps: row.pps.median, counters: row.counters }, metric);
  if (figure === null) throw new RangeError(`a bench row has no ${metric}`);
  return figure;
}
