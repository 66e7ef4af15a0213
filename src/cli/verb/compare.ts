/**
 * `wiretrial compare`: the same packets on two or more stacks, where they differ, and at which step
 * they first part.
 * @module
 */
import { Command } from 'commander';
import type { InputSummary } from '../../capture/record.ts';
import type { Stack } from '../../dataplane/dataplane.ts';
import { ciliumChanges } from '../../dataplane/move/cilium.ts';
import { moveConditions } from '../../dataplane/move/conditions.ts';
import { parseStack } from '../../dataplane/stack.ts';
import { assert, UserError } from '../../diagnostic/diagnostic.ts';
import { tableFull } from '../../engine/make-engine.ts';
import { Comparison, type Difference } from '../../lab/compare/compare.ts';
import { replay } from '../../lab/replay.ts';
import { type RunSummary, Tally } from '../../lab/tally.ts';
import { namesDigests, openOutput } from '../../report/formats.ts';
import { type NarrowFlags, rowFilter } from '../../report/narrow.ts';
import { compareReport } from '../../report/result/compare-report.ts';
import type { Sharing } from '../../workers/sharing.ts';
import type { CommandLine } from '../command-line.ts';
import { ExitCode, worst } from '../exit-code.ts';
import { CaptureSource } from '../input/capture-source.ts';
import { engineFor, recordsOf } from '../input/in-bulk.ts';
import { checkRun, chooseStack, type Given, loadCluster, makeWorld } from '../input/inputs.ts';
import { findPlaces, prepareTraffic } from '../input/prepare-traffic.ts';
import { together } from '../mistakes.ts';
import {
  type CaptureOptions,
  type ClusterOptions,
  type ReplayFlags,
  type RunFlags,
  withCaptures,
  withCluster,
  withNarrowing,
  withReplay,
  withRun,
} from '../options.ts';
import { chooseOutputs } from '../output/destinations.ts';
import { Interruption } from '../output/interruption.ts';
import { noteEarlyDrops, noteFull, say, warn, warnOfCuts, warnOfNothing } from '../output/say.ts';
import { chooseWorkers, type RunInput, runTogether } from '../shared-run.ts';

interface Flags extends ClusterOptions, CaptureOptions, ReplayFlags, RunFlags, NarrowFlags {
  readonly stack: readonly string[];
  readonly exitCode: boolean;
}

export function compareCommand(line: CommandLine): Command {
  const command = new Command('compare')
    .summary('the same packets on two or more stacks: where they differ, and where first')
    .description(
      'Replay the same traffic through several stacks and report every connection whose verdict ' +
        'differs, with both deciding rules and the first step at which the stacks part.',
    )
    .argument('[filter...]', 'pcap-filter(7) expression: only these packets')
    .option(
      '--stack <stack>',
      'NETWORK+POLICY[,option=value]; give it two or more times',
      (value: string, all: readonly string[]) => [...all, value],
      [],
    );
  withCluster(command);
  withCaptures(command);
  withReplay(command);
  withRun(command);
  withNarrowing(command);
  return command
    .option('--exit-code', 'exit 1 when the stacks differ', false)
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], flags: Flags) =>
      line.finish(await compareVerb(line, words, flags)),
    );
}

const EXAMPLES = `
Examples:
  wiretrial compare -f cluster.yaml -r shop.pcapng --stack azure-bridge+npm --stack azure-transparent+calico
  wiretrial compare -f cluster.yaml -r shop.pcapng --stack azure-transparent+npm,version=1.6.30 \\
    --stack azure-transparent+npm --exit-code -o json
`;

