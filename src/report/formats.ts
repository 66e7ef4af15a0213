/**
 * `-o FORMAT` and `-o FORMAT=PATH`.
 * @module
 */
import { UserError } from '../diagnostic/diagnostic.ts';
import { fileOutput, standardOutput, type TextOutput } from './text-output.ts';

export const FORMATS = ['table', 'wide', 'json', 'jsonl', 'yaml', 'csv', 'markdown'] as const;
export type Format = (typeof FORMATS)[number];

export interface OutputRequest {
  readonly format: Format;
  /** Null: standard output. */
  readonly path: string | null;
}

/** Read `-o` options; the default is a table. At most one of them may go to standard output. */
export function parseOutputs(
  options: readonly string[],
  accepted: readonly Format[] = FORMATS,
): readonly OutputRequest[] {
  if (options.length === 0) return [{ format: 'table', path: null }];
  const requests = options.map((text) => {
    const [name = '', ...rest] = text.split('=');
    const format = accepted.find((f) => f === name);
    if (format === undefined) {
      const hint = `${accepted.join('|')}, or FORMAT=PATH`;
      throw new UserError([
        {
          code: 'OUTPUT_FORMAT',
          field: '-o',
          message: 'unknown output format',
          found: name,
          accepted: hint,
        },
      ]);
    }
    return { format, path: rest.length === 0 ? null : rest.join('=') };
  });
  if (requests.filter((r) => r.path === null).length > 1) {
    throw new UserError([
      {
        code: 'OUTPUT_TWICE',
        field: '-o',
        message: 'only one format can go to standard output',
        found: options.join(' '),
        accepted: 'FORMAT=PATH for the others',
      },
    ]);
  }
  return requests;
}

export function openOutput(request: OutputRequest): TextOutput {
  return request.path === null || request.path === '-'
    ? standardOutput()
    : fileOutput(request.path);
}
