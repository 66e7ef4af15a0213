/**
 * Lines of rows as strings.
 * @module
 */
import type { FrameResult } from '../../src/lab/result.ts';
import type { SharedTerms } from '../../src/lab/run/row-terms.ts';
import { ByteText } from '../../src/report/text/byte-text.ts';
import type { FrameLines } from '../../src/report/text/frame-lines.ts';

/** The line of a row by itself. */
export function lineOf(lines: FrameLines, row: FrameResult): string {
  const text = new ByteText();
  lines.row(row, text);
  return Buffer.from(text.bytes).toString('utf8');
}

/** The line of a row of terms that others have, too. */
export function lineAlike(
  lines: FrameLines,
  terms: SharedTerms,
  { frame, timeNs, notes }: Pick<FrameResult, 'timeNs' | 'notes'> & { readonly frame: number },
): string {
  const text = new ByteText();
  terms.words ??= [lines.wordsOf(terms)];
  lines.alike(terms.words[0] ?? new Uint8Array(), frame, timeNs, notes, text);
  return Buffer.from(text.bytes).toString('utf8');
}
