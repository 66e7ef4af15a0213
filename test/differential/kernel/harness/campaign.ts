/**
 * Many trials from one seed: drawn, put to both sides, counted. Several laboratories work at once, and
 * trials are counted in the order of their numbers, so that a run is the same however fast each is.
 * @module
 */
import type { Agent } from './agent.ts';
import type { EngineRun } from './ask-engine.ts';
import { type Comparison, compare, type Observed, type Outcome } from './compare.ts';
import { type Difference, pausesOf } from './difference.ts';
import { drawTrial, SHAPES, type Shape } from './draw/trial.ts';
import { Reach } from './reach.ts';
import { judge, printTrial, shrink } from './shrink.ts';
import type { Trial } from './trial.ts';

/** How often a trial in which time passes is tried before its difference counts. */
const ATTEMPTS = 3;

interface Repeated extends Comparison {
  /** A difference that was there at first only. */
  readonly once?: Difference;
}

export interface CampaignOptions {
  /** Of the first trial; each following trial has the next. */
  readonly seed: number;
  readonly plans: number;
  readonly packets: number;
  /** Frames of one trial at most. */
  readonly frames: number;
  /** Differences after which the campaign gives up; at 0 they are passed over. */
  readonly patience: number;
  /** How many of them are made small before they are shown; all when absent. */
  readonly shrunk?: number;
  /** What hosts are drawn, in turn; when absent all in whose trials no time passes. */
  readonly shapes?: readonly Shape[];
}

export interface Campaign {
  readonly plans: number;
  readonly packets: number;
  /** Trials in which the kernel drew a port that nothing showed afterwards. */
  readonly lost: number;
  readonly seconds: number;
  readonly reach: Reach;
  /** Trials that differed at first and not again, and how. */
  readonly unrepeated: readonly string[];
  /** Each difference, shrunk and printed. */
  readonly differences: readonly string[];
  /** Trials on which both sides agreed, for who needs them again. */
  readonly agreed: readonly Observed[];
}

/** What is left of a trial when both sides have answered. */
interface Done {
  readonly trial: Trial;
  readonly reach: Reach;
  readonly outcome: Outcome;
  readonly observed?: Observed;
  readonly once?: Difference;
}

/** Run until both numbers are reached, one trial a time in each laboratory. */
export async function campaign(
  agents: readonly Agent[],
  options: CampaignOptions,
  keep = 0,
): Promise<Campaign> {
  const began = process.hrtime.bigint();
  const tally = new Tally(options, keep);
  let next = options.seed;
  const work = async (agent: Agent) => {
    while (!tally.isFull()) {
      const seed = next;
      next += 1;
      tally.take(seed, await one(agent, seed, options));
    }
  };
  await Promise.all(agents.map(work));
  const differences: string[] = [];
  for (const [trial, found] of tally.differing) {
    const isShrunk = differences.length < (options.shrunk ?? Number.POSITIVE_INFINITY);
    const [agent] = isShrunk ? agents : [];
    const small = agent === undefined ? trial : await shrink(agent, trial, found.kind);
    const again = agent === undefined ? found : await judge(agent, small);
    differences.push(printTrial(small, again ?? found));
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const { plans, packets, lost, reach, unrepeated, agreed } = tally;
  return { plans, packets, lost, seconds, reach, unrepeated, differences, agreed };
}

async function one(agent: Agent, seed: number, options: CampaignOptions): Promise<Done> {
  const shapes = options.shapes ?? SHAPES.filter((shape) => shape !== 'aging');
  const shape = shapes[seed % shapes.length] ?? 'routed';
  try {
    const { trial, run } = drawTrial(shape, seed, options.frames);
    const reach = new Reach();
    reach.add(trial, run);
    return { trial, reach, ...(await repeated(agent, trial, run)) };
  } catch (error) {
    throw new Error(`${shape} ${seed}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A difference must come again: a kernel of a busy machine may be late, or say something of its own
 * accord in between. One that does not is remembered, not counted as equal in silence.
 */
async function repeated(agent: Agent, trial: Trial, run: EngineRun): Promise<Repeated> {
  const first = await compare(agent, trial, run);
  if (first.outcome.kind !== 'different') return first;
  let last = first;
  for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
    last = await compare(agent, trial, run);
    if (last.outcome.kind !== 'different') return { ...last, once: first.outcome.difference };
    if (pausesOf(trial) === 0) return last;
  }
  return last;
}

/** Counts trials one after another, whichever is done first. */
class Tally {
  readonly #options: CampaignOptions;
  readonly #keep: number;
  readonly #early = new Map<number, Done>();
  #next: number;
  plans = 0;
  packets = 0;
  lost = 0;
  readonly reach = new Reach();
  readonly unrepeated: string[] = [];
  readonly differing: [Trial, Difference][] = [];
  readonly agreed: Observed[] = [];

  constructor(options: CampaignOptions, keep: number) {
    this.#options = options;
    this.#keep = keep;
    this.#next = options.seed;
  }

  isFull(): boolean {
    const { plans, packets, patience } = this.#options;
    if (patience > 0 && this.differing.length >= patience) return true;
    return this.plans >= plans && this.packets >= packets;
  }

  take(seed: number, done: Done): void {
    this.#early.set(seed, done);
    for (;;) {
      const due = this.#early.get(this.#next);
      if (due === undefined || this.isFull()) return;
      this.#early.delete(this.#next);
      this.#next += 1;
      this.#count(due);
    }
  }

  #count({ trial, reach, outcome, observed, once }: Done): void {
    this.reach.join(reach);
    if (once !== undefined) this.unrepeated.push(`${trial.name}: ${once.kind} ${once.lines[0]}`);
    if (outcome.kind === 'drawn') {
      this.lost += 1;
      return;
    }
    this.plans += 1;
    this.packets += trial.shots.filter((shot) => shot.kind === 'frame').length;
    if (outcome.kind === 'different') {
      if (this.#options.patience > 0) this.differing.push([trial, outcome.difference]);
      return;
    }
    if (this.agreed.length < this.#keep && observed !== undefined) this.agreed.push(observed);
  }
}
