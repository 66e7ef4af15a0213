/**
 * A progress bar on standard error, only when that is a terminal (cli-progress is silent
 * otherwise).
 * @module
 */
import { SingleBar } from 'cli-progress';
import type { CaptureStream } from '../capture/reader.ts';
import type { PacketRecord } from '../capture/record.ts';
import type { RecordWalker, Slab } from '../capture/slab.ts';
import type { CaptureSource } from './capture-source.ts';

/** Redraw at most so often, in batches of records. */
const EVERY = 64;

/** The stream's batches, with a bar that follows the bytes read. `what` is being done to them. */
export function withProgress(
  stream: CaptureStream,
  source: CaptureSource,
  quiet: boolean,
  what: string,
): AsyncIterable<readonly PacketRecord[]> {
  return followed(stream, stream, source, quiet, what);
}

/** As `withProgress`, with records in bulk where they are ordinary. */
export function withProgressInBulk(
  stream: CaptureStream,
  walker: RecordWalker,
  source: CaptureSource,
  quiet: boolean,
  what: string,
): AsyncIterable<readonly PacketRecord[] | Slab> {
  return followed(stream.parts(walker), stream, source, quiet, what);
}

async function* followed<Part extends readonly PacketRecord[] | Slab>(
  parts: AsyncIterable<Part>,
  stream: CaptureStream,
  source: CaptureSource,
  quiet: boolean,
  what: string,
): AsyncGenerator<Part> {
  if (quiet || process.stderr.isTTY !== true) {
    yield* parts;
    return;
  }
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {packets} packets | {eta_formatted} left`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(1, 0, { packets: 0 });
  let packets = 0;
  let batches = 0;
  let total = 0;
  try {
    for await (const part of parts) {
      if (batches === 0) {
        // Which files stand behind a folder is known once reading began.
        total = stream.paths.reduce((sum, path) => sum + source.sizeOf(path), 0);
        bar.setTotal(Math.max(1, total));
      }
      yield part;
      packets += 'window' in part ? part.count : part.length;
      if (++batches % EVERY === 0) bar.update(Math.min(stream.bytesRead, total), { packets });
    }
  } finally {
    bar.stop();
  }
}