async function compareVerb(
  line: CommandLine,
  words: readonly string[],
  flags: Flags,
): Promise<number> {
  const [, , outputs, source, inputs] = line.check(
    () => checkStacks(flags.stack),
    () => checkRun(flags),
    () => chooseOutputs(flags),
    () => CaptureSource.parse(flags, words),
    () => line.read(() => loadAndWeigh(flags)),
  );
  const engine = await engineFor(source, inputs, flags);
  const worlds = together(
    ...flags.stack.map(
      (text) => () => makeWorld(inputs, chooseStack(text, inputs), { ...flags, engine }),
    ),
  );
  const [first] = worlds;
  if (first === undefined) return ExitCode.internal;
  for (const other of worlds.slice(1)) {
    for (const what of moveConditions(first.stack, other.stack, inputs.cluster)) warn(what);
  }
  const [isShown, places] = together(
    () => rowFilter(flags, first),
    () => findPlaces(flags, first),
  );
  const interruption = new Interruption();
  try {
    const prepared = await prepareTraffic(first, source, flags, places, interruption);
    const stacks = worlds.map((world) => world.stack.text);
    const head = { stacks, engine: first.engine.name, seed: flags.seed, names: flags.resolve };
    const reports = outputs.map((o) => compareReport(o, openOutput(o), head));
    const comparison = new Comparison(worlds, (difference) => {
      if (isShown(difference.connection)) for (const r of reports) r.difference(difference);
    });
    const run = { inputs, worlds, source, prepared, flags, interruption };
    const sharing = chooseWorkers(run);
    const digest = namesDigests(outputs);
    const shared =
      sharing.workers > 1
        ? await compareTogether(run, sharing, comparison, digest, (difference) => {
            if (isShown(difference.connection)) for (const r of reports) r.difference(difference);
          })
        : null;
    const done = shared ?? (await compareAlone(run, comparison, digest));
    const ends = worlds.flatMap((world, i) => {
      const summary = done.summaries[i];
      const warnings = world.network.warnings ?? [];
      return summary ? [{ name: world.stack.text, summary, warnings }] : [];
    });
    const counts = comparison.counts();
    const classes = comparison.classes();
    const { interrupted, inputs: read } = done;
    for (const r of reports) r.end({ stacks: ends, counts, classes, inputs: read, interrupted });
    const differs = flags.exitCode && counts.disagree > 0;
    if (differs) say(`gate failed: --exit-code: ${counts.disagree} connections differ`);
    const [judged] = done.summaries;
    if (judged && !interrupted) warnOfNothing(judged, read);
    const gate = differs ? ExitCode.gateFailed : ExitCode.ok;
    return worst(interruption.code, gate, warnOfCuts(read));
  } catch (error) {
    throw source.named(error);
  } finally {
    interruption.stop();
    source.close();
  }
}

/** Load the cluster; for Cilium, which is refused beside this, say what it would change. */
function loadAndWeigh(flags: Flags): Given {
  const inputs = loadCluster(flags);
  const from = flags.stack.map(stackOrNull).find((stack) => stack !== null);
  if (!from || !flags.stack.some((text) => /^[^,]*\+cilium(,|$)/.test(text))) return inputs;
  throw new UserError(ciliumChanges({ ...inputs, from }));
}

/** Null for a stack that `checkRun` refuses. */
function stackOrNull(text: string): Stack | null {
  try {
    return parseStack(text);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

interface Compared {
  readonly summaries: readonly RunSummary[];
  readonly inputs: readonly InputSummary[];
  readonly interrupted: boolean;
}

async function compareAlone(
  { worlds, source, prepared, flags, interruption }: RunInput,
  comparison: Comparison,
  digest: boolean,
): Promise<Compared> {
  const stream = source.stream({ digest });
  const { summaries, interrupted } = await replay({
    ...recordsOf(stream, source, flags, worlds, prepared, 'comparing'),
    traffic: prepared.traffic,
    stacks: worlds.map((world, i) => ({
      world,
      sink: { ...comparison.sink(i, () => {}), wantsFrames: false },
    })),
    options: { openLoop: flags.openLoop },
    onClosed: (conversation, place) => comparison.closed(conversation, place),
    betweenBatches: () => interruption.listen(),
    shouldStop: () => interruption.code !== 0,
  });
  const engines = worlds.map(({ engine }) => engine);
  noteFull(tableFull(engines), flags);
  noteEarlyDrops(engines, flags);
  return { summaries, interrupted, inputs: source.summaries(stream) };
}

async function compareTogether(
  run: RunInput,
  sharing: Sharing,
  comparison: Comparison,
  digest: boolean,
  difference: (difference: Difference) => void,
): Promise<Compared | null> {
  const none = { rows: [], packet: () => {}, flush: async () => {} };
  const to = { ...none, difference };
  const options = { what: 'comparing', digest };
  const judged = await runTogether(run, sharing, { verb: 'compare' }, to, options);
  if (judged === null) return null;
  const { results, inputs } = judged;
  for (const { comparison: part } of results) if (part !== null) comparison.absorb(part);
  const tallies = run.worlds.map((_, i) => {
    const tally = new Tally();
    for (const { parts } of results) if (parts[i] !== undefined) tally.absorb(parts[i]);
    return tally;
  });
  const [first] = results;
  assert(first !== undefined, 'a run has workers');
  const { interrupted } = first;
  return { summaries: tallies.map((tally) => tally.summary()), inputs, interrupted };
}

function checkStacks(stacks: readonly string[]): void {
  const accepted = '--stack NETWORK+POLICY, two or more different ones';
  if (stacks.length < 2) {
    throw new UserError([
      {
        code: 'COMPARE_STACKS',
        field: '--stack',
        message: 'a comparison needs two stacks',
        found: stacks.length === 0 ? 'none' : stacks.join(' '),
        accepted,
      },
    ]);
  }
  if (new Set(stacks).size === stacks.length) return;
  throw new UserError([
    {
      code: 'COMPARE_STACK_TWICE',
      field: '--stack',
      message: 'a stack was given twice',
      found: stacks.join(' '),
      accepted,
    },
  ]);
}
