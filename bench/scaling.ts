/**
 * Two workers over one, from a capture on disk: pods that talk with pods, at least 64 of them
 * servers, no shared state; what each run writes must be the same bytes.
 *
 *   node dist/bench/scaling.js [--only TEXT] [--packets N] [--samples 3] [--workers 2] [--json]
 *
 * What of the connections one worker judged in order stands beside it (none in these trials).
 *
 * Each trial replays two captures, of a quarter of its packets and of all, by the command itself
 * with one worker and with several, in turns. First the rows of the smaller one are compared with
 * those of the reference engine and one worker. Figures are of what the larger capture takes more,
 * so that starting and rendering fall out; the whole command stands beside them.
 *
 * `wall` says something on a quiet machine alone. `cpu` is the processor time on the longest way
 * through the run: all of the thread that leads it, and of its workers the busiest.
 * @module
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '../src/report/text/table.ts';
import { clusterJson, generateCluster } from './clusters.ts';
import { onlyNamed } from './only.ts';
import { writePodTalk } from './pod-talk.ts';

const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const SHAPE = { nodes: 2, podsPerNode: 64, policies: 10 };
const STACK = 'azure-transparent+npm';
const POLL_MS = 20;
const NS_PER_S = 1e9;

type EngineName = 'compiled' | 'reference';

interface Trial {
  readonly name: string;
  readonly engine: EngineName;
  readonly packets: number;
  /** None: each packet opens one. */
  readonly connections: number | null;
  readonly everyUs: number;
  /** What is written; a table where none is said. */
  readonly format?: Run['format'];
}

/** The packets of a trial are those of its larger capture. */
const TRIALS: readonly Trial[] = [
  {
    name: 'established, compiled, 1000 connections',
    engine: 'compiled',
    packets: 20_000_000,
    connections: 1000,
    everyUs: 10,
  },
  {
    name: 'established, compiled, JSON lines',
    engine: 'compiled',
    packets: 2_000_000,
    connections: 1000,
    everyUs: 10,
    format: 'jsonl',
  },
  {
    name: 'every packet opens a connection, compiled',
    engine: 'compiled',
    packets: 120_000,
    connections: null,
    everyUs: 100,
  },
  {
    name: 'established, reference, 1000 connections',
    engine: 'reference',
    packets: 200_000,
    connections: 1000,
    everyUs: 10,
  },
  {
    name: 'every packet opens a connection, reference',
    engine: 'reference',
    packets: 80_000,
    connections: null,
    everyUs: 100,
  },
];

/** Seconds of one run, and what it wrote. */
interface Ran {
  readonly wall: number;
  readonly cpu: number;
  readonly digest: string;
  /** What it said of connections that were judged in order. */
  readonly note: string;
}

interface Run {
  readonly capture: string;
  readonly engine: EngineName;
  readonly workers: number;
  readonly format: 'table' | 'jsonl';
}

