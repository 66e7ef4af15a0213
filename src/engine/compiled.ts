/**
 * The compiled engine: packets whose connection or combination of facts was met before are moved by
 * native code, all others by the reference engine, whose answer is remembered when it is a function
 * of facts (SEMANTICS C).
 *
 * It has no rules of its own: what a packet does on the fast path is what the reference engine did
 * with one that it can not be told from. The two engines share one state: connections are held by
 * one or the other (compiled/connection-store.ts), counters are added up when asked for.
 * @module
 */
import type { Connection } from '../conntrack/connection.ts';
import { isIcmpTuple } from '../conntrack/tuple.ts';
import type { ClassTables } from '../image/classes/class-tables.ts';
import type { Host } from '../node/host.ts';
import { u8, u16 } from '../wire/bytes.ts';
import { EtherType } from '../wire/protocol.ts';
import { classArrays } from './compiled/class-arrays.ts';
import { classTables } from './compiled/class-image.ts';
import { ConnectionStore } from './compiled/connection/connection-store.ts';
import { EndsBook } from './compiled/connection/ends-book.ts';
import { HostSets } from './compiled/connection/host-sets.ts';
import { DecisionBook, type Page } from './compiled/decision/decision-book.ts';
import {
  type Ending,
  endingOf,
  isOrdinary,
  leastMtu,
  MAX_PACKET,
} from './compiled/decision/ending.ts';
import { type FlowFacts, FlowReader } from './compiled/decision/flow-reader.ts';
import { ttlOf } from './compiled/decision/outcome-of.ts';
import { Recording } from './compiled/decision/recording.ts';
import { OPAQUE, SPECIAL } from './compiled/decision/rule-facts.ts';
import { SpecialOpenings } from './compiled/decision/special-openings.ts';
import type { NativeLanes } from './compiled/lane-door.ts';
import { By, DecisionFlag, SCRATCH_WORDS, Slow, Word } from './compiled/layout.ts';
import type {
  NativeAddon,
  NativeBatch,
  NativeEngine,
  NativeSizes,
} from './compiled/native-door.ts';
import { DEFAULT_CONNECTIONS, sizesFor } from './compiled/table-sizes.ts';
import { connectionViews } from './connection-views.ts';
import type {
  ConnectionView,
  Courses,
  Engine,
  Injection,
  Journey,
  SharedMemory,
} from './engine.ts';
import type { Execution } from './execution.ts';
import { ReferenceEngine, type ReferenceOptions } from './reference.ts';
import type { Topology } from './topology.ts';

export interface CompiledOptions
  extends Pick<ReferenceOptions, 'seed' | 'drawn' | 'shortestIndexed'> {
  readonly addon: NativeAddon;
  /** `--max-connections` and the like; what is left out has a default for an ordinary replay. */
  readonly sizes?: Partial<NativeSizes>;
  /**
   * Classes that were cut before (`freeze` of image/classes/flat.ts), from hosts of this very
   * topology; read in place. Hosts that they do not know are taken in as they are met.
   */
  readonly classes?: SharedArrayBuffer;
}

/** How many packets went which way. */
export interface CompiledStatistics {
  readonly moved: number;
  /** Of those moved, the ones whose ends were rewritten on the way. */
  readonly translated: number;
  /** Connections that began with a translation or a mark. */
  readonly translatedOpenings: number;
  /** Of these, the ones for which no rule was walked; and such that were refused. */
  readonly specialOpenings: number;
  /** Handed to the reference engine, by reason (`Slow`). */
  readonly slow: Readonly<Record<keyof typeof Slow, number>>;
  /** Of `slow.noRoom`, those for whose connection the flow table had no place. */
  readonly tableFull: number;
  readonly connections: number;
  readonly decisions: number;
  readonly tableBytes: number;
}

const MAX_TTL = 255;
/** The shortest timeout that fills a table: that of UDP that nobody answers. */
const SWEEP_NS = 30e9;
const HEADER = 14;
const BY_PORTS = By.sport | By.dport | By.sourcePort | By.destinationPort;

