/**
 * The same frames to the reference engine, one host with every far end an edge.
 *
 * Frames may be drawn while it runs: what came out is what the next frame answers.
 * @module
 */

import { formatTuple, type Tuple } from '../../../../src/conntrack/tuple.ts';
import type { Journey } from '../../../../src/engine/engine.ts';
import { ReferenceEngine } from '../../../../src/engine/reference.ts';
import { lower } from '../../../../src/lowering/link.ts';
import type { Plan } from '../../../../src/plan/model.ts';
import { sentBy } from '../../../support/hosts.ts';
import { comparable } from './comparable.ts';
import { portsOf } from './kernel-host.ts';
import type { Answer, Connection, Shot, Trial } from './trial.ts';

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

  /** Original tuples for which a port had to be drawn, as often as it was. */
  readonly draws: string[] = [];

  /** `observed`: the port that a kernel drew, by original tuple. */
  constructor(plan: Plan, observed: ReadonlyMap<string, number> = new Map()) {
    this.#plan = plan;
    const image = lower(plan);
    const edges = portsOf(plan).map((device) => ({ host: plan.host, device }));
    const hosts = (name: string) => (name === plan.host ? image : undefined);
    const drawn = (_host: string, original: Tuple) => {
      const name = `${original.protocol} ${formatTuple(original)}`;
      this.draws.push(name);
      return observed.get(name);
    };
    this.engine = new ReferenceEngine({ hosts, links: [], edges }, { drawn });
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

/** All shots of a trial; `observed` are ports that a kernel drew in its place. */
export function askEngine(trial: Trial, observed?: ReadonlyMap<string, number>): EngineRun {
  const run = new EngineRun(trial.plan, observed);
  for (const shot of trial.shots) run.take(shot);
  return run;
}

/**
 * The 16-bit numbers from which the kernel's search for free ports started, as far as the connections
 * that it still has show them (`nf_nat_l4proto_unique_tuple`): where they differ from what the engine
 * would have drawn, they are its to take. Null when a draw can not be seen any more.
 */
export function observedDraws(
  draws: readonly string[],
  connections: readonly Connection[],
): ReadonlyMap<string, number> | null {
  if (new Set(draws).size < draws.length) return null;
  const byOriginal = new Map(connections.map((c) => [`${c.protocol} ${c.original}`, c]));
  const observed = new Map<string, number>();
  for (const name of draws) {
    const reply = byOriginal.get(name)?.reply;
    const port = /dport=(\d+)/.exec(reply ?? '')?.[1];
    const id = /id=(\d+)/.exec(reply ?? '')?.[1];
    if (port === undefined && id === undefined) return null;
    observed.set(name, port === undefined ? Number(id) : startOf(Number(port)));
  }
  return observed;
}

/** Where a search that ended at this port began, by the span that it is of. */
function startOf(port: number): number {
  if (port < 512) return port - 1;
  return port < 1024 ? port - 600 : port - 1024;
}
