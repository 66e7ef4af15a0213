/**
 * Mistakes of a plan, said with the host and the part they stand in.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { Rule } from '../netfilter/rule.ts';

/** Where the mistake is: a host, and within it a table, a chain, a set, a device. */
export interface FaultPlace {
  readonly host: string;
  readonly part: string;
  /** The rule at fault, for `FILE:LINE` of a dump. */
  readonly rule?: Pick<Rule, 'place'>;
}

/** What is wrong, what was found, what is accepted. */
export interface FaultText {
  readonly code: string;
  readonly message: string;
  readonly found?: string;
  readonly accepted?: string;
}

/** Make the diagnostic of one mistake. */
export function fault(place: FaultPlace, text: FaultText): Diagnostic {
  return { ...text, ...sourceOf(place.rule), object: `${place.host} ${place.part}` };
}

/** File and line of a rule that was read from a dump, else nothing. */
function sourceOf(rule: Pick<Rule, 'place'> | undefined): {
  readonly file?: string;
  readonly line?: number;
} {
  const found = /^(.*):(\d+)$/.exec(rule?.place ?? '');
  const [, file, line] = found ?? [];
  return file === undefined ? {} : { file, line: Number(line) };
}

/** Every name that occurs more than once. */
export function repeated(names: readonly string[]): readonly string[] {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const name of names) (seen.has(name) ? twice : seen).add(name);
  return [...twice];
}
