/**
 * One trial on both sides, and what comes of it.
 * @module
 */
import type { Agent } from './agent.ts';
import { askEngine, type EngineRun } from './ask-engine.ts';
import { askKernel } from './ask-kernel.ts';
import { type Difference, difference } from './difference.ts';
import type { Answer, Trial } from './trial.ts';

/** `drawn`: they differ, and a choice of the kernel's was nowhere to be seen. */
export type Outcome =
  | { readonly kind: 'equal' | 'drawn' }
  | { readonly kind: 'different'; readonly difference: Difference };

/** A trial with the kernel's answer: all that an engine is judged by. */
export interface Observed {
  readonly trial: Trial;
  readonly kernel: Answer;
}

export interface Comparison {
  readonly outcome: Outcome;
  readonly observed: Observed;
}

/** Ask the kernel about a trial that an engine run answered already. */
export async function compare(agent: Agent, trial: Trial, run: EngineRun): Promise<Comparison> {
  const kernel = await askKernel(agent, trial);
  const again = run.drawn === 0 ? run : askEngine(trial, kernel.births);
  return { outcome: judged(trial, again, kernel), observed: { trial, kernel } };
}

/** What an engine that followed the kernel's choices has to say for itself. */
function judged(trial: Trial, run: EngineRun, kernel: Answer): Outcome {
  const { impossible, unseen } = run;
  const found = difference(trial, run.answer(), kernel);
  const chosen = impossible.length === 0 ? null : ({ kind: 'draws', lines: impossible } as const);
  const worst = chosen ?? found;
  if (worst === null) return { kind: 'equal' };
  if (unseen > 0) return { kind: 'drawn' };
  return { kind: 'different', difference: worst };
}
