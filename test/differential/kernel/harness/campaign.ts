/**
 * Many trials from one seed: drawn, put to both sides, counted.
 * @module
 */
import type { Agent } from './agent.ts';
import { compare, type Observed } from './compare.ts';
import { drawTrial, SHAPES } from './draw/trial.ts';
import { Reach } from './reach.ts';
import { judge, printTrial, shrink } from './shrink.ts';

export interface CampaignOptions {
  /** Of the first trial; each following trial has the next. */
  readonly seed: number;
  readonly plans: number;
  readonly packets: number;
  /** Frames of one trial at most. */
  readonly frames: number;
  /** Differences that are shown small before the campaign gives up; at 0 they are passed over. */
  readonly patience: number;
}

export interface Campaign {
  readonly plans: number;
  readonly packets: number;
  /** Trials in which the kernel drew a port that nothing showed afterwards. */
  readonly lost: number;
  readonly seconds: number;
  readonly reach: Reach;
  /** Each difference, shrunk and printed. */
  readonly differences: readonly string[];
  /** Trials on which both sides agreed, for who needs them again. */
  readonly agreed: readonly Observed[];
}

/** Run until both numbers are reached. At most `keep` agreed trials are kept. */
export async function campaign(
  agent: Agent,
  options: CampaignOptions,
  keep = 0,
): Promise<Campaign> {
  const began = process.hrtime.bigint();
  const reach = new Reach();
  const differences: string[] = [];
  const agreed: Observed[] = [];
  let [plans, packets, lost] = [0, 0, 0];
  for (let seed = options.seed; plans < options.plans || packets < options.packets; seed++) {
    const shape = SHAPES[seed % SHAPES.length] ?? 'routed';
    const { trial, run } = drawTrial(shape, seed, options.frames);
    reach.add(trial, run);
    const { outcome, observed } = await compare(agent, trial, run);
    if (outcome.kind === 'drawn') {
      lost += 1;
      continue;
    }
    plans += 1;
    packets += trial.shots.length;
    if (outcome.kind !== 'different') {
      if (agreed.length < keep && observed !== undefined) agreed.push(observed);
      continue;
    }
    if (options.patience === 0) continue;
    const small = await shrink(agent, trial, outcome.difference.kind);
    differences.push(printTrial(small, (await judge(agent, small)) ?? outcome.difference));
    if (differences.length === options.patience) break;
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  return { plans, packets, lost, seconds, reach, differences, agreed };
}
