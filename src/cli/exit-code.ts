/**
 * How a run ends for scripts. Of several reasons the highest under 128 applies.
 * @module
 */
import { InternalError, UserError } from '../diagnostic/diagnostic.ts';
import { OutputClosed } from '../report/text/text-output.ts';

export const ExitCode = {
  ok: 0,
  gateFailed: 1,
  usage: 2,
  input: 3,
  environment: 4,
  internal: 70,
  interrupted: 130,
  terminated: 143,
} as const;

/** The exit code of something thrown, and what to print on standard error. */
export function describeFailure(error: unknown): { readonly code: number; readonly text: string } {
  if (error instanceof OutputClosed || isClosedPipe(error)) return { code: ExitCode.ok, text: '' };
  if (error instanceof UserError) {
    const count = error.diagnostics.length;
    const head = count > 1 ? `${count} problems:\n` : '';
    return { code: ExitCode[error.fault], text: `${head}${error.message}\n` };
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const kind = error instanceof InternalError ? 'internal error' : 'unexpected error';
  return {
    code: ExitCode.internal,
    text: `wiretrial: ${kind}; this is a bug of the tool, please report it\n${detail}\n`,
  };
}

/** The reader of a capture that goes to standard output went away. */
function isClosedPipe(error: unknown): boolean {
  const cause = error instanceof UserError ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'EPIPE';
}

/** The highest of several exit codes, interruptions first. */
export function worst(...codes: readonly number[]): number {
  const interrupted = codes.find((code) => code >= 128);
  return interrupted ?? Math.max(0, ...codes);
}
