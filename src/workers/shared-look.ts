/**
 * The first pass over a large capture of one file, shared out among threads: chunks of it are
 * looked at side by side, and what was seen is put together in the order of the capture.
 *
 * What is seen of a chunk hangs on the chunk and on the packets right before it alone
 * (lab/traffic/chunks.ts), so that it does not matter who looks, or by how many.
 * @module
 */
import { Piscina } from 'piscina';
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { CaptureIndex } from '../lab/lane/capture-index.ts';
import type { LaneWalker } from '../lab/lane/columns.ts';
import { type BulkPart, BulkSurvey } from '../lab/lane/look.ts';
import { CHUNK } from '../lab/traffic/chunks.ts';
import type { Survey } from '../lab/traffic/survey.ts';
import { ChunkClaims } from './chunk-claims.ts';
import { type LookTask, MOST_JOINS } from './look-share.ts';

const MODULE = new URL('./look-share.js', import.meta.url).href;

export interface SharedLookOptions {
  readonly walker: LaneWalker;
  /** The capture's file. */
  readonly path: string;
  /** Threads, this one included. */
  readonly threads: number;
  readonly sizes?: typeof CHUNK;
  /** Where an index of the capture goes, in memory that threads share; absent: there is none. */
  readonly entries?: Uint32Array | null;
  /** The module whose `lookAtShare` is run, for tests of what happens when it fails. */
  readonly module?: string;
}

export class SharedLook {
  /** This thread's share. */
  readonly bulk: BulkSurvey;
  /** What was left for who reads the capture again, once all is joined. */
  index: CaptureIndex | null = null;
  readonly #claims = new ChunkClaims();
  readonly #pool: Piscina<LookTask, BulkPart | null>;
  readonly #parts: Promise<readonly (BulkPart | null)[]>;
  readonly #sizes: typeof CHUNK;

  constructor(options: SharedLookOptions) {
    const { walker, path, threads, sizes = CHUNK, entries = null, module = MODULE } = options;
    const claims = this.#claims;
    this.#sizes = sizes;
    this.bulk = new BulkSurvey(walker, { claim: () => claims.claim(), sizes, entries });
    this.#pool = new Piscina({
      filename: module,
      maxThreads: threads - 1,
      minThreads: threads - 1,
      concurrentTasksPerWorker: 1,
      atomics: 'disabled',
    });
    const task = { path, claims: claims.memory, sizes, entries };
    const shares = Array.from({ length: threads - 1 }, () =>
      this.#pool.run(task, { name: 'lookAtShare' }),
    );
    this.#parts = Promise.all(shares);
    // It is awaited when this thread's share is over.
    this.#parts.catch(() => {});
  }

  /**
   * Whether there is so much to put together that it is not worth it: the capture is to be looked
   * at once more by one. Asked after each part of it.
   */
  get isGivenUp(): boolean {
    if (this.bulk.joins.length > MOST_JOINS) this.#claims.giveUp();
    return this.#claims.isGivenUp;
  }

  /**
   * The capture was read to its end: what all saw; null when it was given up.
   *
   * @throws InternalError when a thread ended before its share was over
   */
  async joined(frames: number): Promise<Survey | null> {
    this.#claims.end(Math.max(1, Math.ceil(frames / this.#sizes.records)));
    let parts: readonly (BulkPart | null)[];
    try {
      parts = await this.#parts;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new InternalError(`a thread of the first pass ended before its work was done: ${why}`);
    }
    const seen = parts.flatMap((part) => part ?? []);
    if (seen.length < parts.length) return null;
    this.index = this.bulk.index(seen);
    return this.bulk.joined(seen);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
