/**
 * `wiretrial replay`: what happens to each packet of a capture on one stack.
 * @module
 */
import { Command, Option } from 'commander';
import { assert } from '../../diagnostic/diagnostic.ts';
import { tableFull } from '../../engine/make-engine.ts';
import { replay } from '../../lab/replay.ts';
import { rowWith } from '../../lab/run/row-terms.ts';
import type { RunSink } from '../../lab/stack-run.ts';
import { Tally } from '../../lab/tally.ts';
import type { World } from '../../lab/world.ts';
import {
  AnnotatedCapture,
  type AnnotatedPacket,
  AnnotatedPackets,
} from '../../report/annotated-capture.ts';
import { namesDigests, type OutputRequest, openOutput } from '../../report/formats.ts';
import { type NarrowFlags, rowFilter } from '../../report/narrow.ts';
import { type RunEnd, type RunReport, replayReport } from '../../report/result/replay-report.ts';
import { FrameOutputs } from '../../report/text/frame-outputs.ts';
import { type RowKind, rowText } from '../../report/text/row-text.ts';
import type { Sharing } from '../../workers/sharing.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode, worst } from '../exit-code.ts';
import { failedGates, parseFailOn } from '../gates.ts';
import { CaptureSource } from '../input/capture-source.ts';
import { engineFor, recordsOf } from '../input/in-bulk.ts';
import { checkRun, chooseStack, loadCluster, makeWorld } from '../input/inputs.ts';
import { findPlaces, prepareTraffic } from '../input/prepare-traffic.ts';
import { together } from '../mistakes.ts';
import {
  type CaptureOptions,
  type ClusterOptions,
  type ReplayFlags,
  type RunFlags,
  wholeNumber,
  withCaptures,
  withCluster,
  withDumps,
  withNarrowing,
  withReplay,
  withRun,
} from '../options.ts';
import { chooseOutputs } from '../output/destinations.ts';
import { Interruption } from '../output/interruption.ts';
import { noteEarlyDrops, noteFull, say, warnOfCuts, warnOfNothing } from '../output/say.ts';
import { chooseWorkers, type RunInput, runTogether } from '../shared-run.ts';

interface Flags extends ClusterOptions, CaptureOptions, ReplayFlags, RunFlags, NarrowFlags {
  readonly stack?: string;
  readonly write?: string;
  readonly rows: RowKind;
  readonly failOn?: string;
  readonly maxDrops?: number;
}

export function replayCommand(line: CommandLine): Command {
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
    .action(async (words: string[], flags: Flags) =>
      line.finish(await replayVerb(line, words, flags)),
    );
}

const EXAMPLES = `
Examples:
  wiretrial replay -f cluster.yaml -f policies/ -r shop.pcapng --stack azure-bridge+npm
  wiretrial replay -f cluster.yaml -r day1.pcap.gz -r day2.pcap.gz -o json -o jsonl=rows.jsonl
  wiretrial replay -f cluster.yaml -r shop.pcapng -w verdicts.pcapng tcp port 5432
  wiretrial replay -f shop.yaml -r elsewhere.pcap --map 192.168.1.5=pod/shop/web --map auto
`;

async function replayVerb(
  line: CommandLine,
  words: readonly string[],
  flags: Flags,
): Promise<number> {
  const [outputs, failOn, source, inputs] = line.check(
    () => chooseOutputs(flags),
    () => parseFailOn(flags.failOn),
    () => CaptureSource.parse(flags, words),
    () => line.read(() => loadCluster(flags)),
    () => checkRun(flags),
  );
  const interruption = new Interruption();
  try {
    const engine = await engineFor(source, inputs, flags);
    const world = makeWorld(inputs, chooseStack(flags.stack, inputs), { ...flags, engine });
    const [isShown, places] = together(
      () => rowFilter(flags, world),
      () => findPlaces(flags, world),
    );
    const prepared = await prepareTraffic(world, source, flags, places, interruption);
    const { stack } = world;
    const names = flags.resolve;
    const head = { stack: stack.text, engine: world.engine.name, seed: flags.seed, names };
    const reports = outputs.map((o) => replayReport(o, openOutput(o), flags.rows, head));
    const annotated =
      flags.write === undefined ? null : await AnnotatedCapture.open(flags.write, world, names);
    const run = { inputs, worlds: [world], source, prepared, flags, interruption };
    const to = { reports, annotated, isShown, digest: namesDigests(outputs) };
    const sharing = chooseWorkers(run);
    const shared =
      sharing.workers > 1 ? await judgeTogether(run, sharing, outputs, flags, to) : null;
    const end = shared ?? (await judgeAlone(run, world, to));
    await annotated?.end();
    const warnings = world.network.warnings ?? [];
    for (const report of reports) report.end({ ...end, warnings });
    const failed = failedGates(end.summary, failOn, flags.maxDrops);
    for (const gate of failed) say(`gate failed: ${gate}`);
    if (!end.interrupted) warnOfNothing(end.summary, end.inputs);
    const gate = failed.length > 0 ? ExitCode.gateFailed : ExitCode.ok;
    return worst(interruption.code, gate, warnOfCuts(end.inputs));
  } catch (error) {
    throw source.named(error);
  } finally {
    interruption.stop();
    source.close();
  }
}

