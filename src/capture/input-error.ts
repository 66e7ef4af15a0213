/**
 * What is wrong with a capture that was given to us, as the user's mistake (exit 3) or as the place
 * where reading had to stop.
 * @module
 */
import { UserError } from '../diagnostic/diagnostic.ts';

/** A capture that can not be read at all. */
export function captureError(
  code: string,
  file: string,
  message: string,
  detail: { readonly found?: string; readonly accepted?: string; readonly cause?: unknown } = {},
): UserError {
  const { found, accepted, cause } = detail;
  return new UserError(
    [
      {
        code,
        file,
        message,
        ...(found === undefined ? {} : { found }),
        ...(accepted === undefined ? {} : { accepted }),
      },
    ],
    'input',
    cause,
  );
}

/** Where and why a capture ends too early; offsets count from the (uncompressed) file's start. */
export interface CutShort {
  readonly offset: number;
  readonly message: string;
}
