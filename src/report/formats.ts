/**
 * `-o FORMAT` and `-o FORMAT=PATH`.
 * @module
 */
import { type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { fileOutput, standardOutput, type TextOutput } from './text/text-output.ts';

export const FORMATS = ['table', 'wide', 'json', 'jsonl', 'yaml', 'csv', 'markdown'] as const;
export type Format = (typeof FORMATS)[number];

export interface OutputRequest<F extends string = Format> {
  readonly format: F;
  /** Null: standard output. */
  readonly path: string | null;
}

/** Read `-o` options, all mistakes at once; the default is a table on standard output. */
export function parseOutputs<F extends string>(
  options: readonly string[],
  accepted: readonly (F | 'table')[],
): readonly OutputRequest<F | 'table'>[] {
  if (options.length === 0) return [{ format: 'table', path: null }];
  const mistakes: Diagnostic[] = [];
  const requests = options.flatMap((text) => {
    const [name = '', ...rest] = text.split('=');
    const format = accepted.find((f) => f === name);
    const path = rest.length === 0 ? null : rest.join('=');
    if (format !== undefined && path !== '') return [{ format, path }];
    mistakes.push({
      code: format === undefined ? 'OUTPUT_FORMAT' : 'OUTPUT_PATH',
      field: '-o',
      message: format === undefined ? 'unknown output format' : 'no path stands after =',
      found: text,
      accepted: `${accepted.join(', ')}, or FORMAT=PATH`,
    });
    return [];
  });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return requests;
}

export function openOutput(request: { readonly path: string | null }): TextOutput {
  return request.path === null || request.path === '-'
    ? standardOutput()
    : fileOutput(request.path);
}

/** Whether one of them names the digests of the files that were read. */
export function namesDigests(outputs: readonly OutputRequest[]): boolean {
  return outputs.some(({ format }) => format === 'json' || format === 'yaml');
}
