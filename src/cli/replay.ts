/**
 * `wiretrial replay`: what happens to each packet of a capture on one stack.
 * @module
 */
import { Command, Option } from 'commander';
import type { CaptureStream } from '../capture/reader.ts';
import { findWalker } from '../lab/lane/columns.ts';
import { mayUseLanes, replay as run } from '../lab/replay.ts';
import type { RunSink } from '../lab/stack-run.ts';
import type { World } from '../lab/world.ts';
import { AnnotatedCapture } from '../report/annotated-capture.ts';
import { openOutput } from '../report/formats.ts';
import { type RowKind, replayReport } from '../report/replay-report.ts';
import { CaptureSource } from './capture-source.ts';
import { chooseOutputs } from './destinations.ts';
import { ExitCode, worst } from './exit-code.ts';
import { failedGates, parseFailOn } from './gates.ts';
import { checkRun, chooseStack, loadCluster, makeWorld } from './inputs.ts';
import { Interruption } from './interruption.ts';
import { together } from './mistakes.ts';
import { rowFilter } from './narrow.ts';
import {
  type CaptureOptions,
  type ClusterOptions,
  type NarrowFlags,
  type ReplayFlags,
  type RunFlags,
  wholeNumber,
  withCaptures,
  withCluster,
  withDumps,
  withNarrowing,
  withReplay,
  withRun,
} from './options.ts';
import { prepareTraffic } from './prepare-traffic.ts';
import { withProgress, withProgressInBulk } from './progress.ts';
import { noteWorkers, say, warnOfCuts } from './say.ts';

interface Flags extends ClusterOptions, CaptureOptions, ReplayFlags, RunFlags, NarrowFlags {
  readonly stack?: string;
  readonly write?: string;
  readonly rows: RowKind;
  readonly failOn?: string;
  readonly maxDrops?: number;
}

export function replayCommand(finish: (code: number) => void): Command {
  const command = new Command('replay')
    .summary('what happens to each packet of a capture in this cluster')
    .description(
      'Replay captured traffic through the emulated nodes of a cluster, and say for every packet ' +
        'and connection what happens to it and which rule of which policy decided.',
    )
    .argument('[filter...]', 'pcap-filter(7) expression: only these packets')
    .option('--stack <stack>', 'NETWORK+POLICY[,option=value], e.g. azure-bridge+npm');
  withCluster(command);
  withDumps(command);
  withCaptures(command);
  withReplay(command);
  withRun(command);
  withNarrowing(command);
  return command
    .option(
      '-w, --write <path>',
      'annotated pcapng, every packet with its verdict; .gz compresses, - is standard output ' +
        '(pcap has no room for verdicts and is refused)',
    )
    .addOption(
      new Option('--rows <kind>', 'what jsonl and csv carry')
        .choices(['frames', 'connections'])
        .default('frames'),
    )
    .option(
      '--fail-on <gates>',
      'exit 1 when any: denied,broken,depends,unknown,contradicted,dropped',
    )
    .option('--max-drops <n>', 'exit 1 when more packets are dropped', wholeNumber(0))
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: Flags) => finish(await replayVerb(words, flags)));
}

const EXAMPLES = `
Examples:
  wiretrial replay -f cluster.yaml -f policies/ -r shop.pcapng --stack azure-bridge+npm
  wiretrial replay -f cluster.yaml -r day1.pcap.gz -r day2.pcap.gz -o json -o jsonl=rows.jsonl
  wiretrial replay -f cluster.yaml -r shop.pcapng -w verdicts.pcapng tcp port 5432
  wiretrial replay -f shop.yaml -r elsewhere.pcap --map 192.168.1.5=pod/shop/web --map auto
`;

async function replayVerb(words: readonly string[], flags: Flags): Promise<number> {
  const [outputs, failOn, source, inputs] = together(
    () => chooseOutputs(flags),
    () => parseFailOn(flags.failOn),
    () => CaptureSource.parse(flags, words),
    () => loadCluster(flags),
    () => checkRun(flags),
  );
  noteWorkers(flags);
  const world = makeWorld(inputs, chooseStack(flags.stack, inputs), flags);
  const isShown = rowFilter(flags, world);
  const interruption = new Interruption();
  try {
    const { traffic } = await prepareTraffic(world, source, flags, interruption);
    const { stack, engine } = world;
    const names = flags.resolve;
    const head = { stack: stack.text, engine: engine.name, seed: flags.seed, names };
    const reports = outputs.map((o) => replayReport(o, openOutput(o), flags.rows, head));
    const annotated =
      flags.write === undefined ? null : await AnnotatedCapture.open(flags.write, world, names);
    const sink: RunSink = {
      wantsFrames: annotated !== null || reports.some((report) => report.wantsFrames),
      frame(row) {
        annotated?.result(row);
        if (isShown(row)) for (const report of reports) report.frame(row);
      },
      connection(row) {
        if (isShown(row)) for (const report of reports) report.connection(row);
      },
    };
    const stream = source.stream();
    const done = await run({
      ...recordsOf(stream, source, flags, world),
      traffic,
      stacks: [{ world, sink }],
      options: { openLoop: flags.openLoop },
      ...(annotated ? { onFrame: (captured, record) => annotated.frame(captured, record) } : {}),
      betweenBatches: async () => {
        await annotated?.flush();
        await interruption.listen();
      },
      shouldStop: () => interruption.code !== 0,
    });
    const [summary] = done.summaries;
    if (summary === undefined) return ExitCode.internal;
    await annotated?.end();
    const { clock, interrupted } = done;
    const warnings = world.network.warnings ?? [];
    const read = source.summaries(stream);
    for (const report of reports) {
      report.end({ summary, inputs: read, warnings, clock, interrupted });
    }
    const failed = failedGates(summary, failOn, flags.maxDrops);
    for (const gate of failed) say(`gate failed: ${gate}`);
    const gate = failed.length > 0 ? ExitCode.gateFailed : ExitCode.ok;
    return worst(interruption.code, gate, warnOfCuts(read));
  } finally {
    interruption.stop();
    source.close();
  }
}

/** The records of the second reading: in bulk where the run can take them so. */
function recordsOf(stream: CaptureStream, source: CaptureSource, flags: Flags, world: World) {
  const { quiet, openLoop } = flags;
  const walker = mayUseLanes({ engine: world.engine, openLoop }) ? findWalker() : null;
  if (walker === null) return { records: withProgress(stream, source, quiet, 'replaying') };
  const records = withProgressInBulk(stream, walker, source, quiet, 'replaying');
  return { records, walker };
}
