/**
 * `wiretrial bench`: packets per second through the user's own cluster and policies, as a gate.
 * Figures come only after both engines agreed on the first packets.
 * @module
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Stack } from '../../dataplane/dataplane.ts';
import { UserError } from '../../diagnostic/diagnostic.ts';
import { Slow } from '../../engine/compiled/layout.ts';
import {
  LEAST_CONNECTIONS,
  MOST_CONNECTIONS,
  sizesFor,
} from '../../engine/compiled/table-sizes.ts';
import { enginesOf, measuredPairs } from '../../lab/bench/bench-world.ts';
import {
  exactly,
  figureOf,
  type Interval,
  intervalOf,
  isExact,
  judge,
  LEAST_ROUNDS,
  parseThresholds,
  ratio,
  type Threshold,
} from '../../lab/bench/gate.ts';
import { CompiledRun, type Measured, packetsPerSecond } from '../../lab/bench/measure.ts';
import { VerdictRun } from '../../lab/bench/measure-verdicts.ts';
import { drawWorkload, type TrafficKind, type Workload } from '../../lab/bench/workload.ts';
import { openOutput, parseOutputs } from '../../report/formats.ts';
import {
  BENCH_FORMATS,
  type BenchFormat,
  type BenchReport,
  type BenchRow,
  benchText,
  figuresOf,
  type MetricRow,
} from '../../report/result/bench-report.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode } from '../exit-code.ts';
import { checkRun, chooseStack, type Given, loadCluster, makeWorld } from '../input/inputs.ts';
import {
  type ClusterOptions,
  tableSize,
  wholeNumber,
  withCluster,
  withTables,
} from '../options.ts';
import { checkStreams } from '../output/destinations.ts';
import { phaseProgress } from '../output/phase-progress.ts';
import { say } from '../output/say.ts';
import { type Base, interleave, type Rounds, readBase } from './bench-rounds.ts';

interface Flags extends ClusterOptions {
  readonly stack?: string;
  readonly traffic: TrafficKind | 'verdict';
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly connections: number;
  readonly maxConnections?: number;
  readonly packets: number;
  readonly payload: number;
  readonly port: readonly number[];
  readonly samples: number;
  readonly seed: number;
  readonly base?: string;
  readonly rounds: number;
  readonly threshold: readonly string[];
  readonly output: readonly string[];
  readonly ipv6: boolean;
}

export function benchCommand(line: CommandLine): Command {
  const command = new Command('bench')
    .summary('packets per second through a policy set, as a regression gate')
    .description('Packets per second (of CPU time) through a policy set, as a regression gate.');
  const collect = (text: string, all: readonly string[]) => [...all, text];
  return withTables(withCluster(command), 'twice --connections')
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]')
    .addOption(
      new Option(
        '--traffic <kind>',
        'answered connections, one way so that each is judged, or the verdicts alone (IPv4)',
      )
        .choices(['established', 'new', 'verdict'])
        .default('established'),
    )
    .addOption(
      new Option('--protocol <name>', 'of the connections')
        .choices(['tcp', 'udp', 'both'])
        .default('both'),
    )
    .option('--connections <n>', 'connections between pods', connectionCount, 1000)
    .option('--packets <n>', 'packets of one sample', wholeNumber(1, MOST_PACKETS), 1_048_576)
    .option(
      '--payload <bytes>',
      'bytes behind the transport header',
      wholeNumber(0, MOST_PAYLOAD),
      12,
    )
    .option('--port <n>', 'server port (repeatable)', collectPort, [])
    .option('--samples <n>', 'samples after the first, which is thrown away', wholeNumber(1), 10)
    .option('--seed <n>', 'seed of what is drawn', wholeNumber(0), 1)
    .option('--ipv6', 'between IPv6 addresses', false)
    .option(
      '--base <path>',
      'what to compare with: another build of wiretrial, other manifests, or a -o json result',
    )
    .option('--rounds <n>', 'interleaved rounds against the base', wholeNumber(LEAST_ROUNDS), 10)
    .option(
      '--threshold <gate>',
      'exit 1 unless METRIC>=VALUE (or <=); x is a multiple of the base (repeatable)',
      collect,
      [],
    )
    .option(
      '-o, --output <format[=path]>',
      `${BENCH_FORMATS.join('|')}, to standard output or a file (repeatable)`,
      collect,
      [],
    )
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => line.finish(bench(line, flags)));
}

const EXAMPLES = `
Metrics: pps, ns, and the exact counters of the run (moved, walked, connections, decisions,
tableBytes, and each reason why a packet was walked). A rate fails its gate only when its whole
95 % interval does.

Examples:
  wiretrial bench -f cluster.yaml -f policies/
  wiretrial bench -f cluster.yaml --traffic new --connections 100000 -o json
  wiretrial bench -f cluster.yaml --stack azure-bridge+npm --threshold 'pps>=10M'
  wiretrial bench -f cluster.yaml -f policies/ --base ../wiretrial-main \\
    --threshold 'pps>=0.95x' --threshold 'walked<=1x' -o github-action-benchmark=bench.json
`;

/** What one array of packets holds. */
const MOST_PACKETS = 2 ** 26;
/** A segment of TCP over IPv4 that fills an Ethernet frame. */
const MOST_PAYLOAD = 1460;

