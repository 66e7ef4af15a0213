/**
 * One thread of a shared first pass: it reads the capture, and looks at the chunks that it claims.
 * @module
 */
import { openCaptures } from '../capture/reader.ts';
import { findWalker } from '../lab/lane/columns.ts';
import { type BulkPart, BulkSurvey } from '../lab/lane/look.ts';
import type { CHUNK } from '../lab/traffic/chunks.ts';
import { ChunkClaims } from './chunk-claims.ts';

/** What a thread is told. */
export interface LookTask {
  readonly path: string;
  readonly claims: SharedArrayBuffer;
  readonly sizes: typeof CHUNK;
  /** Where the index goes, in memory that threads share. */
  readonly entries: Uint32Array | null;
}

/** Packets under several ends beyond which one thread joins them as it reads. */
export const MOST_JOINS = 50_000;

/** Look at a share of the chunks of a capture of one file; null when nobody needs it any more. */
export async function lookAtShare({
  path,
  claims,
  sizes,
  entries,
}: LookTask): Promise<BulkPart | null> {
  const shared = new ChunkClaims(claims);
  const walker = findWalker();
  if (walker === null) throw new Error('a shared first pass needs native code');
  const bulk = new BulkSurvey(walker, { claim: () => shared.claim(), sizes, entries });
  for await (const part of openCaptures([path], { digest: false }).parts(walker)) {
    bulk.take(part, true);
    if (bulk.joins.length > MOST_JOINS) shared.giveUp();
    if (shared.isGivenUp) return null;
    if (shared.isBeyond(bulk.claimed)) break;
  }
  return bulk.part();
}