/** Replay a capture by the command. @throws Error when it fails */
async function replayed(folder: string, { capture, engine, workers, format }: Run): Promise<Ran> {
  const out = join(folder, 'out');
  const args = ['replay', '-f', join(folder, 'cluster.json'), '-r', capture, '--stack', STACK];
  const how = ['--engine', engine, '--workers', String(workers), '-o', `${format}=${out}`];
  const began = process.hrtime.bigint();
  const child = spawn(process.execPath, [CLI, ...args, ...how], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const threads = new Map<string, number>();
  const timer = setInterval(() => lookAt(child.pid ?? 0, threads), POLL_MS);
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(timer);
  const wall = Number(process.hrtime.bigint() - began) / NS_PER_S;
  if (code !== 0) throw new Error(`the replay ended with ${code}: ${said}`);
  const leader = threads.get(String(child.pid)) ?? 0;
  threads.delete(String(child.pid));
  // The process has threads of its own for compiling and collecting: less busy than workers.
  const busiest = workers > 1 ? Math.max(0, ...threads.values()) : 0;
  const digest = createHash('sha256').update(readFileSync(out)).digest('hex');
  const note = /^note: .*judged in order/m.exec(said)?.[0] ?? '';
  return { wall, cpu: leader + busiest, digest, note };
}

/** Seconds on a processor of each thread so far, by thread id. */
function lookAt(pid: number, threads: Map<string, number>): void {
  try {
    for (const id of readdirSync(`/proc/${pid}/task`)) {
      const [ns = '0'] = readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ');
      threads.set(id, Number(ns) / NS_PER_S);
    }
  } catch {
    // It has just ended; what was seen last stays.
  }
}

export interface Scaling {
  readonly name: string;
  readonly packets: number;
  /** Nanoseconds a packet, of one worker and of several. */
  readonly cpuNs: readonly [number, number];
  readonly wallNs: readonly [number, number];
  /** How many times as fast: of what more packets take, and of the whole command. */
  readonly cpu: number;
  readonly wall: number;
  readonly wholeCpu: number;
  readonly wholeWall: number;
  readonly digest: string;
  /** The part of the connections that one worker judged in order, in percent. */
  readonly ordered: number;
  /** The same as the run said it; empty when there were none. */
  readonly note: string;
}

/** Run one trial. @throws Error when two runs do not write the same bytes */
export async function scale(
  folder: string,
  trial: Trial,
  { samples, workers }: { readonly samples: number; readonly workers: number },
): Promise<Scaling> {
  const { name, engine, packets, connections, everyUs, format = 'table' } = trial;
  writeFileSync(join(folder, 'cluster.json'), clusterJson(SHAPE));
  const { pods } = generateCluster(SHAPE).cluster;
  const captures = [packets >>> 2, packets].map((count) => {
    const capture = join(folder, `${count}.pcap`);
    const shape = { packets: count, connections: connections ?? count, everyUs };
    writePodTalk(capture, pods, shape);
    return capture;
  });
  const [small = '', large = ''] = captures;
  await checkRows(folder, trial, workers);
  const runs: Ran[][] = [];
  for (let i = 0; i < samples; i++) {
    const round: Ran[] = [];
    for (const capture of [small, large]) {
      const one = await replayed(folder, { capture, engine, workers: 1, format });
      const all = await replayed(folder, { capture, engine, workers, format });
      if (one.digest !== all.digest) throw new Error(`${name}: ${workers} workers say otherwise`);
      round.push(one, all);
    }
    runs.push(round);
  }
  const at = (place: number, of: 'wall' | 'cpu') => median(runs.map((r) => r[place]?.[of] ?? 0));
  const more = (of: 'wall' | 'cpu') => [at(2, of) - at(0, of), at(3, of) - at(1, of)] as const;
  const ratio = ([one, several]: readonly [number, number]) => one / several;
  const each = (s: number) => (s * NS_PER_S) / (packets - (packets >>> 2));
  const eachOf = ([one, several]: readonly [number, number]) => [each(one), each(several)] as const;
  const last = runs.at(-1)?.[3];
  return {
    ...{ name, packets, cpuNs: eachOf(more('cpu')), wallNs: eachOf(more('wall')) },
    ...{ cpu: ratio(more('cpu')), wall: ratio(more('wall')) },
    ...{ wholeCpu: at(2, 'cpu') / at(3, 'cpu'), wholeWall: at(2, 'wall') / at(3, 'wall') },
    ...{ digest: last?.digest.slice(0, 16) ?? '', note: last?.note ?? '' },
    ordered: orderedIn(last?.note ?? ''),
  };
}

function orderedIn(note: string): number {
  const [, some = '0', all = '1'] = /(\d+) of (\d+) connections/.exec(note) ?? [];
  return (100 * Number(some)) / Number(all);
}

/** Packets of which every row is compared. */
const CHECKED = 12_000;

/** Every row by several workers is that of the reference engine by one. */
async function checkRows(folder: string, trial: Trial, workers: number): Promise<void> {
  const { connections, everyUs, engine, name } = trial;
  const capture = join(folder, 'checked.pcap');
  const shape = { packets: CHECKED, connections: connections ?? CHECKED, everyUs };
  writePodTalk(capture, generateCluster(SHAPE).cluster.pods, shape);
  const format = 'jsonl';
  const want = await replayed(folder, { capture, engine: 'reference', workers: 1, format });
  const got = await replayed(folder, { capture, engine, workers, format });
  if (want.digest !== got.digest) throw new Error(`${name}: rows are not the reference engine's`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1] ?? 0;
}

function tableOf(rows: readonly Scaling[], workers: number): string {
  const by = (count: number) => [`CPU ns BY ${count}`, `WALL ns BY ${count}`];
  const ratioNames = ['CPU', 'WALL', 'WHOLE CPU', 'WHOLE WALL', 'ORDERED', 'DIGEST'];
  const columns = ['TRIAL', 'PACKETS', ...by(1), ...by(workers), ...ratioNames];
  const cells = rows.map((row) => {
    const [one = 0, several = 0] = row.cpuNs;
    const [wallOne = 0, wallSeveral = 0] = row.wallNs;
    const times = [one, wallOne, several, wallSeveral].map((ns) => ns.toFixed(0));
    const ratios = [row.cpu, row.wall, row.wholeCpu, row.wholeWall];
    const said = ratios.map((ratio) => `${ratio.toFixed(2)}×`);
    return [row.name, row.packets, ...times, ...said, `${row.ordered.toFixed(1)} %`, row.digest];
  });
  return formatTable({ columns, rows: cells });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      packets: { type: 'string' },
      samples: { type: 'string', default: '3' },
      workers: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  });
  const trials = onlyNamed(TRIALS, values.only, ({ name }) => name);
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-scaling-'));
  const workers = Number(values.workers);
  try {
    const rows: Scaling[] = [];
    for (const trial of trials) {
      process.stderr.write(`${trial.name} …\n`);
      const packets = values.packets === undefined ? trial.packets : Number(values.packets);
      const how = { samples: Number(values.samples), workers };
      const row = await scale(folder, { ...trial, packets }, how);
      if (row.note !== '') process.stderr.write(`${row.note}\n`);
      rows.push(row);
    }
    process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : tableOf(rows, workers));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
