/**
 * From a seed to a trial: a place, rules, and the frames that an engine run drew.
 * @module
 */
import type { Journey } from '../../../../../src/engine/engine.ts';
import type { Table } from '../../../../../src/netfilter/rule.ts';
import type { Plan } from '../../../../../src/plan/model.ts';
import type { Family } from '../../../../../src/wire/address/address.ts';
import { Draw } from '../../rule-space.ts';
import { askEngine, EngineRun } from '../ask-engine.ts';
import type { Backend, Shot, Trial } from '../trial.ts';
import { drawTimeouts, PAUSE } from './aging.ts';
import { renderedPlace } from './cluster.ts';
import { drawEbtables } from './ebtables.ts';
import { bridgedPlace, type Place, routedPlace, routerPlace } from './places.ts';
import { drawTables } from './rules.ts';
import { drawSets } from './sets.ts';
import { Traffic } from './traffic.ts';
import { isWhole } from './whole.ts';
import { wordsOf } from './words.ts';

const ERROR_BURST = 5;

/** Kinds of host. Those that are stacks have the rules that the products write. */
export const SHAPES = [
  'routed',
  'bridged',
  'router',
  'ebtables',
  'azure-bridge+npm',
  'azure-transparent+npm',
  'azure-transparent+calico',
  'aging',
] as const;
export type Shape = (typeof SHAPES)[number];

/** What the engine did with a trial that it helped to draw. */
export interface Drawn {
  readonly trial: Trial;
  readonly run: EngineRun;
}

/** A trial of `frames` frames at most; those in which time passes have a third of them. */
export function drawTrial(shape: Shape, seed: number, frames: number): Drawn {
  const draw = new Draw(seed * 2_654_435_761);
  const place = placeOf(draw, shape);
  const families: readonly Family[] = draw.chance(45) ? [4] : draw.chance(40) ? [6] : [4, 6];
  const backend: Backend = draw.chance(20) ? 'nft' : 'legacy';
  const ages = shape === 'aging';
  const plan = withRules(draw, shape, place, families);
  const traffic = new Traffic(draw, { ...place, plan }, { families });
  const run = new EngineRun(plan);
  const shots: Shot[] = [];
  const name = `${shape} ${seed}`;
  const errors = new ErrorBudget();
  const count = ages ? Math.ceil(frames / 3) : frames;
  const pauses = ages ? [Math.ceil(count / 3), Math.ceil((2 * count) / 3)] : [];
  for (let sent = 0; sent < count && errors.isLeft(); sent++) {
    if (pauses.includes(sent)) {
      const pause = { kind: 'wait', seconds: PAUSE } as const;
      shots.push(pause);
      run.take(pause);
    }
    const shot = traffic.next();
    // What engines hold to be one for both back ends is not, for what is cut.
    if (backend === 'nft' && shot.kind === 'frame' && !isWhole(shot.frame)) continue;
    const outs = run.take(shot);
    if (asksForNeighbor(run.journeys.at(-1))) {
      // The kernel would ask for seconds; everything up to here can be compared.
      const trial = { name, backend, plan, shots } as const;
      return { trial, run: askEngine(trial) };
    }
    shots.push(shot);
    traffic.heard(outs);
    errors.note(run.journeys.at(-1));
  }
  return { trial: { name, backend, plan, shots }, run };
}

function placeOf(draw: Draw, shape: Shape): Place {
  switch (shape) {
    case 'routed':
      return routedPlace(draw);
    case 'bridged':
    case 'ebtables':
      return bridgedPlace(draw);
    case 'router':
      return routerPlace(draw);
    case 'aging':
      return draw.of([routedPlace, bridgedPlace, routerPlace])(draw);
    default:
      return renderedPlace(draw, shape);
  }
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

function withRules(draw: Draw, shape: Shape, place: Place, families: readonly Family[]): Plan {
  if (shape.includes('+')) return place.plan;
  const words = wordsOf(place);
  const tracked = shape === 'aging' || draw.chance(70);
  const nat = tracked && draw.chance(50);
  const tables: Table[] = [];
  const ipsets = [...place.plan.ipsets];
  for (const family of families) {
    ipsets.push(...drawSets(draw, words, family));
    tables.push(...drawTables(draw, words, { family, tracked, nat }));
  }
  const { plan } = place;
  return {
    ...plan,
    ipsets,
    tables,
    ...(shape === 'ebtables' ? { ebtables: drawEbtables(draw, words) } : {}),
    ...(shape === 'aging' ? { sysctls: { ...plan.sysctls, ...drawTimeouts(draw) } } : {}),
  };
}
