/**
 * Verdicts only: what becomes of packets that open IPv4 connections, each as if it were the only
 * one there is. No connection is tracked, no rule counts; native code maps addresses and ports to
 * classes and looks the combination up, many packets at a time.
 *
 * A combination that nobody met is walked by the reference engine on pristine states. What follows
 * from facts alone is kept; what does not (draws, translations, rules with a memory) is walked for
 * each packet anew.
 * @module
 */
import type { Connection } from '../conntrack/connection.ts';
import type { ClassTables } from '../image/classes/class-tables.ts';
import type { Host } from '../node/host.ts';
import { fillSegment } from '../packet/transport-checksum.ts';
import { ipv4 as addressOf } from '../wire/address/address.ts';
import * as ipv4 from '../wire/header/ipv4.ts';
import * as tcp from '../wire/header/tcp.ts';
import * as udp from '../wire/header/udp.ts';
import { Protocol } from '../wire/protocol.ts';
import { classArrays } from './compiled/class-arrays.ts';
import { classTables } from './compiled/class-image.ts';
import { Recording } from './compiled/decision/recording.ts';
import { OPAQUE } from './compiled/decision/rule-facts.ts';
import { By } from './compiled/layout.ts';
import type { NativeAddon, NativeVerdicts, VerdictBatch } from './compiled/native-door.ts';
import type { EntryPlace } from './compiled.ts';
import type { Injection, Journey } from './engine.ts';
import type { Execution } from './execution.ts';
import { ReferenceEngine } from './reference.ts';
import type { Topology } from './topology.ts';

export type { VerdictBatch } from './compiled/native-door.ts';

export interface VerdictOptions {
  readonly addon: NativeAddon;
  readonly seed?: number;
  /** Combinations of classes that may be remembered. */
  readonly capacity?: number;
  /** As `CompiledOptions.classes`. */
  readonly classes?: SharedArrayBuffer;
  /** Which way native code goes; the processor's best when absent. */
  readonly path?: number;
}

/** Ways of native code (`VerdictPath` of native/src/engine/verdicts.hh). */
export const VerdictPath = { portable: 0, avx2: 1, avx512: 2 } as const;

/** Which protocol and which way in. */
export interface VerdictKind {
  readonly protocol: 'tcp' | 'udp';
  readonly entry: Exclude<EntryPlace, { as: 'frame' }>;
}

const CAPACITY = 65_536;
const KINDS_AT = 8;
/** Facts that all openings of one protocol share. */
const CONSTANT = By.flags;

export class Verdicts {
  readonly #native: NativeVerdicts;
  readonly #path: number;
  readonly #reference: ReferenceEngine;
  readonly #classes: ClassTables;
  readonly #recording = new Recording();
  readonly #entries: VerdictKind['entry'][] = [];
  readonly #journeys: Journey[] = [];
  readonly #numbers = new Map<string, number>();
  #by = 0;
  #isTranslated = false;
  /** Packets that the reference engine walked. */
  walked = 0;

