/**
 * A run by several workers, as the verbs ask for it.
 * @module
 */
import { availableParallelism } from 'node:os';
import { digestFile, type FileDigest } from '../capture/file-digest.ts';
import type { InputSummary } from '../capture/record.ts';
import { assert } from '../diagnostic/diagnostic.ts';
import { hasWalker } from '../lab/lane/columns.ts';
import { mayUseLanes } from '../lab/replay.ts';
import type { World } from '../lab/world.ts';
import type { Job, RowsJob, ShareResult } from '../workers/job.ts';
import { ownersOf, weightsOf } from '../workers/owners.ts';
import { type PoolSinks, runShares } from '../workers/pool.ts';
import { Shards } from '../workers/shards.ts';
import { gainsInBulk, type Sharing, shareOut } from '../workers/sharing.ts';
import type { CaptureSource } from './input/capture-source.ts';
import { batchOf } from './input/in-bulk.ts';
import type { Given } from './input/inputs.ts';
import type { Prepared } from './input/prepare-traffic.ts';
import type { ReplayFlags, RunFlags } from './options.ts';
import type { Interruption } from './output/interruption.ts';
import { progressBar } from './output/progress.ts';
import { noteAlone, noteFull, say } from './output/say.ts';

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
export function chooseWorkers(run: RunInput): Sharing {
  const { inputs, worlds, prepared, flags, interruption } = run;
  // Interrupted in the first pass: the little that is still judged is not worth starting workers.
  if (interruption.code !== 0) return { workers: 1, reason: null, clientsHidden: false };
  const { census } = prepared;
  const packets = prepared.inputs.reduce((sum, input) => sum + input.packets, 0);
  const gains = !goesInBulk(worlds, flags) || gainsInBulk(packets, census.tuples);
  const sharing = shareOut({
    worlds,
    packets,
    census,
    workers: flags.workers ?? (gains ? availableParallelism() : 1),
    entryIsGiven: flags.at !== 'auto',
    dumped: inputs.dump !== undefined,
  });
  noteAlone(sharing.reason, flags);
  return sharing;
}

/** Whether most packets are moved in bulk. */
function goesInBulk(worlds: readonly World[], { openLoop }: ReplayFlags): boolean {
  return worlds.every(({ engine }) => mayUseLanes({ engine, openLoop })) && hasWalker();
}

/** What workers counted, and what they read. */
export interface Together {
  readonly results: readonly ShareResult[];
  readonly inputs: readonly InputSummary[];
}

export interface TogetherOptions {
  /** What is being done to packets, for the progress bar. */
  readonly what: string;
  /** Whether somebody names the inputs' digests. */
  readonly digest: boolean;
}

/** Have the run judged by workers; null when it was interrupted before they had begun. */
export async function runTogether(
  run: RunInput,
  sharing: Sharing,
  rows: RowsJob,
  sinks: Omit<PoolSinks, 'progress'>,
  { what, digest }: TogetherOptions,
): Promise<Together | null> {
  const { source, flags, interruption } = run;
  const capture = source.job();
  // Once, here, while the workers read without.
  const digests = digest ? digestAll(filesOf(run)) : null;
  const bar = await progressBar(flags.quiet, what, () => source.sizeOfAll(capture.paths));
  try {
    const results = await runShares(
      jobOf(run, sharing, rows),
      { ...sinks, progress: (read) => bar.update(read) },
      { isInterrupted: () => interruption.code !== 0 },
    );
    if (results === null) {
      // Nobody asks for them any more.
      digests?.catch(() => {});
      return null;
    }
    noteShares(results, flags);
    noteFull(
      results.reduce((sum, result) => sum + result.tableFull, 0),
      flags,
    );
    const [first] = results;
    assert(first !== undefined, 'a run has workers');
    const isCounted = capture.count !== null && !first.interrupted;
    const known = digests === null ? null : { digests: await digests, isCounted };
    const inputs = known === null ? first.inputs : await digested(first.inputs, known);
    return { results, inputs: source.summaries({ summaries: inputs }) };
  } finally {
    bar.stop();
  }
}

/** Digests of stored files, by path as readers name them. */
type Digests = ReadonlyMap<string, FileDigest>;

/** Files as the first reading named them. */
function filesOf({ source, prepared }: RunInput): readonly string[] {
  return source.resolved(prepared.inputs.map(({ path }) => path));
}

async function digestAll(paths: readonly string[]): Promise<Digests> {
  const digests = new Map<string, FileDigest>();
  for (const path of new Set(paths)) {
    const found = await digestFile(path);
    if (found !== null) digests.set(path, found);
  }
  return digests;
}

/**
 * What was read of each file, with its digest: of a file's beginning, where that was read; of all
 * of it, where a count ended the reading.
 */
async function digested(
  inputs: readonly InputSummary[],
  { digests, isCounted }: { readonly digests: Digests; readonly isCounted: boolean },
): Promise<readonly InputSummary[]> {
  const all: InputSummary[] = [];
  for (const input of inputs) {
    const { path, readToEnd } = input;
    const whole = digests.get(path);
    const bytes = isCounted && readToEnd === false ? (whole?.bytes ?? input.bytes) : input.bytes;
    const found = whole?.bytes === bytes ? whole : await digestFile(path, bytes);
    all.push({ ...input, bytes, sha256: found?.sha256 ?? '' });
  }
  return all;
}

function jobOf(
  { worlds, source, prepared, flags }: RunInput,
  sharing: Sharing,
  rows: RowsJob,
): Job {
  const [first] = worlds;
  if (first === undefined) throw new RangeError('a run has a stack');
  const { workers, clientsHidden } = sharing;
  const { cluster, addresses, identities } = first;
  const { fragmented } = prepared.job;
  const shards = new Shards({ cluster, addresses, fragmented, clientsHidden });
  const weights = weightsOf(shards, identities, prepared.pairs);
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
    index: prepared.index,
    rows,
    clientsHidden,
    owners: ownersOf(workers, weights),
    batch: batchOf(worlds, prepared),
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
