/**
 * The table of ratios: what was measured on both sides, the goal, and whether it was reached. A peer
 * that is not there is a row, too, and says so.
 * @module
 */
import { formatTable } from '../../src/report/text/table.ts';

export interface Middle {
  readonly median: number;
  /** Median absolute deviation. */
  readonly mad: number;
  readonly samples: readonly number[];
}

export interface Goal {
  readonly against: string;
  readonly workload: string;
  readonly goal: number;
}

export interface Measured extends Goal {
  /** Millions of packets, lookups or connections a second of processor time. */
  readonly peer: Middle;
  readonly ours: Middle;
  /** Share of our packets that native code moved. */
  readonly hitRate: number;
  readonly note?: string;
}

export interface Unmeasured extends Goal {
  readonly missing: string;
}

export type Row = Measured | Unmeasured;

export function middle(samples: readonly number[]): Middle {
  const median = half(samples);
  return { median, mad: half(samples.map((one) => Math.abs(one - median))), samples };
}

function half(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = sorted.length >>> 1;
  const [low = 0, high = 0] = [sorted[at - 1], sorted[at]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

export function ratioOf({ ours, peer }: Measured): number {
  return ours.median / peer.median;
}

export function isReached(row: Row): boolean {
  return !('missing' in row) && ratioOf(row) >= row.goal;
}

export function formatRows(rows: readonly Row[]): string {
  const columns = ['AGAINST', 'WORKLOAD', 'PEER M/s', 'OURS M/s', 'NATIVE', 'RATIO', 'GOAL', ''];
  const cells = rows.map((row) => {
    const { against, workload, goal } = row;
    const wanted = `${goal}x`;
    if ('missing' in row) {
      return [against, workload, '-', '-', '-', '-', wanted, `NOT MEASURED: ${row.missing}`];
    }
    const note = row.note === undefined ? '' : `; ${row.note}`;
    return [
      ...[against, workload, said(row.peer), said(row.ours)],
      `${(row.hitRate * 100).toFixed(1)}%`,
      `${digits(ratioOf(row))}x`,
      wanted,
      `${isReached(row) ? 'reached' : 'NOT REACHED'}${note}`,
    ];
  });
  return formatTable({ columns, rows: cells });
}

function said({ median, mad }: Middle): string {
  return `${digits(median)} ±${digits(mad)}`;
}

function digits(n: number): string {
  if (n >= 100) return n.toFixed(0);
  return n >= 1 ? n.toFixed(2) : n.toPrecision(3);
}
