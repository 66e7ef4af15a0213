/**
 * One trial on both sides, and what comes of it.
 * @module
 */
import type { Agent } from './agent.ts';
import { askEngine, type EngineRun, observedDraws } from './ask-engine.ts';
import { askKernel } from './ask-kernel.ts';
import { type Difference, difference } from './difference.ts';
import type { Answer, Trial } from './trial.ts';

/** `drawn`: the kernel drew a port that nothing shows any more, so nothing can be said. */
export type Outcome =
  | { readonly kind: 'equal' | 'drawn' }
  | { readonly kind: 'different'; readonly difference: Difference };

/** A trial with the kernel's answer: all that an engine is judged by. */
export interface Observed {
  readonly trial: Trial;
  readonly kernel: Answer;
  /** Ports that the kernel drew. */
  readonly draws: ReadonlyMap<string, number>;
}

export interface Comparison {
  readonly outcome: Outcome;
  /** Absent when a draw was lost. */
  readonly observed?: Observed;
}

/** Ask the kernel about a trial that an engine run answered already. */
export async function compare(agent: Agent, trial: Trial, run: EngineRun): Promise<Comparison> {
  const kernel = await askKernel(agent, trial);
  const draws = observedDraws(run.draws, kernel.reading.connections);
  if (draws === null) return { outcome: { kind: 'drawn' } };
  const observed = { trial, kernel, draws };
  const again = draws.size === 0 ? run : askEngine(trial, draws);
  const ours = again.answer();
  const found = difference(trial, ours, kernel);
  if (found !== null && !followed(draws, ours, kernel)) return { outcome: { kind: 'drawn' } };
  return { outcome: judged(found), observed };
}

/**
 * Whether every connection that a draw was for ended with the kernel's port: one that was made anew
 * meanwhile, with another draw, does not.
 */
function followed(draws: ReadonlyMap<string, number>, ours: Answer, kernel: Answer): boolean {
  const replies = (answer: Answer) =>
    new Map(answer.reading.connections.map((c) => [`${c.protocol} ${c.original}`, c.reply]));
  const [mine, theirs] = [replies(ours), replies(kernel)];
  return [...draws.keys()].every((name) => mine.get(name) === theirs.get(name));
}

function judged(found: Difference | null): Outcome {
  return found === null ? { kind: 'equal' } : { kind: 'different', difference: found };
}
