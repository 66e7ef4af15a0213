/**
 * A progress bar on standard error, only when that is a terminal (cli-progress is silent
 * otherwise).
 * @module
 */

import { statSync } from 'node:fs';
import { SingleBar } from 'cli-progress';
import type { CaptureStream } from '../capture/reader.ts';

/** Redraw at most so often, in batches of records. */
const EVERY = 64;

/** The stream's batches, with a bar that follows the bytes read. */
export async function* withProgress(
  stream: CaptureStream,
  paths: readonly string[],
  quiet: boolean,
): CaptureStreamBatches {
  if (quiet || process.stderr.isTTY !== true) {
    yield* stream;
    return;
  }
  const total = paths.reduce((sum, path) => sum + sizeOf(path), 0);
  const bar = new SingleBar({
    format: '{bar} {percentage}% | {packets} packets | {eta_formatted} left',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(total, 0, { packets: 0 });
  let packets = 0;
  let batches = 0;
  try {
    for await (const batch of stream) {
      yield batch;
      packets += batch.length;
      if (++batches % EVERY === 0) bar.update(Math.min(stream.bytesRead, total), { packets });
    }
  } finally {
    bar.stop();
  }
}

type CaptureStreamBatches = AsyncGenerator<
  CaptureStream extends AsyncIterable<infer B> ? B : never
>;

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    // A path that can not be read is the reader's to report, with everything else that is wrong.
    return 0;
  }
}
