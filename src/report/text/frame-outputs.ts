/**
 * Rows of frames on their way to the outputs that carry them, each as a line of text.
 * @module
 */
import type { FrameResult } from '../../lab/result.ts';
import type { SharedTerms } from '../../lab/run/row-terms.ts';
import type { ByteText } from './byte-text.ts';
import type { FrameLines } from './frame-lines.ts';

/** Where lines go: added to `text`, and told of. */
export interface LineSink {
  readonly text: ByteText;
  added(frame: number): void;
}

/** An output that carries rows of frames. */
export interface FrameOutput {
  readonly lines: FrameLines;
  readonly to: LineSink;
}

const NO_WORDS: readonly Uint8Array[] = [];

export class FrameOutputs {
  readonly #outputs: readonly FrameOutput[];
  readonly #isShown: (row: Pick<FrameResult, 'from' | 'to'>) => boolean;

  constructor(
    outputs: readonly FrameOutput[],
    isShown: (row: Pick<FrameResult, 'from' | 'to'>) => boolean,
  ) {
    this.#outputs = outputs;
    this.#isShown = isShown;
  }

  /** `at`: the frame, or the one before a row that has none. */
  row(row: FrameResult, at: number): void {
    if (!this.#isShown(row)) return;
    for (const { lines, to } of this.#outputs) {
      lines.row(row, to.text);
      to.added(at);
    }
  }

  /** A row of terms that other rows have, too: what they say is put into words once. */
  alike(terms: SharedTerms, frame: number, timeNs: bigint, notes: readonly string[]): void {
    terms.words ??= this.#wordsOf(terms);
    const { words } = terms;
    for (let i = 0; i < words.length; i++) {
      const output = this.#outputs[i];
      const said = words[i];
      if (output === undefined || said === undefined) return;
      output.lines.alike(said, frame, timeNs, notes, output.to.text);
      output.to.added(frame);
    }
  }

  #wordsOf(terms: SharedTerms): readonly Uint8Array[] {
    if (!this.#isShown(terms)) return NO_WORDS;
    return this.#outputs.map(({ lines }) => lines.wordsOf(terms));
  }
}
