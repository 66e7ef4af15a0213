/**
 * A run by several workers, as the verbs ask for it.
 * @module
 */
import { availableParallelism } from 'node:os';
import { findWalker } from '../lab/lane/columns.ts';
import { mayUseLanes } from '../lab/replay.ts';
import type { World } from '../lab/world.ts';
import type { Job, RowsJob, ShareResult } from '../workers/job.ts';
import { ownersOf, type PoolSinks, runShares } from '../workers/pool.ts';
import { type Sharing, shareOut } from '../workers/sharing.ts';
import type { CaptureSource } from './capture-source.ts';
import type { Given } from './inputs.ts';
import type { Interruption } from './interruption.ts';
import type { ReplayFlags, RunFlags } from './options.ts';
import type { Prepared } from './prepare-traffic.ts';
import { progressBar } from './progress.ts';
import { noteAlone, noteFull, say } from './say.ts';

/** What a verb has when its traffic is prepared. */
export interface RunInput {
  readonly inputs: Given;
  readonly worlds: readonly World[];
  readonly source: CaptureSource;
  readonly prepared: Prepared;
  readonly flags: ReplayFlags & RunFlags;
  readonly interruption: Interruption;
}

/** By how many workers the run is judged; says so when it is one although more were asked for. */
export function chooseWorkers({ inputs, worlds, prepared, flags }: RunInput): Sharing {
  const sharing = shareOut({
    worlds,
    packets: prepared.inputs.reduce((sum, { packets }) => sum + packets, 0),
    census: prepared.census,
    workers: flags.workers ?? (goesInBulk(worlds, flags) ? 1 : availableParallelism()),
    entryIsGiven: flags.at !== 'auto',
    dumped: inputs.dump !== undefined,
  });
  noteAlone(sharing.reason, flags);
  return sharing;
}

/** Whether one worker takes most packets in bulk, which several can not. */
function goesInBulk(worlds: readonly World[], { openLoop }: ReplayFlags): boolean {
  const [world] = worlds;
  if (world === undefined || worlds.length > 1) return false;
  return mayUseLanes({ engine: world.engine, openLoop }) && findWalker() !== null;
}

/** Have the run judged by workers. `what` is being done to packets, for the progress bar. */
export async function runTogether(
  run: RunInput,
  sharing: Sharing,
  rows: RowsJob,
  sinks: Omit<PoolSinks, 'progress'>,
  what: string,
): Promise<readonly ShareResult[]> {
  const { source, flags, interruption } = run;
  const capture = source.job();
  const bar = progressBar(flags.quiet, what, () => source.sizeOfAll(capture.paths));
  try {
    const results = await runShares(
      jobOf(run, sharing, rows),
      { ...sinks, progress: (read) => bar.update(read) },
      { isInterrupted: () => interruption.code !== 0 },
    );
    noteShares(results, flags);
    noteFull(
      results.reduce((sum, result) => sum + result.tableFull, 0),
      flags,
    );
    return results;
  } finally {
    bar.stop();
  }
}

function jobOf(
  { worlds, source, prepared, flags }: RunInput,
  sharing: Sharing,
  rows: RowsJob,
): Job {
  const [first] = worlds;
  if (first === undefined) throw new RangeError('a run has a stack');
  const { workers, clientsHidden } = sharing;
  return {
    cluster: first.cluster,
    policies: first.policies,
    stacks: worlds.map(({ stack }) => stack),
    seed: flags.seed,
    engine: first.engine.name,
    maxConnections: flags.maxConnections ?? null,
    openLoop: flags.openLoop,
    capture: source.job(),
    traffic: prepared.job,
    rows,
    clientsHidden,
    owners: ownersOf(workers, prepared.outsidePart),
    workers,
  };
}

/** How much was judged in order by one of several, and so bounds what more of them would gain. */
function noteShares(results: readonly ShareResult[], { quiet }: Pick<RunFlags, 'quiet'>): void {
  const ordered = results.reduce((sum, result) => sum + result.orderedConnections, 0);
  const connections = Math.max(...results.map((result) => result.connections));
  if (quiet || ordered === 0) return;
  say(
    `note: ${results.length} workers; ${ordered} of ${connections} connections were judged in order ` +
      'by one of them: their source may be translated, or they meet what is',
  );
}
