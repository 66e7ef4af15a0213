/**
 * Gates: what makes a run that worked end with exit code 1.
 * @module
 */
import { nearest } from '../cluster/nearest.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import type { RunSummary } from '../lab/tally.ts';

export const FAIL_ON = [
  'denied',
  'broken',
  'depends',
  'unknown',
  'contradicted',
  'dropped',
] as const;
export type FailOn = (typeof FAIL_ON)[number];

/** Read `--fail-on a,b`; every word that is no gate is reported. */
export function parseFailOn(text: string | undefined): readonly FailOn[] {
  if (text === undefined) return [];
  const words = text.split(',').map((word) => word.trim());
  const mistakes = words
    .filter((word) => !FAIL_ON.some((name) => name === word))
    .map((word) => {
      const near = nearest(word, FAIL_ON);
      const accepted = near ? `did you mean ${near}?` : FAIL_ON.join(', ');
      const field = '--fail-on';
      return { code: 'FAIL_ON', field, message: 'no such gate', found: word, accepted };
    });
  if (mistakes.length > 0) throw new UserError(mistakes);
  return FAIL_ON.filter((name) => words.includes(name));
}

/** Sentences about the gates that a run did not pass. */
export function failedGates(
  summary: RunSummary,
  failOn: readonly FailOn[],
  maxDrops: number | undefined,
): readonly string[] {
  const { connections, outcomes } = summary.counts;
  const counts: Readonly<Record<FailOn, number>> = {
    denied: connections.denied,
    broken: connections.broken,
    depends: connections.depends,
    unknown: connections.unknown,
    contradicted: connections.contradicted,
    dropped: outcomes.dropped,
  };
  const failed = failOn
    .filter((gate) => counts[gate] > 0)
    .map((gate) => `--fail-on ${gate}: ${counts[gate]}`);
  if (maxDrops !== undefined && outcomes.dropped > maxDrops) {
    failed.push(`--max-drops ${maxDrops}: ${outcomes.dropped} packets dropped`);
  }
  return failed;
}
