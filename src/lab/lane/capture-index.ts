/**
 * The index that a first look leaves of a capture of one file, for who reads it again: an entry for
 * each record, and a row for each conversation that an entry names (native/src/lane/index.hh).
 *
 * Both stand in memory that threads share.
 * @module
 */
import { ENTRY_BYTES, type NativeLanes } from '../../engine/compiled/lane-door.ts';

/** Rows of all numbers, beyond which there is no index: a scan has as many as it has packets. */
const MOST_ROWS = 2 ** 21;
/** Records beyond which there is no index. */
const MOST_RECORDS = 2 ** 26;
/** The shortest record of a capture file: its header, and a header of Ethernet. */
const LEAST_RECORD_BYTES = 30;

export interface CaptureIndex {
  /** By place in the capture, from 0: number, direction and whether it is as usual; 0: unknown. */
  readonly entries: Uint32Array;
  /** Rows of `ENTRY_BYTES.row` bytes: that of number n stands at n - 1. */
  readonly rows: Uint8Array;
}

/** Entries for all records that a file of so many bytes can have; null when they are too many. */
export function makeEntries(fileBytes: number): Uint32Array | null {
  const records = Math.ceil(fileBytes / LEAST_RECORD_BYTES);
  if (records > MOST_RECORDS) return null;
  return new Uint32Array(new SharedArrayBuffer(4 * records));
}

/** Rows of one who looked, in the order of his numbers; null when they were too many. */
export type RowPieces = readonly Uint8Array[] | null;

/** What one who looked leaves: rows, and the chunks whose entries have his numbers. */
export interface IndexPart {
  readonly rows: RowPieces;
  readonly chunks: readonly number[];
}

/** Keeps the rows of one who looks. */
export class RowKeeper {
  #pieces: Uint8Array[] | null = [];
  #count = 0;

  add(piece: Uint8Array): void {
    this.#count += rowsIn(piece);
    if (this.#count > MOST_ROWS) this.#pieces = null;
    this.#pieces?.push(piece);
  }

  get pieces(): RowPieces {
    return this.#pieces;
  }
}

/**
 * The index of a capture of which several looked at chunks of so many records: their numbers become
 * one row of numbers, in the order of the parts. Null when some had too many.
 */
export function joinIndex(
  entries: Uint32Array,
  parts: readonly IndexPart[],
  chunkRecords: number,
  native: NativeLanes,
): CaptureIndex | null {
  let numbers = 0;
  for (const { rows } of parts) {
    if (rows === null) return null;
    numbers += rows.reduce((sum, piece) => sum + rowsIn(piece), 0);
  }
  if (numbers > MOST_ROWS) return null;
  const all = new Uint8Array(new SharedArrayBuffer(numbers * ENTRY_BYTES.row));
  let used = 0;
  for (const { rows, chunks } of parts) {
    renumber(entries, chunks, chunkRecords, used / ENTRY_BYTES.row);
    for (const piece of rows ?? []) {
      all.set(piece, used);
      used += piece.length;
    }
  }
  native.unite(all);
  return { entries, rows: all };
}

function rowsIn(piece: Uint8Array): number {
  return piece.length / ENTRY_BYTES.row;
}

/** Numbers have their place above direction and usualness. */
const NUMBER_ONE = 4;

function renumber(
  entries: Uint32Array,
  chunks: readonly number[],
  chunkRecords: number,
  before: number,
): void {
  if (before === 0) return;
  const add = before * NUMBER_ONE;
  for (const chunk of chunks) {
    const to = Math.min(entries.length, (chunk + 1) * chunkRecords);
    for (let at = chunk * chunkRecords; at < to; at++) {
      const entry = entries[at] ?? 0;
      if (entry !== 0) entries[at] = entry + add;
    }
  }
}
