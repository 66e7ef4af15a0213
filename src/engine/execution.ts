/**
 * One injected packet run to completion, with everything that comes of it: copies, fragments,
 * packets that hosts make. A queue holds what is still to be moved; order is that of arrival.
 * @module
 */
import type { PortSpan } from '../conntrack/nat/nat.ts';
import type { Tuple } from '../conntrack/tuple.ts';
import type { ImageInterface } from '../image/image.ts';
import type { Host } from '../node/host.ts';
import type { HostState } from '../node/host-state.ts';
import { ConnectionDraws, type DrawRecord, type Draws } from '../node/match/memory/draws.ts';
import { copyMemory, type RuleMemory } from '../node/match/memory/rule-memory.ts';
import { Passage, type Stage } from '../node/passage.ts';
import { drop, finish, type MadePacket, type Run } from '../node/run.ts';
import { runStages } from '../node/stages.ts';
import { Trail } from '../node/trail.ts';
import { equalPacketEnds, packetEnds } from '../packet/ends.ts';
import type { Packet } from '../packet/packet.ts';
import { newPacket, parseFrame } from '../packet/parse.ts';
import { completeChecksum } from '../packet/transport-checksum.ts';
import type { Address } from '../wire/address/address.ts';
import { HEADER_LENGTH } from '../wire/header/ethernet.ts';
import { EtherType } from '../wire/protocol.ts';
import type { KnownChoices } from './engine.ts';
import type { Cables } from './topology.ts';

/** What all executions of an engine share. */
export interface World {
  readonly cables: Cables;
  readonly seed: number;
  readonly drawn?: (
    host: string,
    original: Tuple,
    search: number,
    span: PortSpan,
  ) => number | undefined;
  host(name: string): Host | null;
}

export interface ExecutionOptions {
  readonly nowNs: number;
  readonly utcSeconds?: number;
  readonly tracing: boolean;
  readonly dry: boolean;
  readonly forgiving: boolean;
  /** Connections stay, counters do not. */
  readonly uncounted?: boolean;
  /** What is known of the choices that the packet's connection was given. */
  readonly choices?: KnownChoices;
  /**
   * States that a dry run works on, kept for the next packet of the same trial: as if the
   * connection were the only one there is.
   */
  readonly trial?: Map<Host, HostState>;
}

/** Links that one packet may cross: far more than any real path has. */
const MAX_HOPS = 32;
/** Passages that one injection may cause: a storm of copies ends here. */
const MAX_PASSAGES = 4096;

interface Task {
  readonly passage: Passage;
  readonly stage: Stage;
}

export class Execution implements Run {
  readonly nowNs: number;
  readonly utcSeconds?: number;
  readonly tracing: boolean;
  readonly dry: boolean;
  readonly forgiving: boolean;
  readonly uncounted: boolean;
  readonly seed: number;
  /** Connections that packets of this execution belonged to. */
  readonly touched = new Map<object, Host>();
  readonly knownSource?: { readonly address: Address; readonly port: number };
  /** Every draw of the nat table, along the whole way. */
  readonly draws: DrawRecord;
  readonly #copies = new Map<Host, HostState>();
  readonly #trial: Map<Host, HostState> | undefined;
  readonly #memories = new Map<Host, RuleMemory>();
  readonly #world: World;
  readonly #queue: Task[] = [];
  #count = 0;

  constructor(world: World, options: ExecutionOptions) {
    this.#world = world;
    this.seed = world.seed;
    this.nowNs = options.nowNs;
    if (options.utcSeconds !== undefined) this.utcSeconds = options.utcSeconds;
    this.tracing = options.tracing;
    this.dry = options.dry;
    this.uncounted = options.dry || (options.uncounted ?? false);
    this.forgiving = options.forgiving;
    const { draws = [], source } = options.choices ?? {};
    this.draws = { prescribed: draws, made: [], sites: [] };
    if (source !== undefined) this.knownSource = source;
    this.#trial = options.trial;
  }

  /** Move this packet, and all that comes of it, to the end. */
  run(passage: Passage, stage: Stage): void {
    this.later(passage, stage);
    for (let task = this.#queue.shift(); task !== undefined; task = this.#queue.shift()) {
      runStages(this, task.passage, task.stage);
    }
  }

  drawn(host: string, original: Tuple, search: number, span: PortSpan): number | undefined {
    return this.#world.drawn?.(host, original, search, span);
  }