  constructor(topology: Topology, options: VerdictOptions) {
    const { addon, seed, capacity = CAPACITY, classes } = options;
    this.#native = new addon.Verdicts(capacity);
    this.#path = options.path ?? this.#native.paths().at(-1) ?? VerdictPath.portable;
    this.#classes = classTables(addon, classes);
    this.#native.useClasses(classArrays(this.#classes));
    this.#reference = new ReferenceEngine(topology, {
      ...(seed === undefined ? {} : { seed }),
      onHost: (host) => this.#meet(host),
      onExecuted: (execution) => this.#note(execution),
    });
  }

  /** The way that native code goes. */
  get pathName(): string {
    const named = Object.entries(VerdictPath).find(([, path]) => path === this.#path);
    return named?.[0] ?? 'portable';
  }

  /** What stands in `kinds` of a batch for this protocol and way in. */
  kindOf({ protocol, entry }: VerdictKind): number {
    const known = this.#entries.findIndex((other) => isSameEntry(other, entry));
    const number = known < 0 ? this.#entries.push(entry) - 1 : known;
    return ((number << KINDS_AT) | Protocol[protocol]) >>> 0;
  }

  /** Fill in `results`: numbers whose journeys `journey` has. */
  run(batch: VerdictBatch, walking: (packet: number) => void = () => {}): void {
    const to = batch.results.length;
    for (let at = 0; at < to; ) {
      at = this.#native.run(batch, at, to, this.#path);
      if (at === to) return;
      walking(at);
      at = this.#fill(batch, at);
    }
  }

  /** The journey of packets with this number; bytes are those of the first one. */
  journey(number: number): Journey {
    const found = this.#journeys[number];
    if (found === undefined) throw new RangeError(`no verdict ${number}`);
    return found;
  }

  /** Walk the packet; where to go on. */
  #fill(batch: VerdictBatch, at: number): number {
    const injection = injectionOf(batch, at, this.#entries);
    const recording = this.#recording;
    // What a neighbour answers is known the second time.
    let journey = this.#walk(injection);
    if (recording.learned) journey = this.#walk(injection);
    const number = this.#numberOf(journey);
    const facts = recording.facts & ~CONSTANT;
    const isKept = !(facts & OPAQUE) && !recording.learned && !this.#isTranslated;
    if (!isKept || journey.outcome === 'unknown') {
      batch.results[at] = number;
      return at + 1;
    }
    if ((facts & ~this.#by) !== 0) {
      this.#by |= facts;
      this.#native.lookAt(this.#by);
    }
    this.#native.set(batch, at, number);
    return at;
  }

  #walk(injection: Injection): Journey {
    this.walked += 1;
    this.#isTranslated = false;
    this.#recording.begin();
    const { courses } = this.#reference.courses(injection, () => null);
    this.#recording.end();
    const [first] = courses;
    if (first === undefined) throw new RangeError('a packet takes some course');
    if (courses.length > 1) this.#isTranslated = true;
    return first.forward;
  }

  /** Journeys that end alike have one number. */
  #numberOf(journey: Journey): number {
    const { outcome, reason, decision, end } = journey;
    const key = JSON.stringify([outcome, reason, end, decision]);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#journeys.push(journey) - 1;
    this.#numbers.set(key, number);
    return number;
  }

  #meet(host: Host): void {
    host.scratchCounters.observer = this.#recording.observerOf(host);
    host.onLearned = () => {
      this.#recording.learned = true;
    };
    this.#classes.takeIn(host.image);
    if (this.#classes.takeChanged()) this.#native.useClasses(classArrays(this.#classes));
  }

  #note(execution: Execution): void {
    for (const connection of execution.touched.keys()) {
      const { sourceNat, destinationNat, masqueradeDevice, mark } = connection as Connection;
      if (sourceNat || destinationNat || masqueradeDevice !== '' || mark !== 0) {
        this.#isTranslated = true;
      }
    }
  }
}

function isSameEntry(a: VerdictKind['entry'], b: VerdictKind['entry']): boolean {
  if (a.as !== b.as || a.host !== b.host) return false;
  return a.as === 'local' || (b.as === 'received' && a.device === b.device);
}

const TTL = 64;

/** A packet of the batch as it would be sent: a SYN, or a datagram without content. */
function injectionOf(
  { src, dst, ports, kinds }: VerdictBatch,
  at: number,
  entries: readonly VerdictKind['entry'][],
): Injection {
  const kind = kinds[at] ?? 0;
  const entry = entries[kind >>> KINDS_AT];
  if (entry === undefined) throw new RangeError(`no way in ${kind >>> KINDS_AT}`);
  const protocol = kind & 0xff;
  const both = ports[at] ?? 0;
  const ends = { src: addressOf(src[at] ?? 0), dst: addressOf(dst[at] ?? 0) };
  const body = segmentOf(protocol, both & 0xffff, both >>> 16);
  fillSegment({ bytes: body, off: 0, end: body.length, protocol, ...ends });
  const flags = { dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const rest = { tos: 0, id: 0, ttl: TTL, options: new Uint8Array(0) };
  const packet = ipv4.emit({ ...flags, ...rest, protocol, ...ends }, body);
  return { ...entry, packet, frame: at + 1, nowNs: 0 };
}

function segmentOf(protocol: number, sport: number, dport: number): Uint8Array {
  if (protocol === Protocol.udp) return udp.emit({ sport, dport }, new Uint8Array(0));
  const head = { seq: 0, ack: 0, window: 65_535, urgent: 0, options: new Uint8Array(0) };
  return tcp.emit({ sport, dport, ...head, flags: tcp.TcpFlag.syn }, new Uint8Array(0));
}
