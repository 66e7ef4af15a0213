/**
 * The same frames to the reference engine, one host with every far end an edge.
 *
 * Frames may be drawn while it runs: what came out is what the next frame answers.
 * @module
 */
import type { Journey } from '../../../../src/engine/engine.ts';
import type { ReferenceEngine } from '../../../../src/engine/reference.ts';
import type { Plan } from '../../../../src/plan/model.ts';
import { engineOf, sentBy } from '../../../support/hosts.ts';
import { comparable } from './comparable.ts';
import type { Answer, Shot, Trial } from './trial.ts';

/** A frame that left the host. */
export interface Out {
  readonly device: string;
  readonly frame: Uint8Array;
}

export class EngineRun {
  readonly engine: ReferenceEngine;
  readonly journeys: Journey[] = [];
  readonly #plan: Plan;
  readonly #bursts: string[][] = [[]];
  #nowNs = 0;
  #count = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.engine = engineOf([plan]);
  }

  /** One more shot; what came out because of it. */
  take(shot: Shot): readonly Out[] {
    if (shot.kind === 'wait') {
      this.#nowNs += shot.seconds * 1e9;
      this.#bursts.push([]);
      return [];
    }
    this.#count += 1;
    const journey = this.engine.inject({
      as: 'frame',
      frame: this.#count,
      nowNs: this.#nowNs,
      host: this.#plan.host,
      device: shot.device,
      frameBytes: shot.frame,
      ...(shot.offload === undefined ? {} : { checksumOffloaded: true }),
    });
    this.journeys.push(journey);
    const outs = sentBy(journey).map(({ device, frame }) => ({ device, frame }));
    for (const { device, frame } of outs) {
      const line = comparable(device, frame);
      if (line !== null) this.#bursts.at(-1)?.push(line);
    }
    return outs;
  }

  answer(): Answer {
    const { host } = this.#plan;
    const counters = [...this.engine.counters(host)].map(
      ([name, { packets, bytes }]) => [name, `${packets}:${bytes}`] as const,
    );
    const connections = this.engine.connections(host).map((c) => ({
      protocol: c.protocol,
      original: c.original,
      reply: c.reply,
      status: c.status,
      seconds: c.timeoutS,
    }));
    const reading = { counters: new Map(counters), connections, learned: [] };
    return { bursts: this.#bursts, reading, seconds: 0 };
  }
}

/** All shots of a trial. */
export function askEngine(trial: Trial): EngineRun {
  const run = new EngineRun(trial.plan);
  for (const shot of trial.shots) run.take(shot);
  return run;
}