/** As many as tables twice as large have room for. */
function connectionCount(text: string): number {
  const connections = wholeNumber(1, MOST_CONNECTIONS / 2)(text);
  tableSize(String(Math.max(LEAST_CONNECTIONS, connections * 2)));
  return connections;
}

/** Time of this process on a CPU: what others on the machine do is not ours. */
function cpuClock(): bigint {
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * 1000n;
}

function collectPort(text: string, all: readonly number[]): readonly number[] {
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65_535) {
    throw new InvalidArgumentError('a port from 1 to 65535');
  }
  return [...all, Number(text)];
}

function bench(line: CommandLine, flags: Flags): number {
  const [outputs, base, thresholds, inputs] = line.check(
    () => chooseOutputs(flags),
    () => (flags.base === undefined ? null : chooseBase(flags, flags.base)),
    () => parseThresholds(flags.threshold, METRICS, flags.base !== undefined),
    () => line.read(() => loadCluster(flags)),
    () => checkTraffic(flags),
    () => checkRun({ engine: 'auto', ...flags }),
  );
  const stack = chooseStack(flags.stack, inputs);
  refuseOldRates(base, thresholds);
  const row = measure(flags, inputs, stack);
  if (base?.kind === 'result') refuseOtherRun(base, row);
  const rounds = base === null || base.kind === 'result' ? null : roundsOf(flags, base);
  const baseRow = base?.kind === 'result' ? base.row : (rounds?.base[0] ?? null);
  const compared = base !== null || thresholds.length > 0;
  const metrics = compared ? metricRows(row, baseRow, rounds, thresholds) : [];
  const about =
    base === null || baseRow === null
      ? null
      : { text: base.text, rounds: rounds?.base.length ?? 0, digest: baseRow.digest };
  const report: BenchReport = { stack: stack.text, seed: flags.seed, row, base: about, metrics };
  for (const request of outputs) {
    const output = openOutput(request);
    output.write(benchText(report, request));
    output.close();
  }
  const judgements = metrics.flatMap(({ gates }) => gates);
  for (const { text, judgement } of judgements) {
    if (judgement === 'fail') say(`gate failed: --threshold ${text}`);
  }
  return judgements.some(({ judgement }) => judgement === 'fail')
    ? ExitCode.gateFailed
    : ExitCode.ok;
}

function chooseOutputs(flags: Flags): ReturnType<typeof parseOutputs<BenchFormat>> {
  const outputs = parseOutputs<BenchFormat>(flags.output, BENCH_FORMATS);
  checkStreams(flags, outputs);
  return outputs;
}

function chooseBase({ file }: Flags, path: string): Base {
  if (!file.includes('-')) return readBase(path);
  const message = 'standard input can be read only once, and both sides read the cluster';
  throw new UserError([{ code: 'BENCH_BASE', field: '--base', message, found: '-f -' }]);
}

function checkTraffic({ traffic, ipv6 }: Flags): void {
  if (traffic !== 'verdict' || !ipv6) return;
  const message = 'verdicts alone are of IPv4 packets';
  throw new UserError([{ code: 'BENCH_TRAFFIC', field: '--traffic', message, found: '--ipv6' }]);
}

const SLOW = Object.keys(Slow);
const METRICS = [
  ...['pps', 'ns', 'moved', 'walked', 'translated', 'translatedOpenings'],
  ...SLOW,
  ...['connections', 'decisions', 'tableBytes'],
];

function refuseOldRates(base: Base | null, thresholds: readonly Threshold[]): void {
  if (base?.kind !== 'result') return;
  const wrong = thresholds.filter(({ isRatio, metric }) => isRatio && !isExact(metric));
  if (wrong.length === 0) return;
  throw new UserError(
    wrong.map(({ text }) => ({
      code: 'BENCH_BASE',
      field: '--threshold',
      message: 'a stored rate is of another day: only exact counters can be held against it',
      found: text,
      accepted: 'a build or manifests as --base, or a counter',
    })),
  );
}

/** Counts are comparable when the same packets were sent as often. */
function refuseOtherRun({ text, row: stored }: Extract<Base, { kind: 'result' }>, row: BenchRow) {
  const runOf = ({ name, packets, pps }: BenchRow) =>
    `${name}, ${pps.samples.length} samples of ${packets} packets`;
  if (runOf(stored) === runOf(row)) return;
  const message = `the stored result ${text} is of another run`;
  const [found, accepted] = [runOf(stored), runOf(row)];
  throw new UserError([{ code: 'BENCH_BASE', field: '--base', message, found, accepted }]);
}

