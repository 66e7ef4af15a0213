/**
 * Rows of frames as lines of text: JSON, CSV. What many rows have in common is put into words once,
 * and copied.
 * @module
 */
import type { FrameResult } from '../../lab/result.ts';
import type { RowTerms } from '../../lab/run/row-terms.ts';
import { formatTime, frameJson } from '../json-shape.ts';
import type { ByteText } from './byte-text.ts';

/** How one format writes rows. */
export interface FrameFormat {
  /** A whole row. */
  readonly whole: (row: FrameResult) => string;
  /** What stands before the frame's number, between it and the time, and behind the time. */
  readonly around: readonly [string, string, string];
  /** What follows, of rows that have it in common; without notes and end. */
  readonly tail: (terms: RowTerms) => string;
  /** Notes, of which there are some. */
  readonly notes: (notes: readonly string[]) => string;
  readonly end: string;
}

/** What a row's terms leave out. */
export const OF_NO_FRAME = { frame: null, timeNs: 0n, notes: [] } as const;

export const JSON_LINES: FrameFormat = {
  whole: (row) => `${JSON.stringify(frameJson(row))}\n`,
  around: ['{"frame":', ',"time":"', '",'],
  tail: (terms) => {
    const { frame: _frame, time: _time, ...rest } = frameJson({ ...terms, ...OF_NO_FRAME });
    return JSON.stringify(rest).slice(1, -1);
  },
  notes: (notes) => `,"notes":${JSON.stringify(notes)}`,
  end: '}\n',
};

const SECOND_NS = 1_000_000_000n;
const DIGITS_OF_NS = 9;
const ZULU = Buffer.from('Z');
/** `2026-11-21T14:00:00.123456789Z`, and up to its fraction. */
const ISO_LENGTH = 30;
const SECOND_LENGTH = 20;

export class FrameLines {
  readonly #format: FrameFormat;
  readonly #before: Uint8Array;
  readonly #end: Uint8Array;
  #secondNs = 0n;
  /** What stands between number and fraction; null before the first time. */
  #second: Uint8Array | null = null;

  constructor(format: FrameFormat) {
    const [before] = format.around;
    this.#format = format;
    this.#before = Buffer.from(before);
    this.#end = Buffer.from(format.end);
  }

  /** Add a row as one line, with its end. */
  row(row: FrameResult, to: ByteText): void {
    to.text(this.#format.whole(row));
  }

  /** What rows of these terms have in common: everything behind the time, up to the notes. */
  wordsOf(terms: RowTerms): Uint8Array {
    const [, , after] = this.#format.around;
    return Buffer.from(`${after}${this.#format.tail(terms)}`);
  }

  /** Add a row of which these are the words, as `row` would. */
  alike(
    words: Uint8Array,
    frame: number,
    timeNs: bigint,
    notes: readonly string[],
    to: ByteText,
  ): void {
    to.few(this.#before);
    to.number(frame);
    const second = this.#secondOf(timeNs);
    if (second === null) {
      to.text(this.#format.around[1]);
      to.text(formatTime(timeNs));
    } else {
      to.few(second);
      to.padded(Number(timeNs - this.#secondNs), DIGITS_OF_NS);
      to.few(ZULU);
    }
    to.copy(words);
    if (notes.length > 0) to.text(this.#format.notes(notes));
    to.few(this.#end);
  }

  /**
   * What stands between a frame's number and the fraction of its time; it is put into words when
   * the second changes. Null for times that are not written with a fraction.
   */
  #secondOf(timeNs: bigint): Uint8Array | null {
    const ns = Number(timeNs - this.#secondNs);
    if (this.#second !== null && ns >= 0 && ns < 1e9) return this.#second;
    const text = formatTime(timeNs);
    if (timeNs < 0n || text.length !== ISO_LENGTH) return null;
    const [, between] = this.#format.around;
    this.#secondNs = (timeNs / SECOND_NS) * SECOND_NS;
    this.#second = Buffer.from(`${between}${text.slice(0, SECOND_LENGTH)}`);
    return this.#second;
  }
}
