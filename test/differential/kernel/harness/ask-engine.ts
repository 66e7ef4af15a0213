/**
 * The same frames to the reference engine, one host with every far end an edge.
 *
 * Frames may be drawn while it runs: what came out is what the next frame answers.
 * @module
 */

import type { Connection } from '../../../../src/conntrack/connection.ts';
import type { PortSpan } from '../../../../src/conntrack/nat/nat.ts';
import type { ConntrackSettings } from '../../../../src/conntrack/protocol/timeouts.ts';
import { ConntrackTable, connectionOf } from '../../../../src/conntrack/table.ts';
import type { Tuple } from '../../../../src/conntrack/tuple.ts';
import type { Journey } from '../../../../src/engine/engine.ts';
import { ReferenceEngine } from '../../../../src/engine/reference.ts';
import { lower } from '../../../../src/lowering/link.ts';
import type { MakeTable } from '../../../../src/node/host.ts';
import type { Packet } from '../../../../src/packet/packet.ts';
import type { Plan } from '../../../../src/plan/model.ts';
import { sentBy } from '../../../support/hosts.ts';
import { type Birth, birthName, birthOf } from './births.ts';
import { comparable } from './comparable.ts';
import { portsOf } from './kernel-host.ts';
import type { Answer, Connection as Listed, Shot, Trial } from './trial.ts';

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

  /** Connections that entered the table, in order. */
  readonly #births: Birth[] = [];
  /** How many entered it by name. */
  readonly #counts = new Map<string, number>();
  readonly #kernel = new Map<string, Birth[]>();

  /** How often a port had to be drawn, and how often no kernel's choice was there to follow. */
  drawn = 0;
  unseen = 0;
  /** What a kernel drew that this engine could not have drawn. */
  readonly impossible: string[] = [];

  /** `births`: what a kernel's table took in, whose choices are to be followed. */
  constructor(plan: Plan, births: readonly Birth[] = []) {
    this.#plan = plan;
    for (const birth of births) {
      const same = this.#kernel.get(birth.name);
      if (same === undefined) this.#kernel.set(birth.name, [birth]);
      else same.push(birth);
    }
    const image = lower(plan);
    const edges = portsOf(plan).map((device) => ({ host: plan.host, device }));
    const hosts = (name: string) => (name === plan.host ? image : undefined);
    const tableOf: MakeTable = (settings) =>
      new WatchedTable(settings, (connection) => this.#born(connection));
    const drawn = (_: string, original: Tuple, search: number, span: PortSpan) =>
      this.#follow(original, search, span);
    this.engine = new ReferenceEngine({ hosts, links: [], edges }, { drawn, tableOf });
  }

  #born({ original, reply }: Connection): void {
    const birth = birthOf(original, reply);
    this.#births.push(birth);
    this.#counts.set(birth.name, (this.#counts.get(birth.name) ?? 0) + 1);
  }

  /**
   * Where a search must begin to end at the kernel's port: that of the connection which is now to
   * enter the table, the n-th of its name. One that never enters it shows nothing.
   */
  #follow(original: Tuple, search: number, { min, size, at }: PortSpan): number | undefined {
    if (search > 0) return undefined;
    this.drawn += 1;
    const name = birthName(original);
    const birth = this.#kernel.get(name)?.[this.#counts.get(name) ?? 0];
    if (birth === undefined) {
      this.unseen += 1;
      return undefined;
    }
    const port = at === 'source' ? birth.replyDestination : birth.replySource;
    if (port >= min && port < min + size) return port - min;
    this.impossible.push(`${name}: the kernel drew ${port}, not of ${min}-${min + size - 1}`);
    return undefined;
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
    const learned = this.engine.fdb(host).map(({ mac, port }) => `${mac} ${port}`);
    const reading = { counters: new Map(counters), connections, learned: learned.toSorted() };
    return { bursts: this.#bursts, reading, births: this.#births, seconds: 0 };
  }
}

/** All shots of a trial, with the choices of a kernel that answered it. */
export function askEngine(trial: Trial, births?: readonly Birth[]): EngineRun {
  const run = new EngineRun(trial.plan, births);
  for (const shot of trial.shots) run.take(shot);
  return run;
}

/** A table that says when a connection enters it. */
class WatchedTable extends ConntrackTable {
  readonly #born: (connection: Connection) => void;

  constructor(settings: ConntrackSettings, born: (connection: Connection) => void) {
    super(settings);
    this.#born = born;
  }

  override confirm(packet: Packet, nowNs: number): boolean {
    const connection = connectionOf(packet);
    const wasIn = connection?.confirmed ?? true;
    const done = super.confirm(packet, nowNs);
    if (!wasIn && connection?.confirmed) this.#born(connection);
    return done;
  }
}

/**
 * The 16-bit numbers from which the kernel's search for free ports started, as far as the connections
 * that it still has show them (`nf_nat_l4proto_unique_tuple`): where they differ from what the engine
 * would have drawn, they are its to take. Null when a draw can not be seen any more.
 */
export function observedDraws(
  draws: readonly string[],
  connections: readonly Listed[],
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
