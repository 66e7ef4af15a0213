/**
 * The reference engine: one emulated Linux host per image, and the cables between them. Every
 * injected packet is run to completion before the next; nothing is remembered but what the hosts'
 * kernels would remember.
 *
 * It is the statement of what is right for any engine that remembers. Rules of long chains that a
 * packet misses are skipped by index (node/rule-index), which a test holds against looking at each.
 * @module
 */
import type { Connection } from '../conntrack/connection.ts';
import { connectionOfList } from '../conntrack/listed.ts';
import { ConntrackTable } from '../conntrack/table.ts';
import { assert, unreachable } from '../diagnostic/diagnostic.ts';
import type { ImageInterface } from '../image/image.ts';
import { Host, type LearnedMac, type MakeTable } from '../node/host.ts';
import type { HostState } from '../node/host-state.ts';
import type { RuleMemory } from '../node/match/memory/rule-memory.ts';
import { Passage, type Stage } from '../node/passage.ts';
import { Trail } from '../node/trail.ts';
import { newPacket } from '../packet/parse.ts';
import * as ethernet from '../wire/header/ethernet.ts';
import { connectionViews } from './connection-views.ts';
import { coursesOf } from './courses.ts';
import type {
  ConnectionView,
  Courses,
  Engine,
  Injection,
  Journey,
  KnownChoices,
  SharedMemory,
} from './engine.ts';
import { Execution, type ExecutionOptions, framed, type World } from './execution.ts';
import { journeyOf, nowhere } from './journey.ts';
import { Cables, type Topology } from './topology.ts';

export interface ReferenceOptions {
  /** Of everything that a kernel would draw; the same seed gives the same results. */
  readonly seed?: number;
  /**
   * What a real kernel drew where it had to draw a port: the number of 16 bits at which the search
   * for a free one starts. Undefined where nobody looked.
   */
  readonly drawn?: World['drawn'];
  /**
   * From how many rules on chains are indexed (node/rule-index); `false`: every rule of every chain
   * is looked at. The results are the same.
   */
  readonly shortestIndexed?: number | false;
  /** Who keeps the hosts' connections; absent: tables of the hosts' own. */
  readonly tableOf?: MakeTable;
  /** Told of every host that is made, and of every packet that was run to its end. */
  readonly onHost?: (host: Host) => void;
  readonly onExecuted?: (execution: Execution) => void;
}

export class ReferenceEngine implements Engine {
  readonly name = 'reference';
  readonly #hosts = new Map<string, Host | null>();
  readonly #world: World;
  readonly #options: ReferenceOptions;
  /** Connections of hosts that are to be made anew. */
  readonly #kept = new Map<string, ConntrackTable>();
  /** The latest time that any injection came with. */
  #nowNs = 0;

  constructor(topology: Topology, options: ReferenceOptions = {}) {
    this.#options = options;
    const host = (name: string): Host | null => {
      const known = this.#hosts.get(name);
      if (known !== undefined) return known;
      const image = topology.hosts(name);
      const isRenewed = this.#kept.has(name);
      const made = image === undefined ? null : new Host(image, tableOf, options.shortestIndexed);
      if (made !== null) options.onHost?.(made);
      for (const listed of (!isRenewed && made && topology.connections?.(name)) || []) {
        made?.state.connections.admit(connectionOfList(listed, 0), 0);
      }
      this.#hosts.set(name, made);
      return made;
    };
    const tableOf: MakeTable = (settings, name) => {
      const kept = this.#kept.get(name);
      this.#kept.delete(name);
      if (kept === undefined) {
        return options.tableOf?.(settings, name) ?? new ConntrackTable(settings);
      }
      const isSame = JSON.stringify(kept.settings) === JSON.stringify(settings);
      assert(isSame, `${name} goes on with its connections, so with its tracker's settings`);
      return kept;
    };
    const draws = options.drawn === undefined ? {} : { drawn: options.drawn };
    this.#world = { cables: new Cables(topology), seed: options.seed ?? 0, ...draws, host };
  }

  inject(injection: Injection): Journey {
    const forgiving = injection.walkPastPolicyDrops ?? false;
    return this.#execute(injection, { ...optionsOf(injection), dry: forgiving, forgiving }).journey;
  }

  assumeOpen(injection: Injection): Journey {
    const options = { ...optionsOf(injection), forgiving: false };
    const { journey } = this.#execute(injection, { ...options, dry: true });
    if (journey.outcome !== 'delivered' && journey.outcome !== 'exited') return journey;
    const { execution } = this.#execute(injection, { ...options, dry: false, uncounted: true });
    for (const [connection, host] of execution.touched) {
      const { original } = connection as Connection;
      host.state.connections.openEstablished(connection as Connection, injection.nowNs);
      const timeouts = host.image.virtualServers?.timeouts;
      if (timeouts) host.state.virtual.establish(original, timeouts, injection.nowNs);
    }
    return journey;
  }

  courses(opening: Injection, answer: (forward: Journey) => Injection | null): Courses {
    return coursesOf((draws) => {
      const trial = new Map<Host, HostState>();
      const aside = (injection: Injection, choices?: KnownChoices) => {
        const options = { ...optionsOf(injection), dry: true, trial };
        return this.#execute(injection, choices ? { ...options, choices } : options).journey;
      };
      const forward = aside(opening, { ...opening.choices, draws });
      const back = answer(forward);
      return { forward, reply: back === null ? null : aside(back) };
    });
  }

