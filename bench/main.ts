/**
 * All trials, each in its own process: `npm run bench [-- --only TEXT] [--all] [--samples N]`.
 *
 * A trial whose digest is not the reference engine's prints no figure and fails the run. The table
 * goes to standard output, rows to bench/results/DATE.json with `--write`; the last line is one
 * number, the headline trial's median in millions of packets a second.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Interval } from '../src/lab/bench/gate.ts';
import { formatTable } from '../src/report/text/table.ts';
import type { EpochFigures } from './epochs.ts';
import { onlyNamed } from './only.ts';
import { HEADLINE, TRIALS } from './trials.ts';

interface Row {
  readonly name: string;
  readonly pps: { readonly median: number; readonly min: number; readonly max: number };
  readonly nsPerPacket: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly hits: { readonly moved: number; readonly walked: number };
  /** Packets that both engines were asked about. */
  readonly checked: number;
  readonly rssBytes: number;
  /** Time a packet, of this over `base`, measured in turns. */
  readonly ratio?: Interval;
  readonly base?: Row;
  /** Of a trial by several threads: how many times as fast as by one. */
  readonly apart?: { readonly threads: number; readonly cpu: Interval; readonly wall: Interval };
  /** Of a trial in which plans change each second. */
  readonly epochs?: EpochFigures;
}

const TRIAL = fileURLToPath(new URL('./trial.js', import.meta.url));
const MAX_OUTPUT = 64 * 1024 * 1024;

function runTrial(index: number, samples: string): Row | null {
  const args = ['--max-old-space-size=8192', TRIAL, String(index), samples];
  const ran = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: MAX_OUTPUT });
  if (ran.status === 0) return JSON.parse(ran.stdout) as Row;
  process.stderr.write(`${TRIALS[index]?.name}: no figure\n${ran.stderr.slice(-2000)}\n`);
  process.exitCode = 1;
  return null;
}

function million(n: number): string {
  return (n / 1e6).toFixed(2);
}

/** Hits are of the samples: packets whose connection or combination of facts was met before. */
function figures(rows: readonly Row[]): string {
  const columns = [
    ...['TRIAL', 'Mpps MEDIAN', 'MIN', 'MAX', 'ns', 'HITS', 'WALKED', 'CHECKED'],
    ...['CONNECTIONS', 'TABLE MiB', 'RESIDENT MiB'],
  ];
  const cells = rows.map(({ name, pps, nsPerPacket, counters, hits, checked, rssBytes }) => {
    const { moved, walked } = hits;
    const { connections = 0, tableBytes = 0 } = counters;
    const rate = `${((100 * moved) / Math.max(1, moved + walked)).toFixed(3)} %`;
    const spread = [pps.median, pps.min, pps.max].map(million);
    const sizes = [tableBytes, rssBytes].map((bytes) => (bytes / 2 ** 20).toFixed(1));
    return [
      ...[name, ...spread, nsPerPacket.toFixed(1), rate, walked, checked],
      ...[connections, ...sizes],
    ];
  });
  return formatTable({ columns, rows: cells });
}

function ratioTable(rows: readonly Row[]): string {
  const columns = ['RATIO', 'ns', 'ns OF BASE', 'TIMES', '95 % FROM', 'TO', 'TABLE MiB', 'OF BASE'];
  const cells = rows.map(({ name, nsPerPacket, counters, ratio, base }) => {
    const sides = [nsPerPacket, base?.nsPerPacket ?? 0].map((ns) => ns.toFixed(2));
    const times = [ratio?.median, ratio?.low, ratio?.high].map((x) => x?.toFixed(3) ?? '');
    const tables = [counters, base?.counters].map((c) =>
      ((c?.['tableBytes'] ?? 0) / 2 ** 20).toFixed(1),
    );
    return [name, ...sides, ...times, ...tables];
  });
  return formatTable({ columns, rows: cells });
}

function apartTable(rows: readonly Row[]): string {
  const columns = ['THREADS OVER ONE', 'THREADS', 'BY CPU', '95 % FROM', 'TO', 'BY WALL'];
  const cells = rows.flatMap(({ name, apart }) => {
    if (apart === undefined) return [];
    const { threads, cpu, wall } = apart;
    const times = [cpu.median, cpu.low, cpu.high, wall.median].map((x) => `${x.toFixed(2)}×`);
    return [[name, threads, ...times]];
  });
  return formatTable({ columns, rows: cells });
}

/** Milliseconds of processor time a second of traffic. */
function epochTable(rows: readonly Row[]): string {
  const columns = ['EPOCHS', 'RENDER ms', 'PACKETS ms', 'OF A QUIET SECOND', 'WALKED'];
  const cells = rows.flatMap(({ name, epochs }) => {
    if (epochs === undefined) return [];
    const { renderMs, packetsMs, quietMs, walkedAnEpoch } = epochs;
    return [[name, ...[renderMs, packetsMs, quietMs].map((ms) => ms.toFixed(0)), walkedAnEpoch]];
  });
  return formatTable({ columns, rows: cells });
}

function main(): void {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      all: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      samples: { type: 'string', default: '10' },
    },
  });
  const offered = [...TRIALS.entries()].filter(([, { isLarge }]) => values.all || !isLarge);
  const chosen = onlyNamed(offered, values.only, ([, { name }]) => name);
  const rows: Row[] = [];
  for (const [index, { name }] of chosen) {
    process.stderr.write(`${name} …\n`);
    const row = runTrial(index, values.samples);
    if (row !== null) rows.push(row);
  }
  process.stdout.write(figures(rows));
  const ratios = rows.filter(({ ratio }) => ratio !== undefined);
  if (ratios.length > 0) process.stdout.write(`\n${ratioTable(ratios)}`);
  const apart = rows.filter((row) => row.apart !== undefined);
  if (apart.length > 0) process.stdout.write(`\n${apartTable(apart)}`);
  const epochs = rows.filter((row) => row.epochs !== undefined);
  if (epochs.length > 0) process.stdout.write(`\n${epochTable(epochs)}`);
  if (values.write) {
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release() };
    const date = new Date().toISOString().slice(0, 10);
    mkdirSync('bench/results', { recursive: true });
    const result = { date, node: process.version, ...machine, cases: rows };
    writeFileSync(`bench/results/${date}.json`, `${JSON.stringify(result, null, 1)}\n`);
  }
  const headline = rows.find(({ name }) => name === HEADLINE);
  if (headline !== undefined) process.stdout.write(`${million(headline.pps.median)}\n`);
}

main();
