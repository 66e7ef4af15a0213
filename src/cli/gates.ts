/**
 * Gates: what makes a run that worked end with exit code 1.
 * @module
 */
import { UserError } from '../diagnostic/diagnostic.ts';
import type { RunSummary } from '../lab/tally.ts';

export const FAIL_ON = ['denied', 'broken', 'unknown', 'contradicted', 'dropped'] as const;
export type FailOn = (typeof FAIL_ON)[number];

/** Read `--fail-on a,b`. */
export function parseFailOn(text: string | undefined): readonly FailOn[] {
  if (text === undefined) return [];
  return text.split(',').map((word) => {
    const gate = FAIL_ON.find((name) => name === word);
    if (gate !== undefined) return gate;
    throw new UserError([
      {
        code: 'FAIL_ON',
        field: '--fail-on',
        message: 'no such gate',
        found: word,
        accepted: FAIL_ON.join(', '),
      },
    ]);
  });
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
