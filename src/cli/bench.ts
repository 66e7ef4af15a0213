/**
 * `wiretrial bench`: packets per second through the user's own cluster and policies, as a gate.
 * Figures come only after both engines agreed on the first packets.
 * @module
 */
import { Command, Option } from 'commander';
import { UserError } from '../diagnostic/diagnostic.ts';
import { enginesOf, measuredPairs } from '../lab/bench/bench-world.ts';
import { measureCompiled, packetsPerSecond } from '../lab/bench/measure.ts';
import { drawWorkload, type TrafficKind } from '../lab/bench/workload.ts';
import { resultHead } from '../report/json-shape.ts';
import { formatTable } from '../report/table.ts';
import { ExitCode } from './exit-code.ts';
import { chooseStack, loadCluster, makeWorld } from './inputs.ts';
import { type ClusterOptions, wholeNumber, withCluster } from './options.ts';

interface Flags extends ClusterOptions {
  readonly stack?: string;
  readonly traffic: TrafficKind;
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly connections: number;
  readonly packets: number;
  readonly payload: number;
  readonly port: readonly number[];
  readonly samples: number;
  readonly seed: number;
  readonly minPps?: number;
  readonly output?: string;
  readonly ipv6: boolean;
}

export function benchCommand(finish: (code: number) => void): Command {
  const command = new Command('bench').description(
    'Packets per second through a policy set, as a regression gate.',
  );
  return withCluster(command)
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value]')
    .addOption(
      new Option('--traffic <kind>', 'answered connections, or one way so that each is judged')
        .choices(['established', 'new'])
        .default('established'),
    )
    .addOption(
      new Option('--protocol <name>', 'of the connections')
        .choices(['tcp', 'udp', 'both'])
        .default('both'),
    )
    .option('--connections <n>', 'connections between pods', wholeNumber(1), 1000)
    .option('--packets <n>', 'packets of one sample', wholeNumber(1), 1_048_576)
    .option('--payload <bytes>', 'bytes behind the transport header', wholeNumber(0), 12)
    .option('--port <n>', 'server port (repeatable)', collectPort, [])
    .option('--samples <n>', 'samples after the first, which is thrown away', wholeNumber(1), 10)
    .option('--seed <n>', 'seed of what is drawn', wholeNumber(0), 1)
    .option('--ipv6', 'between IPv6 addresses', false)
    .option('--min-pps <n>', 'exit 1 when the median is below', wholeNumber(1))
    .addOption(new Option('-o, --output <format>', 'table or json').choices(['table', 'json']))
    .addHelpText('after', EXAMPLES)
    .action((flags: Flags) => finish(bench(flags)));
}

const EXAMPLES = `
Examples:
  wiretrial bench -f cluster.yaml -f policies/
  wiretrial bench -f cluster.yaml --traffic new --connections 100000 -o json
  wiretrial bench -f cluster.yaml --stack azure-bridge+npm --min-pps 10000000
`;

function collectPort(text: string, all: readonly number[]): readonly number[] {
  const port = wholeNumber(1)(text);
  if (port > 65_535) {
    const message = 'no such port';
    throw new UserError([{ code: 'BENCH_PORT', field: '--port', message, found: text }]);
  }
  return [...all, port];
}

function bench(flags: Flags): number {
  const inputs = loadCluster(flags);
  const stack = chooseStack(flags.stack, inputs);
  const world = makeWorld(inputs, stack, { seed: flags.seed });
  const ports = flags.port.length > 0 ? flags.port : [80];
  const { traffic: kind, connections, packets, protocol, payload, seed } = flags;
  const options = { kind, connections, packets, protocol, payload, seed, ports };
  const engines = enginesOf(world, seed, { connections: connections * 2 });
  const pairs = measuredPairs(world, engines.reference(), flags.ipv6 ? 6 : 4, options);
  const workload = drawWorkload(pairs, options);
  const clock = () => process.hrtime.bigint();
  const measured = measureCompiled(engines, workload, { samples: flags.samples, gapS: 0, clock });
  const pps = packetsPerSecond(measured.samples);
  const { digest, checked, counters, outcomes } = measured;
  const row = {
    name: `${kind} ${protocol} ${connections} connections`,
    engine: 'compiled',
    workers: 1,
    packets,
    pps,
    nsPerPacket: 1e9 / pps.median,
    counters,
    outcomes,
    digest,
    checked,
  };
  if (flags.output === 'json') {
    const head = resultHead('BenchResult', 'compiled', seed);
    const result = { ...head, stack: stack.text, cases: [row] };
    process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  } else process.stdout.write(asTable(row, stack.text));
  return flags.minPps !== undefined && pps.median < flags.minPps
    ? ExitCode.gateFailed
    : ExitCode.ok;
}

interface Row {
  readonly name: string;
  readonly pps: ReturnType<typeof packetsPerSecond>;
  readonly nsPerPacket: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly digest: string;
  readonly checked: number;
}

function asTable(row: Row, stack: string): string {
  const million = (n: number) => (n / 1e6).toFixed(2);
  const { pps, counters, outcomes } = row;
  const list = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .filter(([, n]) => n > 0)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ');
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
  return `BENCH  on ${stack}  (compiled engine, 1 worker)\n\n${text}`;
}
