/**
 * From a seed to a trial: a place, rules, and the frames that an engine run drew.
 * @module
 */
import type { Journey } from '../../../../../src/engine/engine.ts';
import type { Table } from '../../../../../src/netfilter/rule.ts';
import type { Plan } from '../../../../../src/plan/model.ts';
import type { Family } from '../../../../../src/wire/address.ts';
import { Draw } from '../../rule-space.ts';
import { askEngine, EngineRun } from '../ask-engine.ts';
import type { Shot, Trial } from '../trial.ts';
import { renderedPlace } from './cluster.ts';
import { bridgedPlace, type Place, routedPlace, routerPlace } from './places.ts';
import { drawTables } from './rules.ts';
import { drawSets } from './sets.ts';
import { Traffic } from './traffic.ts';
import { wordsOf } from './words.ts';

const ERROR_BURST = 5;

export const SHAPES = [
  'routed',
  'bridged',
  'router',
  'azure-bridge+npm',
  'azure-transparent+npm',
  'azure-transparent+calico',
] as const;
export type Shape = (typeof SHAPES)[number];

/** Hosts whose rules are drawn. */
const BARE: Readonly<Record<string, (draw: Draw) => Place>> = {
  routed: routedPlace,
  bridged: bridgedPlace,
  router: routerPlace,
};

/** What the engine did with a trial that it helped to draw. */
export interface Drawn {
  readonly trial: Trial;
  readonly run: EngineRun;
}

export function drawTrial(shape: Shape, seed: number, frames: number): Drawn {
  const draw = new Draw(seed * 2_654_435_761);
  const bare = BARE[shape];
  const place = bare === undefined ? renderedPlace(draw, shape) : bare(draw);
  const families: readonly Family[] = draw.chance(45) ? [4] : draw.chance(40) ? [6] : [4, 6];
  const plan = bare === undefined ? place.plan : withRules(draw, place, families);
  const traffic = new Traffic(draw, { ...place, plan }, { families });
  const run = new EngineRun(plan);
  const shots: Shot[] = [];
  const errors = new ErrorBudget();
  while (shots.length < frames && errors.isLeft()) {
    const shot = traffic.next();
    const outs = run.take(shot);
    if (asksForNeighbor(run.journeys.at(-1))) {
      // The kernel would ask for seconds; everything up to here can be compared.
      const trial = { name: `${shape} ${seed}`, backend: 'legacy', plan, shots } as const;
      return { trial, run: askEngine(trial) };
    }
    shots.push(shot);
    traffic.heard(outs);
    errors.note(run.journeys.at(-1));
  }
  return { trial: { name: `${shape} ${seed}`, backend: 'legacy', plan, shots }, run };
}

function asksForNeighbor(journey: Journey | undefined): boolean {
  if (journey === undefined) return false;
  const further = [...journey.copies, ...journey.generated.map((made) => made.journey)];
  return journey.reason === 'noNeighbor' || further.some(asksForNeighbor);
}

/**
 * Linux answers at most five packets of one IPv4 source in a row with `ip_error` (error_burst over
 * error_cost, which only the machine's own namespace can change), then one a second; a trial ends
 * before. Limits of ICMP are tested elsewhere.
 */
class ErrorBudget {
  readonly #counts = new Map<string, number>();
  #left = true;

  note(journey: Journey | undefined): void {
    const { reason, packet } = journey ?? {};
    if (reason !== 'noRoute' && reason !== 'prohibitedRoute') return;
    if (packet == null || packet[0]! >>> 4 !== 4) return;
    const source = packet.subarray(12, 16).join('.');
    const count = (this.#counts.get(source) ?? 0) + 1;
    this.#counts.set(source, count);
    if (count === ERROR_BURST) this.#left = false;
  }

  isLeft(): boolean {
    return this.#left;
  }
}

function withRules(draw: Draw, place: Place, families: readonly Family[]): Plan {
  const words = wordsOf(place);
  const tracked = draw.chance(70);
  const nat = tracked && draw.chance(50);
  const tables: Table[] = [];
  const ipsets = [...place.plan.ipsets];
  for (const family of families) {
    ipsets.push(...drawSets(draw, words, family));
    tables.push(...drawTables(draw, words, { family, tracked, nat }));
  }
  return { ...place.plan, ipsets, tables };
}