export class CompiledEngine implements Engine {
  readonly name = 'compiled';
  readonly #native: NativeEngine;
  readonly #words = new Float64Array(SCRATCH_WORDS);
  readonly #out = new Uint8Array(MAX_PACKET + HEADER + 1);
  readonly #reference: ReferenceEngine;
  readonly #store: ConnectionStore;
  readonly #sets: HostSets;
  readonly #ends: EndsBook;
  readonly #book: DecisionBook;
  readonly #flows: FlowReader;
  readonly #specials: SpecialOpenings;
  readonly #recording = new Recording();
  readonly #classes: ClassTables;
  readonly #hosts = new Map<string, Host>();
  readonly #renewed = new Set<string>();
  readonly #entries = new Map<string, number>();
  readonly #entryTexts: string[] = [];
  /** The same of packets that hosts send, by host. */
  readonly #localEntries = new Map<string, number>();
  #executed: Execution | null = null;
  #nowNs = 0;
  #sweptNs = Number.NEGATIVE_INFINITY;
  #translatedOpenings = 0;
  #specialOpenings = 0;

  constructor(topology: Topology, options: CompiledOptions) {
    const sizes = { ...sizesFor(DEFAULT_CONNECTIONS), ...options.sizes };
    this.#native = new options.addon.Engine(sizes, this.#words, this.#out);
    this.#classes = classTables(options.addon, options.classes);
    this.#sets = new HostSets(this.#native, this.#words, sizes);
    this.#ends = new EndsBook(this.#native, () => this.#classes);
    this.#store = new ConnectionStore(this.#native, this.#words, this.#sets, this.#ends);
    this.#flows = new FlowReader(this.#sets);
    this.#book = new DecisionBook(this.#native, this.#words);
    const { seed, drawn, shortestIndexed } = options;
    this.#specials = new SpecialOpenings({
      ...{ native: this.#native, words: this.#words, ends: this.#ends, book: this.#book },
      seed: seed ?? 0,
    });
    this.#reference = new ReferenceEngine(topology, {
      ...(seed === undefined ? {} : { seed }),
      ...(drawn === undefined ? {} : { drawn }),
      ...(shortestIndexed === undefined ? {} : { shortestIndexed }),
      tableOf: (settings) => this.#store.makeTable(settings),
      onHost: (host) => this.#meet(host),
      onExecuted: (execution) => {
        this.#executed = execution;
      },
    });
  }

  inject(injection: Injection): Journey {
    this.#nowNs = Math.max(this.#nowNs, injection.nowNs);
    const packet = fastPacket(injection);
    if (packet === null) return this.#reference.inject(injection);
    const entry = this.entryOf(injection);
    const offloaded = injection.checksumOffloaded ?? false;
    const number = this.#native.step(entry, packet, injection.nowNs, offloaded);
    if (number >= 0) return this.#book.journeyOf(number, this.#out, packet);
    return this.#notMoved(number, injection, packet, entry);
  }

  /** As `ReferenceEngine.renew`: what was concluded by way of these hosts is to be found anew. */
  renew(hosts: Iterable<string>): void {
    for (const name of hosts) {
      const host = this.#hosts.get(name);
      if (host !== undefined) this.#book.kill(host);
      this.#renewed.add(name);
      this.#reference.renew([name]);
    }
  }

  /** The number by which a batch names the place where packets enter. */
  entryOf(place: EntryPlace): number {
    if (place.as !== 'local') return this.#entryNumber(entryText(place));
    const known = this.#localEntries.get(place.host);
    if (known !== undefined) return known;
    const number = this.#entryNumber(entryText(place));
    this.#localEntries.set(place.host, number);
    return number;
  }

  /**
   * Move packets in order. Each leaves the number of its decision in `batch.results`, or, when the
   * reference engine moved it, -1: `walked` is then told of its journey.
   *
   * @param injectionOf the same packet as an injection, asked for only when it must be walked
   */
  injectBatch(
    batch: NativeBatch,
    injectionOf: (index: number) => Injection,
    walked: (index: number, journey: Journey) => void,
  ): void {
    const to = batch.offsets.length;
    for (let at = 0; at < to; at++) {
      at = this.#native.run(batch, at, to);
      if (at < to) walked(at, this.walk(batch, at, injectionOf(at)));
    }
  }

  /** The packets `from..to` of a batch as far as the fast path moves them (`NativeEngine.run`). */
  run(batch: NativeBatch, from: number, to: number): number {
    return this.#native.run(batch, from, to);
  }

  /** Let lanes move packets of connections that are held here, by decisions that are `good`. */
  serve(lanes: NativeLanes, good: Uint8Array): void {
    lanes.useEngine(this.#native, good);
  }

  /** Walk a packet of a batch that the fast path did not move; its result becomes -1. */
  walk(batch: NativeBatch, at: number, injection: Injection): Journey {
    const why = batch.results[at] ?? -1;
    batch.results[at] = -1;
    const packet = fastPacket(injection);
    this.#nowNs = Math.max(this.#nowNs, injection.nowNs);
    return packet === null
      ? this.#reference.inject(injection)
      : this.#notMoved(why, injection, packet, batch.entries[at] ?? 0);
  }

  /**
   * The journey of the packet of a batch at which the fast path stopped, moved by a decision.
   * Precondition: `batch.out` has the headers of packets as they end.
   */
  journeyAt(batch: NativeBatch, at: number): Journey {
    const number = batch.results[at] ?? -1;
    const { out, stride, packets, offsets } = batch;
    const from = offsets[at] ?? 0;
    const came = packets.subarray(from, from + (batch.lengths[at] ?? 0));
    const leaves = this.decision(number)?.outcome === 'exited';
    const whole = new Uint8Array((leaves ? HEADER : 0) + came.length);
    whole.set(came, whole.length - came.length);
    if (out !== null) {
      // A ring of places, a power of two of them.
      const place = (at & (out.length / stride - 1)) * stride;
      whole.set(out.subarray(place, place + Math.min(stride, whole.length)));
    }
    this.#native.meet(came, batch.offloaded[at] === 1);
    return this.#book.journeyOf(number, whole, came);
  }

  /** Changes when numbers of decisions are given out anew. */
  get epoch(): number {
    return this.#book.epoch;
  }

  /** Whether packets like this one can be moved by the fast path at all. */
  static mayMove(injection: Injection): boolean {
    return fastPacket(injection) !== null;
  }

  /** The journey that packets take by a decision; bytes are those of the packet it was made for. */
  decision(number: number): Journey | undefined {
    return this.#book.page(number)?.journey;
  }

  assumeOpen(injection: Injection): Journey {
    this.#nowNs = Math.max(this.#nowNs, injection.nowNs);
    return this.#reference.assumeOpen(injection);
  }

  courses(opening: Injection, answer: (forward: Journey) => Injection | null): Courses {
    return this.#reference.courses(opening, answer);
  }

  connections(host: string): readonly ConnectionView[] {
    const known = this.#hosts.get(host);
    return known === undefined
      ? this.#reference.connections(host)
      : connectionViews(known, this.#nowNs);
  }

  counters(host: string): ReadonlyMap<string, { packets: number; bytes: number }> {
    this.#book.settle();
    return this.#reference.counters(host);
  }

  sharedMemory(): readonly SharedMemory[] {
    return this.#reference.sharedMemory();
  }

  statistics(): CompiledStatistics {
    this.#native.statistics();
    const at = (place: number) => this.#words[place] ?? 0;
    const reasons = Object.entries(Slow).map(([name, why]) => [name, at(-why)] as const);
    return {
      moved: at(0),
      translated: at(11),
      translatedOpenings: this.#translatedOpenings,
      specialOpenings: this.#specialOpenings,
      slow: Object.fromEntries(reasons) as CompiledStatistics['slow'],
      tableFull: at(12),
      connections: at(8),
      tableBytes: at(9),
      decisions: at(10),
    };
  }

  /** A new host: its rules are watched, and what it learns ends decisions that led through it. */
  #meet(host: Host): void {
    this.#hosts.set(host.name, host);
    this.#classes.takeIn(host.image);
    // Tells apart what its new plan does; what the old one did, stays told apart.
    if (this.#renewed.delete(host.name)) this.#classes.add(host.image.cuts());
    if (this.#classes.takeChanged()) {
      this.#native.useClasses(classArrays(this.#classes));
      this.#ends.forgetClasses();
    }
    host.counters.observer = this.#recording.observerOf(host);
    host.onLearned = () => {
      this.#recording.learned = true;
      this.#book.kill(host);
    };
  }

  /** Make room by forgetting the dead, at most once in a while of virtual time. */
  #sweep(): void {
    if (this.#nowNs - this.#sweptNs < SWEEP_NS) return;
    this.#sweptNs = this.#nowNs;
    this.#native.expire(this.#nowNs);
  }

  #entryNumber(text: string): number {
    const known = this.#entries.get(text);
    if (known !== undefined) return known;
    const number = this.#entryTexts.length;
    this.#entries.set(text, number);
    this.#entryTexts.push(text);
    return number;
  }

  /** A packet that the fast path handed over, and why. */
  #notMoved(why: number, injection: Injection, packet: Uint8Array, entry: number): Journey {
    if (why === Slow.noRoom) this.#sweep();
    if (why === Slow.specialOpening) {
      const journey = this.#specials.open(injection, packet, this.#out);
      if (journey !== null) {
        this.#specialOpenings += 1;
        if (journey.outcome !== 'dropped') this.#translatedOpenings += 1;
        return journey;
      }
    }
    return this.#walkAndRemember(injection, packet, entry);
  }

  #walkAndRemember(injection: Injection, packet: Uint8Array, entry: number): Journey {
    const isPlain = this.#native.isPlain();
    const before = this.#native.nextOrder();
    this.#recording.begin();
    this.#executed = null;
    const journey = this.#reference.inject(injection);
    this.#recording.end();
    const execution: Execution | null = this.#executed;
    if (!isPlain || execution === null) return journey;
    const walk = { injection, packet, journey, execution: execution as Execution, before };
    const facts = this.#factsOf(walk, 0);
    const special = facts === null ? this.#factsOf(walk, SPECIAL) : null;
    if (facts !== null) this.#remember(entry, facts, journey);
    else if (this.#flows.isSpecialOpening(walk)) this.#translatedOpenings += 1;
    else if (special === null) return journey;
    let isGiven = false;
    for (const connection of walk.execution.touched.keys()) {
      if (!(connection as Connection).confirmed) continue;
      isGiven = this.#store.giveUp(connection as Connection) || isGiven;
    }
    if (special !== null && (isGiven || special.hostSetAfter === 0)) {
      this.#rememberSpecial(entry, special, walk);
    }
    return journey;
  }

  /** What a decision must hold, if the packet's journey follows from facts alone; else null. */
  #factsOf(walk: Walk, special: 0 | typeof SPECIAL): DecisionFacts | null {
    const { injection, packet, journey, execution, before } = walk;
    const recording = this.#recording;
    if (recording.facts & (OPAQUE | SPECIAL) & ~special || recording.learned) return null;
    if (special !== 0 && (recording.facts & SPECIAL) === 0) return null;
    if (!isOrdinary(journey, special !== 0)) return null;
    if (journey.packet === null || recording.length < 0) return null;
    if (recording.counted.length > 0 && recording.length !== packet.length) return null;
    // Rules that raise the TTL stop at 255: what they do to others can not be told from this one.
    if (ttlOf(packet) + recording.ttlRoom > MAX_TTL) return null;
    const hosts = journey.hosts.map((name) => this.#hosts.get(name));
    if (hosts.includes(undefined)) return null;
    const crossed = hosts as Host[];
    const mtu = leastMtu(crossed);
    const walked = { packet, execution, crossed, before };
    const flow = special === 0 ? this.#flows.read(walked) : this.#flows.readSpecial(walked);
    if (flow === null || packet.length > mtu) return null;
    const by = (recording.facts & ~SPECIAL) | flow.by;
    // Ports that a packet has on the way only are not in the key of a decision.
    if (flow.names.length > 2 && (by & BY_PORTS) !== 0) return null;
    const ending = endingOf(packet, journey, flow, injection.checksumOffloaded ?? false);
    return ending === null ? null : { ...ending, ...flow, by, crossed, mtu };
  }

  #remember(entry: number, facts: DecisionFacts, journey: Journey): void {
    this.#book.enter(this.#describe(entry, facts, journey), facts.crossed);
  }

  #rememberSpecial(entry: number, facts: DecisionFacts, { journey, execution }: Walk): void {
    const { names, by, crossed: hosts } = facts;
    // Names between the first and the last are only known of a connection that is held.
    if (facts.hostSetAfter === 0 && names.length > 2) return;
    const page = this.#describe(entry, facts, journey);
    this.#specials.remember({ page, hosts, names, by, draws: execution.draws });
  }

  /** Write the decision into the words. */
  #describe(entry: number, facts: DecisionFacts, journey: Journey): Page {
    const words = this.#words;
    const { change, turns, far } = facts;
    const leaves = journey.outcome === 'exited';
    words[Word.entry] = entry;
    words[Word.flowState] = facts.state;
    words[Word.hostSetBefore] = facts.hostSetBefore;
    words[Word.hostSetAfter] = facts.hostSetAfter;
    words[Word.hostSetOpened] = facts.hostSetOpened;
    words[Word.by] = facts.by;
    words[Word.ends] = this.#ends.numberOf(facts.names);
    words[Word.otherSport] = far?.sport ?? 0;
    // Of a query the addon knows the identifier only.
    words[Word.otherDport] = far === null || isIcmpTuple(far) ? 0 : far.dport;
    words[Word.decisionFlags] =
      (leaves ? DecisionFlag.leaves : 0) |
      (facts.translates ? DecisionFlag.translates : 0) |
      (change.completesChecksum ? DecisionFlag.completesChecksum : 0);
    words[Word.tosAfter] = change.tosAfter;
    words[Word.ttlChange] = change.ttlChange;
    words[Word.ttlRoom] = Math.min(255, this.#recording.ttlRoom);
    words[Word.mtu] = facts.mtu;
    if (leaves) words.set(journey.frame?.subarray(0, HEADER) ?? [], Word.linkHeader);
    return { journey, counted: this.#recording.counted, turns };
  }
}

