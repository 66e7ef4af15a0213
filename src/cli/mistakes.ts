/**
 * Several things a user gave, read together: what is wrong with any of them is said at once.
 * @module
 */
import { type Diagnostic, type FaultClass, UserError } from '../diagnostic/diagnostic.ts';

/** Faults by the exit code they lead to: of several, the highest applies. */
const RANK: Readonly<Record<FaultClass, number>> = { usage: 0, input: 1, environment: 2 };

/** Readers and what they return, position by position. */
export type Read<T extends readonly (() => unknown)[]> = { [K in keyof T]: ReturnType<T[K]> };

/**
 * Call every reader. Returns what they return, in order; when any throws a `UserError`, one
 * `UserError` with all their diagnostics is thrown instead.
 */
export function together<const T extends readonly (() => unknown)[]>(...readers: T): Read<T> {
  const mistakes: Diagnostic[] = [];
  let fault: FaultClass = 'usage';
  const results = readers.map((read) => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      mistakes.push(...error.diagnostics);
      if (RANK[error.fault] > RANK[fault]) fault = error.fault;
      return undefined;
    }
  });
  if (mistakes.length > 0) throw new UserError(mistakes, fault);
  return results as Read<T>;
}
