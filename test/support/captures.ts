/**
 * Captures for tests: the shared corpus when it is beside the checkout, temporary folders, and
 * readings drained into memory.
 * @module
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CaptureOptions, openCaptures } from '../../src/capture/reader.ts';
import type { InputSummary, PacketRecord, ResolvedName } from '../../src/capture/record.ts';

/** The corpus of real captures beside the checkout. */
export const CORPUS = resolve('../shared/data/captures');

/** Every capture of the corpus by name, or null when there is no corpus. */
export function corpusFiles(): string[] | null {
  if (!existsSync(CORPUS)) return null;
  return readdirSync(CORPUS)
    .filter((name) => /\.pcap/.test(name))
    .sort()
    .map((name) => join(CORPUS, name));
}

/** Make a folder that `done` removes. */
export function temporaryFolder(): { readonly path: string; done(): void } {
  const path = mkdtempSync(join(tmpdir(), 'wiretrial-capture-'));
  return { path, done: () => rmSync(path, { recursive: true, force: true }) };
}

/** A record whose bytes are the test's own. */
export interface Reading {
  readonly records: readonly PacketRecord[];
  readonly summaries: readonly InputSummary[];
  readonly names: readonly ResolvedName[];
  /** Lengths of the batches as they came. */
  readonly batches: readonly number[];
}

/** Read captures to their end, copying every packet. */
export async function readAll(
  paths: readonly string[],
  options: CaptureOptions = {},
): Promise<Reading> {
  const stream = openCaptures(paths, options);
  const records: PacketRecord[] = [];
  const batches: number[] = [];
  for await (const batch of stream) {
    batches.push(batch.length);
    for (const record of batch) records.push({ ...record, data: record.data.slice() });
  }
  return { records, batches, summaries: stream.summaries, names: stream.names };
}