/** Where a replay's rows go. */
interface Destinations {
  readonly reports: readonly RunReport[];
  readonly annotated: AnnotatedCapture | null;
  /** Whether somebody names the inputs' digests. */
  readonly digest: boolean;
  readonly isShown: ReturnType<typeof rowFilter>;
}

type Judged = Omit<RunEnd, 'warnings'>;

async function judgeAlone(
  { source, prepared, flags, interruption }: RunInput,
  world: World,
  { reports, annotated, isShown, digest }: Destinations,
): Promise<Judged> {
  const packets = annotated && new AnnotatedPackets();
  const frames = new FrameOutputs(
    reports.flatMap((report) => report.frames ?? []),
    isShown,
  );
  const sink: RunSink = {
    wantsFrames: annotated !== null || reports.some((report) => report.frames !== null),
    wantsJourneys: false,
    frame(row) {
      packets?.result(row);
      frames.row(row, row.frame ?? 0);
    },
    alike(terms, frame, timeNs, notes) {
      packets?.result(rowWith(terms, { frame, timeNs, notes }));
      frames.alike(terms, frame, timeNs, notes);
    },
    connection(row) {
      if (isShown(row)) for (const report of reports) report.connection(row);
    },
  };
  const flush = async () => {
    if (packets) await annotated?.write(packets.take());
  };
  const stream = source.stream({ digest: digest });
  const { summaries, clock, interrupted } = await replay({
    ...recordsOf(stream, source, flags, [world], prepared, 'replaying'),
    traffic: prepared.traffic,
    stacks: [{ world, sink }],
    options: { openLoop: flags.openLoop },
    ...(packets ? { onFrame: (captured, record) => packets.frame(captured, record) } : {}),
    betweenBatches: async () => {
      await flush();
      await interruption.listen();
    },
    shouldStop: () => interruption.code !== 0,
  });
  await flush();
  noteFull(tableFull([world.engine]), flags);
  noteEarlyDrops([world.engine], flags);
  const [summary] = summaries;
  assert(summary !== undefined, 'a run of one stack has one summary');
  return { summary, clock, interrupted, inputs: source.summaries(stream) };
}

async function judgeTogether(
  run: RunInput,
  sharing: Sharing,
  outputs: readonly OutputRequest[],
  flags: Flags,
  { reports, annotated, digest }: Destinations,
): Promise<Judged | null> {
  const { rows, namespace, allNamespaces, selector, resolve } = flags;
  const narrow: NarrowFlags = {
    allNamespaces,
    resolve,
    ...(namespace === undefined ? {} : { namespace }),
    ...(selector === undefined ? {} : { selector }),
  };
  let packets: AnnotatedPacket[] = [];
  const formats = outputs.map(({ format }) => format);
  const judged = await runTogether(
    run,
    sharing,
    { verb: 'replay', formats, rows, annotate: annotated !== null, narrow },
    {
      rows: reports.map((report, i) => ({
        of: rowText(formats[i] ?? 'table', rows).of,
        areLines: report.takesLines,
        write: (bytes) => report.rowBytes(bytes),
      })),
      packet: (packet) => packets.push(packet),
      difference: () => {},
      flush: async () => {
        const settled = packets;
        packets = [];
        await annotated?.write(settled);
      },
    },
    { what: 'replaying', digest },
  );
  if (judged === null) return null;
  const { results, inputs } = judged;
  const tops = reports.filter((_, i) => rowText(formats[i] ?? 'table', rows).of === 'top');
  for (const report of tops) {
    for (const row of results.flatMap(({ top }) => top)) report.connection(row);
  }
  const tally = new Tally();
  for (const { parts } of results) for (const part of parts) tally.absorb(part);
  const [first] = results;
  assert(first !== undefined, 'a run has workers');
  const { clock, interrupted } = first;
  return { summary: tally.summary(), clock, interrupted, inputs };
}