  drawsOf(host: Host, key: () => string): Draws {
    return new ConnectionDraws(host.name, () => `${this.seed} ${key()}`, this.draws);
  }

  later(passage: Passage, stage: Stage): void {
    this.#count += 1;
    if (this.#count > MAX_PASSAGES) {
      drop(passage, stage, 'internalLoop');
      return;
    }
    this.#queue.push({ passage, stage });
  }

  stateOf(host: Host): HostState {
    if (!this.dry) return host.state;
    const states = this.#trial ?? this.#copies;
    const known = states.get(host);
    if (known !== undefined) return known;
    const state = this.#trial ? host.state.pristine() : host.state.copyOf(this.nowNs);
    states.set(host, state);
    return state;
  }

  memoryOf(host: Host): RuleMemory {
    if (!this.uncounted || this.dry) return this.stateOf(host).memory;
    const known = this.#memories.get(host);
    if (known !== undefined) return known;
    const copy = copyMemory(host.state.memory);
    this.#memories.set(host, copy);
    return copy;
  }

  transmit(passage: Passage, device: ImageInterface): void {
    const { host, trail } = passage;
    trail.step(host.name, 'transmit', device.name);
    noteCrossing(passage);
    const { far, isEdge } = this.#world.cables.port(host.name, device.name);
    if (isEdge) {
      if (passage.packet.checksumOffloaded) completeChecksum(passage.packet);
      finish(passage, 'exited', null);
      return;
    }
    const next = far === null ? null : this.#world.host(far.host);
    const into = far === null ? null : (next?.device(far.device) ?? null);
    if (next === null || into === null) {
      drop(passage, 'transmit', 'noSuchDevice');
      return;
    }
    if (passage.hops >= MAX_HOPS) {
      drop(passage, 'transmit', 'internalLoop');
      return;
    }
    leaveHost(passage.packet);
    const arrival = new Passage(next, passage.packet, trail, into);
    arrival.hops = passage.hops + 1;
    arrival.segmentSize = passage.segmentSize;
    trail.enter(next.name);
    this.later(arrival, 'linkInput');
  }

  generate(cause: Passage, made: MadePacket): void {
    const { host } = cause;
    const trail = new Trail();
    trail.enter(host.name);
    cause.trail.generated.push({ kind: made.kind, from: host.name, trail });
    const bytes = 'ip' in made ? framed(made.ip) : made.frame;
    const packet = newPacket({ frame: 0, bytes });
    parseFrame(packet);
    if (made.attach) this.stateOf(host).connections.attach(packet, cause.packet);
    const device = 'ip' in made ? cause.device : made.device;
    const passage = new Passage(host, packet, trail, device);
    passage.local = true;
    passage.hops = cause.hops;
    this.later(passage, 'ip' in made ? 'ipOutput' : 'transmit');
  }

  isAnswered(host: Host): boolean {
    return this.#world.cables.isAnswered(host.name);
  }

  resolveNeighbor(host: Host, request: Uint8Array, device: ImageInterface): void {
    const { nowNs } = this;
    const aside = new Execution(this.#world, {
      nowNs,
      tracing: false,
      dry: true,
      forgiving: false,
    });
    const packet = newPacket({ frame: 0, bytes: request });
    parseFrame(packet);
    const passage = new Passage(host, packet, new Trail(), device);
    passage.local = true;
    aside.run(passage, 'transmit');
  }
}

/** Write down with which ends the packet leaves, when the last host did not say the same. */
function noteCrossing({ host, packet, trail }: Passage): void {
  if (packet.family === 0) return;
  const ends = packetEnds(packet);
  const last = trail.lastCrossing();
  if (last === null || !equalPacketEnds(last.ends, ends)) {
    trail.crossings.push({ host: host.name, ends });
  }
}

/** Room for the link header that the host will write. */
export function framed(ip: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_LENGTH + ip.length);
  const type = (ip[0] ?? 0) >>> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4;
  frame[12] = type >>> 8;
  frame[13] = type & 0xff;
  frame.set(ip, HEADER_LENGTH);
  return frame;
}

/** What a host attached to a packet stays there (`skb_scrub_packet`). */
function leaveHost(packet: Packet): void {
  packet.inDevice = '';
  packet.outDevice = '';
  packet.physIn = '';
  packet.physOut = '';
  packet.mark = 0;
  packet.markOrigins = null;
  packet.ctState = 'none';
  packet.connection = null;
  packet.ctDirection = 'original';
  packet.ctTemplate = null;
  packet.virtualServed = false;
}
