/**
 * What is wrong with something a user gave us, said so that a stranger can act on it.
 *
 * Three kinds of fault are never mixed: a packet's is a drop reason (wire/drop-reason.ts), a user's
 * is a `UserError` carrying every mistake found, ours is an `InternalError`.
 * @module
 */

/** Which exit code a fault leads to (the command line's contract). */
export type FaultClass = 'usage' | 'input' | 'environment';

/** One mistake: where, what was found, what is accepted. */
export interface Diagnostic {
  /** Stable, upper case, append-only: `POLICY_PORT_RANGE`. */
  readonly code: string;
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** The object at fault (`shop/NetworkPolicy/deny-all`). */
  readonly object?: string;
  /** Field path as the API server writes it (`spec.ingress[0].ports[1].endPort`). */
  readonly field?: string;
  readonly message: string;
  readonly found?: string;
  readonly accepted?: string;
}

/**
 * Print a diagnostic on one line: `FILE:LINE:COLUMN: OBJECT FIELD: MESSAGE (found …; accepted: …)
 * [CODE]`.
 */
export function formatDiagnostic(d: Diagnostic): string {
  const place = [d.file, d.line, d.column].filter((part) => part !== undefined).join(':');
  const subject = [d.object, d.field].filter((part) => part !== undefined).join(' ');
  const detail = [
    d.found === undefined ? '' : `found ${d.found === '' ? '""' : d.found}`,
    d.accepted === undefined ? '' : `accepted: ${d.accepted}`,
  ].filter((part) => part !== '');
  const head = [place, subject].filter((part) => part !== '').map((part) => `${part}: `);
  const tail = detail.length === 0 ? '' : ` (${detail.join('; ')})`;
  return `${head.join('')}${d.message}${tail} [${d.code}]`;
}

/** The user's mistakes, all of them at once. */
export class UserError extends Error {
  readonly diagnostics: readonly Diagnostic[];
  readonly fault: FaultClass;

  constructor(diagnostics: readonly Diagnostic[], fault: FaultClass = 'usage', cause?: unknown) {
    super(
      diagnostics.map(formatDiagnostic).join('\n'),
      cause === undefined ? undefined : { cause },
    );
    this.name = 'UserError';
    this.diagnostics = diagnostics;
    this.fault = fault;
  }
}

/** A bug of ours. */
export class InternalError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InternalError';
  }
}

/** Assert what must hold; `message` says it in the positive. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InternalError(`must hold: ${message}`);
}

/** The end of a switch over a closed set. */
export function unreachable(value: never): never {
  throw new InternalError(`unhandled case: ${JSON.stringify(value)}`);
}
