/**
 * Rows of frames as lines of text: JSON, CSV. What many rows have in common is put into words once.
 * @module
 */
import type { FrameResult } from '../../lab/result.ts';
import { formatTime, frameJson } from '../json-shape.ts';

/** How one format writes rows. */
export interface FrameFormat {
  /** A whole row. */
  readonly whole: (row: FrameResult) => string;
  /** What stands behind the time, of rows that have it in common; without notes. */
  readonly tail: (row: FrameResult) => string;
  /** A row that is put together: its time, its tail, and notes, of which there may be none. */
  readonly line: (frame: number, time: string, tail: string, notes: readonly string[]) => string;
}

export const JSON_LINES: FrameFormat = {
  whole: (row) => `${JSON.stringify(frameJson(row))}\n`,
  tail: (row) => {
    const { frame: _frame, time: _time, ...rest } = frameJson({ ...row, notes: [] });
    return JSON.stringify(rest).slice(1, -1);
  },
  line: (frame, time, tail, notes) => {
    const noted = notes.length === 0 ? '' : `,"notes":${JSON.stringify(notes)}`;
    return `{"frame":${frame},"time":"${time}",${tail}${noted}}\n`;
  },
};

const SECOND_NS = 1_000_000_000n;
/** `2026-11-21T14:00:00.123456789Z`, and up to its seconds. */
const ISO_LENGTH = 30;
const SECOND_LENGTH = 19;

export class FrameLines {
  readonly #format: FrameFormat;
  /** By what rows have in common: everything behind the time, up to the notes. */
  readonly #tails = new WeakMap<object, string>();
  #secondNs = 0n;
  #second: string | null = null;

  constructor(format: FrameFormat) {
    this.#format = format;
  }

  /** The row as one line, with its end. */
  of(row: FrameResult): string {
    const { whole, tail: tailOf, line } = this.#format;
    const { like, frame } = row;
    if (like === undefined || row.cause !== undefined || frame === null) return whole(row);
    let tail = this.#tails.get(like);
    if (tail === undefined) {
      tail = tailOf(row);
      this.#tails.set(like, tail);
    }
    return line(frame, this.#time(row.timeNs), tail, row.notes);
  }

  /** As `formatTime`; the second is put into words when it changes. */
  #time(timeNs: bigint): string {
    let ns = Number(timeNs - this.#secondNs);
    if (this.#second === null || ns < 0 || ns >= 1e9) {
      const text = formatTime(timeNs);
      if (timeNs < 0n || text.length !== ISO_LENGTH) return text;
      this.#secondNs = (timeNs / SECOND_NS) * SECOND_NS;
      this.#second = text.slice(0, SECOND_LENGTH);
      ns = Number(timeNs - this.#secondNs);
    }
    return `${this.#second}.${String(ns).padStart(9, '0')}Z`;
  }
}
