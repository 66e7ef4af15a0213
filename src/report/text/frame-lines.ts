/**
 * Rows of frames as JSON lines. What many rows have in common is put into words once.
 * @module
 */
import type { FrameResult } from '../../lab/result.ts';
import { formatTime, frameJson } from '../json-shape.ts';

const SECOND_NS = 1_000_000_000n;
/** `2026-11-21T14:00:00.123456789Z`, and up to its seconds. */
const ISO_LENGTH = 30;
const SECOND_LENGTH = 19;

export class FrameLines {
  /** By what rows have in common: everything behind the time, up to the notes. */
  readonly #tails = new WeakMap<object, string>();
  #secondNs = 0n;
  #second: string | null = null;

  /** The row as one line, without its end. */
  of(row: FrameResult): string {
    const { like, frame, notes } = row;
    if (like === undefined || row.cause !== undefined) return JSON.stringify(frameJson(row));
    let tail = this.#tails.get(like);
    if (tail === undefined) {
      const { frame: _frame, time: _time, ...rest } = frameJson({ ...row, notes: [] });
      tail = JSON.stringify(rest).slice(1, -1);
      this.#tails.set(like, tail);
    }
    const noted = notes.length === 0 ? '' : `,"notes":${JSON.stringify(notes)}`;
    return `{"frame":${frame},"time":"${this.#time(row.timeNs)}",${tail}${noted}}`;
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