/** One walk of the reference engine. */
interface Walk {
  readonly injection: Injection;
  readonly packet: Uint8Array;
  readonly journey: Journey;
  readonly execution: Execution;
  /** Connections that are older have a lower order. */
  readonly before: number;
}

interface DecisionFacts extends FlowFacts, Ending {
  readonly crossed: readonly Host[];
  readonly mtu: number;
}

/** The IP packet of an injection that the fast path may take; null for what is unusual. */
function fastPacket(injection: Injection): Uint8Array | null {
  const { trace, walkPastPolicyDrops, segmentSize, wireLength } = injection;
  if (trace || walkPastPolicyDrops || segmentSize !== undefined) return null;
  if (injection.as !== 'frame') {
    const { packet } = injection;
    return wireLength === undefined || wireLength === packet.length ? packet : null;
  }
  const { frameBytes } = injection;
  if (frameBytes.length <= HEADER) return null;
  if (wireLength !== undefined && wireLength !== frameBytes.length) return null;
  const type = u16(frameBytes, 12);
  const version = u8(frameBytes, HEADER) >>> 4;
  const fits = type === (version === 4 ? EtherType.ipv4 : EtherType.ipv6);
  return fits ? frameBytes.subarray(HEADER) : null;
}

/** Where packets enter: as an injection says it. */
export type EntryPlace =
  | { readonly as: 'local'; readonly host: string }
  | { readonly as: 'received'; readonly host: string; readonly device: string }
  | {
      readonly as: 'frame';
      readonly host: string;
      readonly device: string;
      readonly frameBytes: Uint8Array;
    };

/** Where a packet enters, with the link header that it comes in. */
function entryText(injection: EntryPlace): string {
  if (injection.as === 'local') return `local ${injection.host}`;
  if (injection.as === 'received') return `received ${injection.host} ${injection.device}`;
  const macs = Buffer.from(injection.frameBytes.subarray(0, 12)).toString('hex');
  return `frame ${injection.host} ${injection.device} ${macs}`;
}

export type { Injection, NativeBatch };