function measure(flags: Flags, inputs: Given, stack: Stack): BenchRow {
  const { traffic } = flags;
  const world = makeWorld(inputs, stack, { seed: flags.seed });
  const ports = flags.port.length > 0 ? flags.port : [80];
  const kind = traffic === 'verdict' ? 'new' : traffic;
  const { connections, packets, protocol, payload, seed } = flags;
  const options = { kind, connections, packets, protocol, payload, seed, ports };
  const sizes = sizesFor(flags.maxConnections ?? Math.max(LEAST_CONNECTIONS, connections * 2));
  const engines = enginesOf(world, seed, sizes);
  const progress = phaseProgress(false);
  const how = { samples: flags.samples, gapS: 0, clock: cpuClock, progress: progress.at };
  const family = flags.ipv6 ? 6 : 4;
  const runOn = (workload: Workload) =>
    traffic === 'verdict'
      ? new VerdictRun(world.topology, workload, { ...how, seed, addon: engines.addon })
      : new CompiledRun(engines, workload, how);
  let measured: Measured;
  try {
    const pairs = measuredPairs(world, engines.compiled(), family, options, progress.at);
    const run = runOn(drawWorkload(pairs, options));
    for (let round = 0; round <= flags.samples; round++) run.round();
    measured = run.end();
  } finally {
    progress.done();
  }
  const pps = packetsPerSecond(measured.samples);
  const { digest, checked, counters, outcomes } = measured;
  const walked = SLOW.reduce((sum, reason) => sum + (counters[reason] ?? 0), 0);
  return {
    name: `${traffic} ${protocol} ${connections} connections`,
    engine: 'compiled',
    workers: 1,
    packets,
    pps,
    nsPerPacket: 1e9 / pps.median,
    counters: { ...counters, walked },
    outcomes,
    digest,
    checked,
  };
}

/** Both sides by the same command line, in processes of their own. */
function roundsOf(flags: Flags, base: Exclude<Base, { kind: 'result' }>): Rounds {
  const own = process.argv[1] ?? '';
  const head = { main: own, args: argumentsOf(flags, flags.file) };
  const other =
    base.kind === 'tool'
      ? { ...head, main: base.main }
      : { main: own, args: argumentsOf(flags, [base.path]) };
  return interleave(other, head, flags.rounds, (round) => {
    if (process.stderr.isTTY) process.stderr.write(`round ${round + 1} of ${flags.rounds}\r`);
  });
}

function argumentsOf(flags: Flags, files: readonly string[]): readonly string[] {
  const valued = ['traffic', 'protocol', 'connections', 'packets', 'payload', 'seed'] as const;
  return [
    ...files.flatMap((file) => ['-f', file]),
    ...(flags.recursive ? ['-R'] : []),
    ...(flags.ignoreUnsupported ? ['--ignore-unsupported'] : []),
    ...(flags.stack === undefined ? [] : ['--stack', flags.stack]),
    ...(flags.ipv6 ? ['--ipv6'] : []),
    ...(flags.maxConnections === undefined
      ? []
      : ['--max-connections', String(flags.maxConnections)]),
    ...flags.port.flatMap((port) => ['--port', String(port)]),
    ...valued.flatMap((name) => [`--${name}`, String(flags[name])]),
    ...['--samples', '3'],
  ];
}

/** Rates and whatever has a threshold always; of the other counters those that differ. */
function metricRows(
  row: BenchRow,
  base: BenchRow | null,
  rounds: Rounds | null,
  thresholds: readonly Threshold[],
): readonly MetricRow[] {
  const heads = rounds?.head ?? [];
  return METRICS.flatMap((metric): readonly MetricRow[] => {
    const head = figuresOf(heads[0] ?? row, metric);
    const before = base === null ? null : countOf(base, metric);
    const found = before === null ? null : ratioOf(metric, head, before, rounds);
    const own = thresholds.filter((threshold) => threshold.metric === metric);
    const gates = own.map((threshold) => {
      const value = threshold.isRatio ? found : spreadOf(metric, row);
      return { text: threshold.text, judgement: value === null ? 'fail' : judge(threshold, value) };
    }) satisfies MetricRow['gates'];
    const isRate = !isExact(metric) && rounds !== null;
    const differs = isExact(metric) && before !== null && before !== head;
    if (gates.length === 0 && !isRate && !differs) return [];
    return [{ metric, base: before, head, ratio: found, gates }];
  });
}

function countOf({ pps, counters }: BenchRow, metric: string): number | null {
  return figureOf({ pps: pps.median, counters }, metric);
}

function ratioOf(
  metric: string,
  head: number,
  before: number,
  rounds: Rounds | null,
): Interval | null {
  if (isExact(metric)) return exactly(ratio(head, before));
  if (rounds === null) return null;
  const pairs = rounds.head.map((row, i) => {
    const other = rounds.base[i];
    if (other === undefined) throw new RangeError('both sides have every round');
    return ratio(figuresOf(row, metric), figuresOf(other, metric));
  });
  return intervalOf(pairs);
}

/** What this side alone was found to be: a rate by its samples, where they are enough. */
function spreadOf(metric: string, row: BenchRow): Interval {
  const { samples, median } = row.pps;
  if (isExact(metric)) return exactly(figuresOf(row, metric));
  const values = metric === 'pps' ? samples : samples.map((pps) => 1e9 / pps);
  if (values.length >= LEAST_ROUNDS) return intervalOf(values);
  return exactly(metric === 'pps' ? median : 1e9 / median);
}