  connections(host: string): readonly ConnectionView[] {
    const found = this.#world.host(host);
    return found === null ? [] : connectionViews(found, this.#nowNs);
  }

  counters(host: string): ReadonlyMap<string, { packets: number; bytes: number }> {
    const found = this.#world.host(host);
    return found === null ? new Map() : found.counters.snapshot(found.image.program);
  }

  sharedMemory(): readonly SharedMemory[] {
    return [...this.#hosts.values()].flatMap((host) => {
      if (host === null) return [];
      const { connections, memory } = host.state;
      const { max } = connections.settings;
      return [
        {
          host: host.name,
          bridgesLearned: host.bridgesLearned,
          rulesRemember: countsPackets(memory),
          tableShare: max === 0 ? 0 : connections.size / max,
          tableMax: max,
          earlyDrops: connections.earlyDrops,
        },
      ];
    });
  }

  /**
   * Hosts whose plans have changed: their next packet meets what the topology has of them then.
   * Their connections go on, as under a real host whose rules are replaced; counters, what rules
   * remember, fragments that wait and what was learned on the link begin anew.
   */
  renew(hosts: Iterable<string>): void {
    for (const name of hosts) {
      const host = this.#hosts.get(name);
      if (!this.#hosts.delete(name) || !host) continue;
      const { connections } = host.state;
      assert(host.image.virtualServers === null, `${name} has virtual servers with connections`);
      this.#kept.set(name, connections);
    }
  }

  /**
   * What a host's bridges have learned, beside what its plan lists and what is theirs: the port of
   * each MAC, by bridge and MAC (`bridge fdb show dynamic`).
   */
  fdb(host: string): readonly LearnedMac[] {
    return this.#world.host(host)?.learnedMacs() ?? [];
  }

  #execute(
    injection: Injection,
    options: ExecutionOptions,
  ): { journey: Journey; execution: Execution } {
    this.#nowNs = Math.max(this.#nowNs, injection.nowNs);
    const trail = new Trail();
    const execution = new Execution(this.#world, options);
    const host = this.#world.host(injection.host);
    const start = host === null ? null : begin(injection, host, trail);
    if (start === null) return { journey: nowhere(injection), execution };
    trail.enter(injection.host);
    execution.run(start.passage, start.stage);
    this.#options.onExecuted?.(execution);
    const journey = journeyOf(trail);
    const { made } = execution.draws;
    return { journey: made.length === 0 ? journey : { ...journey, draws: made }, execution };
  }
}

/** Whether rules that count or limit have met packets. */
function countsPackets({ limits, nths, quotas, hashlimits, connlimits, nft }: RuleMemory): boolean {
  const own = [limits, nths, quotas, hashlimits, connlimits];
  return [...own, nft.buckets, nft.quotas, nft.numbers].some((memory) => memory.size > 0);
}

function optionsOf(injection: Injection): ExecutionOptions {
  const { nowNs, utcSeconds, trace, choices } = injection;
  return {
    nowNs,
    tracing: trace ?? false,
    dry: false,
    forgiving: false,
    ...(utcSeconds === undefined ? {} : { utcSeconds }),
    ...(choices === undefined ? {} : { choices }),
  };
}

interface Start {
  readonly passage: Passage;
  readonly stage: Stage;
}

/** The packet at the place where it is injected; null when there is no such device. */
function begin(injection: Injection, host: Host, trail: Trail): Start | null {
  switch (injection.as) {
    case 'local':
      return beginLocal(injection, host, trail);
    case 'frame': {
      const device = host.device(injection.device);
      if (device === null) return null;
      const bytes = injection.frameBytes.slice();
      return {
        passage: arrive(injection, { host, trail, device, bytes, extra: 0 }),
        stage: 'linkInput',
      };
    }
    case 'received': {
      const device = host.device(injection.device);
      if (device === null) return null;
      const bytes = framed(injection.packet);
      ethernet.setDestination(bytes, device.mac);
      const extra = ethernet.HEADER_LENGTH;
      return {
        passage: arrive(injection, { host, trail, device, bytes, extra }),
        stage: 'linkInput',
      };
    }
    default:
      return unreachable(injection);
  }
}

interface Arrival {
  readonly host: Host;
  readonly trail: Trail;
  readonly device: ImageInterface;
  readonly bytes: Uint8Array;
  /** Bytes of link header that the injection's wire length does not count. */
  readonly extra: number;
}

function arrive(injection: Injection, at: Arrival): Passage {
  const packet = newPacket({
    frame: injection.frame,
    bytes: at.bytes,
    ...(injection.wireLength === undefined ? {} : { wireLength: injection.wireLength + at.extra }),
    checksumOffloaded: injection.checksumOffloaded ?? false,
  });
  const passage = new Passage(at.host, packet, at.trail, at.device);
  passage.payloadPerSegment = injection.segmentSize ?? 0;
  return passage;
}

function beginLocal(
  injection: Injection & { readonly as: 'local' },
  host: Host,
  trail: Trail,
): Start | null {
  const device = host.loopback ?? [...host.image.interfaces.values()][0];
  if (device === undefined) return null;
  const bytes = framed(injection.packet);
  const extra = ethernet.HEADER_LENGTH;
  const passage = arrive(injection, { host, trail, device, bytes, extra });
  passage.local = true;
  return { passage, stage: 'localSend' };
}
