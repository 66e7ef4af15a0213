/**
 * Captures that are large enough to be taken in bulk: by which engine they are judged, and how
 * their records come.
 * @module
 */
import { captureFiles } from '../../capture/capture-files.ts';
import type { CaptureStream } from '../../capture/reader.ts';
import { chooseEngine } from '../../engine/make-engine.ts';
import { recordsAtATime } from '../../lab/lane/batch-size.ts';
import { findWalker } from '../../lab/lane/columns.ts';
import { mayUseLanes } from '../../lab/replay.ts';
import type { World } from '../../lab/world.ts';
import type { ReplayFlags, RunFlags } from '../options.ts';
import { withProgress, withProgressInBulk } from '../output/progress.ts';
import { say } from '../output/say.ts';
import type { CaptureSource } from './capture-source.ts';
import type { Prepared } from './prepare-traffic.ts';

/** Captures below this are judged before the compiled engine's tables are laid out. */
const BULK_BYTES = 4 * 1024 * 1024;

/**
 * What `--engine auto` comes to: the compiled engine where it is there and the capture is large
 * enough to be taken in bulk. Both engines say the same; this is a question of time only.
 */
export async function engineFor(
  source: CaptureSource,
  { dump }: { readonly dump?: unknown },
  { engine, openLoop, workers, quiet }: ReplayFlags & RunFlags,
): Promise<RunFlags['engine']> {
  if (engine !== 'auto' || openLoop || dump !== undefined || (workers ?? 1) > 1) return engine;
  // What can not be read is told by the reading itself; pipes are of no known size.
  const files = await captureFiles(source.paths).catch(() => []);
  if (source.sizeOfAll(files) < BULK_BYTES) return 'reference';
  const { missing } = chooseEngine('auto');
  if (missing === null) return 'compiled';
  if (!quiet) say(`note: the reference engine judges: no compiled engine here (${missing})`);
  return 'reference';
}

/** How many records are taken at a time in the second reading. */
export function batchOf(worlds: readonly World[], { inputs, census }: Prepared): number {
  const packets = inputs.reduce((sum, input) => sum + input.packets, 0);
  const [world] = worlds;
  return recordsAtATime(world?.engine.name ?? 'reference', packets, census.tuples);
}

/**
 * The records of the second reading: in bulk where every stack can take them so.
 *
 * @param what is being done to them, for the progress bar
 */
export function recordsOf(
  stream: CaptureStream,
  source: CaptureSource,
  { quiet, openLoop }: ReplayFlags & RunFlags,
  worlds: readonly World[],
  prepared: Prepared,
  what: string,
) {
  const isBulk = worlds.every(({ engine }) => mayUseLanes({ engine, openLoop }));
  const walker = isBulk ? findWalker(batchOf(worlds, prepared)) : null;
  if (walker === null) return { records: withProgress(stream, source, quiet, what) };
  const records = withProgressInBulk(stream, walker, source, quiet, what);
  return { records, walker, index: prepared.index };
}
