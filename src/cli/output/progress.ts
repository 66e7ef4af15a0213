/**
 * A progress bar on standard error, only when that is a terminal.
 * @module
 */
import type { CaptureStream } from '../../capture/reader.ts';
import type { PacketRecord } from '../../capture/record.ts';
import type { RecordWalker, Slab } from '../../capture/slab.ts';
import type { CaptureSource } from '../input/capture-source.ts';

/** Redraw at most so often, in batches of records. */
const EVERY = 64;

/** A bar that follows bytes read; nothing when nobody watches. */
export interface Progress {
  update(read: { readonly bytes: number; readonly packets: number }): void;
  stop(): void;
}

const NO_PROGRESS: Progress = { update: () => {}, stop: () => {} };

/** Begin a bar; `total` is asked for with the first update: files are known once reading began. */
export async function progressBar(
  quiet: boolean,
  what: string,
  total: () => number,
): Promise<Progress> {
  if (quiet || process.stderr.isTTY !== true) return NO_PROGRESS;
  // Loaded by runs that somebody watches.
  const { SingleBar } = await import('cli-progress');
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {packets} packets | {eta_formatted} left`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(1, 0, { packets: 0 });
  let size = 0;
  return {
    update({ bytes, packets }) {
      if (size === 0) {
        size = Math.max(1, total());
        bar.setTotal(size);
      }
      bar.update(Math.min(bytes, size), { packets });
    },
    stop: () => bar.stop(),
  };
}

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
  const bar = await progressBar(quiet, what, () => source.sizeOfAll(stream.paths));
  let packets = 0;
  let batches = 0;
  try {
    for await (const part of parts) {
      yield part;
      packets += 'window' in part ? part.count : part.length;
      if (++batches % EVERY === 0) bar.update({ bytes: stream.bytesRead, packets });
    }
  } finally {
    bar.stop();
  }
}
