/**
 * All courses of a connection: its draws tried one by one in every way they can fall.
 *
 * A trial follows the outcomes prescribed to it and draws beyond them; each draw of its own
 * is then tried with each of its other outcomes. So every leaf of the tree of draws is visited
 * once.
 * @module
 */
import type { Course, Courses, Draw, Journey } from './engine.ts';

/** What one trial showed. */
export interface Trial {
  readonly forward: Journey;
  readonly reply: Journey | null;
}

/** As many are tried: more than the endpoints of any Service. */
const MOST_COURSES = 5000;

/**
 * Every course, the natural one first; outcomes of probability 0 are no courses. Not `complete`
 * when there are more than can be tried.
 *
 * @param attempt runs the opening with these outcomes prescribed, and its answer
 */
export function coursesOf(attempt: (prescribed: readonly number[]) => Trial): Courses {
  const courses: Course[] = [];
  const waiting: (readonly number[])[] = [[]];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const trial = attempt(next);
    const made = trial.forward.draws ?? [];
    const draws = made.map((draw) => draw.taken);
    courses.push({ ...trial, draws, probability: probabilityOf(made) });
    if (courses.length >= MOST_COURSES) return { courses, complete: waiting.length === 0 };
    for (let i = next.length; i < made.length; i++) {
      for (const other of othersOf(made[i])) waiting.push([...draws.slice(0, i), other]);
    }
  }
  return { courses, complete: true };
}

function probabilityOf(draws: readonly Draw[]): number {
  return draws.reduce((product, draw) => product * (draw.probabilities[draw.taken] ?? 0), 1);
}

/** The other outcomes that can come of a draw. */
function othersOf(draw: Draw | undefined): readonly number[] {
  if (draw === undefined) return [];
  return draw.probabilities.flatMap((p, i) => (p > 0 && i !== draw.taken ? [i] : []));
}
