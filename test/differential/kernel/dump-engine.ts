/**
 * The engine's side of a trial with a real rule set: what the harness's own run does, and besides it
 * follows the choices of random rules that the kernel's connections show.
 * @module
 */
import { formatTuple, type Tuple } from '../../../src/conntrack/tuple.ts';
import type { Injection, Journey, KnownChoices } from '../../../src/engine/engine.ts';
import type { ReferenceEngine } from '../../../src/engine/reference.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import { engineOf, sentBy } from '../../support/hosts.ts';
import { parsedIp } from '../../support/packets.ts';
import { rulesOf } from './dump-host.ts';
import { comparable } from './harness/comparable.ts';
import type { Answer, Connection, Shot } from './harness/trial.ts';

/**
 * Where the kernel's searches for ports and identifiers began, by original tuple: where they ended,
 * it was free (`nf_nat_l4proto_unique_tuple`).
 */
function startsOf(connections: readonly Connection[]): ReadonlyMap<string, number> {
  return new Map(
    connections.flatMap(({ protocol, original, reply }) => {
      const id = /\bid=(\d+)/.exec(reply)?.[1];
      const port = Number(/\bdport=(\d+)/.exec(reply)?.[1] ?? 0);
      const start = port - (port < 512 ? 1 : port < 1024 ? 600 : 1024);
      return [[`${protocol} ${original}`, id === undefined ? start : Number(id)] as const];
    }),
  );
}

/** A packet that the kernel got. */
export interface SentFrame {
  readonly shot: Extract<Shot, { kind: 'frame' }>;
  /** When, from the first on. */
  readonly seconds: number;
  /** What the kernel's table held soon after. */
  readonly connections: readonly Connection[];
}

export class DumpEngine {
  /** Choices among backends of which the kernel's connections show nothing. */
  hidden = 0;
  /** Packets that could not be judged, by reason. */
  readonly unknown = new Map<string, number>();
  readonly #engine: ReferenceEngine;
  readonly #plan: Plan;
  readonly #hasRandom: boolean;
  readonly #lines: string[] = [];
  #connections: readonly Connection[] = [];
  #starts: ReadonlyMap<string, number> = new Map();
  #count = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#hasRandom = rulesOf(plan.tables).some(({ matches }) =>
      matches.some(({ kind }) => kind === 'random'),
    );
    const drawn = (_host: string, original: Tuple) => {
      const name = `${original.protocol} ${formatTuple(original)}`;
      return this.#starts.get(name);
    };
    this.#engine = engineOf([plan], [], { drawn });
  }

  /** One more packet, and what there was after it. */
  take({ shot, connections, seconds }: SentFrame): void {
    if (connections !== this.#connections) this.#starts = startsOf(connections);
    this.#connections = connections;
    this.#count += 1;
    const injection: Injection = {
      as: 'frame',
      frame: this.#count,
      nowNs: Math.round(seconds * 1e9) + this.#count,
      utcSeconds: Math.floor(Date.now() / 1000),
      host: this.#plan.host,
      device: shot.device,
      frameBytes: shot.frame,
    };
    const choices = this.#hasRandom ? this.#choicesOf(injection) : null;
    const journey = this.#engine.inject({ ...injection, ...(choices && { choices }) });
    if (journey.outcome === 'unknown') {
      const reason = journey.reason ?? '';
      this.unknown.set(reason, (this.unknown.get(reason) ?? 0) + 1);
    }
    this.#lines.push(
      ...sentBy(journey).flatMap(({ device, frame }) => comparable(device, frame) ?? []),
    );
  }

  /** Of all courses that a new connection can take, the one that the kernel's took. */
  #choicesOf(injection: Injection): KnownChoices | null {
    const original = this.#originalOf(injection);
    const known = this.#connections.find((one) => `${one.protocol} ${one.original}` === original);
    const { courses } = this.#engine.courses(injection, () => null);
    if (courses.length < 2) return null;
    if (known === undefined) this.hidden += 1;
    // A connection that is not there took a course that ended with its first packet.
    const taken = courses.find(({ forward }) =>
      known ? known.reply.startsWith(endOf(forward)) : forward.outcome === 'dropped',
    );
    return taken === undefined ? null : { draws: taken.draws };
  }

  #originalOf(injection: Injection): string {
    if (injection.as !== 'frame') return '';
    const { protocol, src, dst, bytes, l3 } = parsedIp(injection.frameBytes.slice(14));
    const l4 = l3 + (src.family === 4 ? (bytes[l3]! & 15) * 4 : 40);
    const word = (at: number) => ((bytes[l4 + at] ?? 0) << 8) | (bytes[l4 + at + 1] ?? 0);
    const sport = protocol === Protocol.icmp ? word(4) : word(0);
    const dport = protocol === Protocol.icmp ? word(0) : word(2);
    return `${protocol} ${formatTuple({ protocol, src, dst, sport, dport })}`;
  }

  answer(seconds: number): Answer {
    const { host } = this.#plan;
    const counters = [...this.#engine.counters(host)].map(
      ([name, { packets, bytes }]) => [name, `${packets}:${bytes}`] as const,
    );
    const connections = this.#engine.connections(host).map(({ timeoutS, ...c }) => ({
      ...c,
      seconds: timeoutS,
    }));
    const reading = { counters: new Map(counters), connections, learned: [] };
    return { bursts: [this.#lines], reading, seconds };
  }
}

/** How the answers of whoever got the packet begin: `src=… ` as conntrack(8) writes it. */
function endOf({ packet }: Journey): string {
  return packet === null ? 'nowhere' : `src=${formatAddress(parsedIp(packet).dst)} `;
}
