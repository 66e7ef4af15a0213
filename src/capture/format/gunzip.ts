/**
 * gzip (RFC 1952), decompressed as it is read, keeping everything that came before a cut.
 *
 * Node's stream throws away what is buffered when it fails, so its output is taken by event, and
 * the end is announced only after the last piece was worked off: a truncated file then gives all
 * its bytes first and the error after. Damage inside the stream loses at most one output buffer.
 * @module
 */
import { createGunzip } from 'node:zlib';
import type { Chunks } from './chunks.ts';

/** Compressed bytes per write: bounds what one write can blow up to (deflate: 1032 times). */
const SLICE_BYTES = 16 * 1024;
const OUTPUT_BYTES = 64 * 1024;

/** Decompress `input`; `next` rejects after the last whole piece when the stream is damaged. */
export function gunzipChunks(input: Chunks): Chunks {
  const gunzip = createGunzip({ chunkSize: OUTPUT_BYTES });
  const ready: Uint8Array[] = [];
  let failure: Error | null = null;
  let closed = false;
  let pending: Uint8Array = new Uint8Array(0);
  let finished = false;
  gunzip.on('data', (piece: Buffer) => {
    ready.push(new Uint8Array(piece.buffer, piece.byteOffset, piece.length));
  });
  gunzip.on('error', (error: Error) => {
    failure ??= error;
  });
  const whenClosed = new Promise<void>((resolve) => {
    gunzip.on('close', () => {
      closed = true;
      resolve();
    });
  });

  async function step(): Promise<void> {
    if (pending.length === 0) {
      const chunk = await input.next();
      if (chunk === null) {
        finished = true;
        gunzip.end();
        await whenClosed;
        return;
      }
      pending = chunk;
    }
    const slice = pending.subarray(0, SLICE_BYTES);
    pending = pending.subarray(slice.length);
    const written = new Promise<void>((resolve) => gunzip.write(slice, () => resolve()));
    await Promise.race([written, whenClosed]);
    if (closed) finished = true;
  }

  return {
    next: async () => {
      while (ready.length === 0 && !finished && failure === null) await step();
      const piece = ready.shift();
      if (piece !== undefined) return piece;
      if (failure !== null) throw new Error(`the gzip stream is damaged: ${failure.message}`);
      return null;
    },
    close: async () => {
      gunzip.destroy();
      await input.close();
    },
  };
}
