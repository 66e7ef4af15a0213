/**
 * How fast an engine is on a workload, and proof that it was right meanwhile: before any figure is
 * taken, a sample goes through the reference engine too, and every outcome, reason, deciding rule
 * and byte must be the same; and again when all connections are open and have been measured.
 *
 * The clock is an argument; nothing here reads one.
 * @module
 */

import { InternalError } from '../../diagnostic/diagnostic.ts';
import type { CompiledEngine, CompiledStatistics, NativeBatch } from '../../engine/compiled.ts';
import type { Engine, Journey } from '../../engine/engine.ts';
import { injectionOf, stamp, toBatch } from './batch.ts';
import type { Packets, Sent } from './talks.ts';
import { CHECKED, type Progress, type Traffic, type Workload } from './workload.ts';

/** A clock that counts nanoseconds from somewhere. */
export type Clock = () => bigint;

export interface MeasureOptions {
  readonly samples: number;
  /** Virtual time between samples, in seconds: above a timeout, connections are opened anew. */
  readonly gapS: number;
  readonly clock: Clock;
  /** Told now and then what is being done: phases that the reference engine takes part in. */
  readonly progress?: Progress;
}

export interface Sample {
  readonly packets: number;
  readonly ns: number;
}

export interface Measured {
  readonly samples: readonly Sample[];
  /** Of outcome, reason, rule and bytes of the packets that were checked. */
  readonly digest: string;
  readonly checked: number;
  /** Exact, the same on every machine. */
  readonly counters: Readonly<Record<string, number>>;
  /** Of the samples alone: packets that native code moved, and that the reference engine walked. */
  readonly hits: { readonly moved: number; readonly walked: number };
  readonly outcomes: Readonly<Record<string, number>>;
}

const START_NS = 1e15;
const STEP_NS = 1000;
/** All of a measurement, but for gaps: connections are not to end by themselves meanwhile. */
const MOST_NS = 20e9;
/** Packets of openings that are made at a time. */
const PART = 4096;
/** Packets of the reference engine between two words about it. */
const TOLD_EVERY = 256;

/** A digest of journeys: FNV-1a over what they say, 32 bits twice. */
export class Digest {
  #high = 0x811c9dc5;
  #low = 0x01000193;

  add({ outcome, reason, decision, packet, frame }: Journey): void {
    const rule =
      decision === null ? '' : `${decision.host} ${decision.stage} ${decision.text ?? ''}`;
    for (const char of `${outcome} ${reason} ${rule}`) this.#byte(char.charCodeAt(0));
    for (const byte of packet ?? []) this.#byte(byte);
    for (const byte of frame ?? []) this.#byte(byte);
  }

  #byte(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x01000193) >>> 0;
    this.#low = Math.imul(this.#low ^ (value + (this.#high & 0xff)), 0x85ebca6b) >>> 0;
  }

  toString(): string {
    const hex = (n: number) => n.toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }
}

/** What both engines are asked about: the workload's sample, or what comes first in it. */
function checkedOf({ openings, packets, sample }: Workload): Traffic {
  if (sample !== undefined) return sample;
  const first = Math.min(CHECKED, openings.length);
  const opening = Array.from({ length: first }, (_, i) => openings.at(i) ?? nobody());
  return { openings: opening, packets: packets.slice(0, CHECKED) };
}

interface Checked {
  readonly digest: string;
  /** Of the packets behind the openings alone. */
  readonly packets: string;
  readonly count: number;
}

function digestOf(engine: Engine, traffic: Traffic, progress: Progress | undefined): Checked {
  const all = new Digest();
  const behind = new Digest();
  const count = traffic.openings.length + traffic.packets.length;
  let i = 0;
  const ask = (sent: Sent): Journey => {
    if (i % TOLD_EVERY === 0) progress?.(`checking the ${engine.name} engine`, i, count);
    const journey = engine.inject(injectionOf(sent, ++i, START_NS + i * STEP_NS));
    all.add(journey);
    return journey;
  };
  for (const sent of traffic.openings) ask(sent);
  for (const sent of traffic.packets) behind.add(ask(sent));
  return { digest: all.toString(), packets: behind.toString(), count };
}

/** Makers of engines with nothing in them. */
export interface Makers {
  readonly compiled: () => CompiledEngine;
  readonly reference: () => Engine;
}

/** An engine with all connections of a workload open, to be measured round by round. */
export class CompiledRun {
  readonly #engine: CompiledEngine;
  readonly #workload: Workload;
  readonly #options: MeasureOptions;
  readonly #checked: Checked;
  readonly #batch: NativeBatch;
  readonly #stepNs: number;
  readonly #walked = new Map<string, number>();
  readonly #samples: Sample[] = [];
  #rounds = 0;
  #told = 0;
  #before: CompiledStatistics | null = null;
  #nowNs = START_NS;

  /** @throws InternalError when the engines differ: there is no figure then */
  constructor(make: Makers, workload: Workload, options: MeasureOptions) {
    this.#options = options;
    this.#workload = workload;
    const asked = checkedOf(workload);
    this.#checked = digestOf(make.reference(), asked, options.progress);
    const got = digestOf(make.compiled(), asked, options.progress);
    if (this.#checked.digest !== got.digest) {
      const both = `reference ${this.#checked.digest}, compiled ${got.digest}`;
      throw new InternalError(`the engines differ on ${got.count} packets: ${both}`);
    }
    const { packets, openings } = workload;
    const total = openings.length + packets.length * (options.samples + 1);
    this.#stepNs = Math.min(STEP_NS, MOST_NS / total);
    this.#engine = make.compiled();
    this.#open(openings);
    this.#batch = toBatch(packets, (place) => this.#engine.entryOf(place));
  }

  /** Packets of the openings, a few thousand at a time. */
  #open(openings: Packets): void {
    const { progress } = this.#options;
    let part: Sent[] = [];
    let done = 0;
    const send = () => {
      const batch = toBatch(part, (place) => this.#engine.entryOf(place));
      this.#nowNs = stamp(batch, this.#nowNs, this.#stepNs);
      this.#send(batch, part, () => {
        if (this.#told++ % TOLD_EVERY === 0)
          progress?.('opening connections', done, openings.length);
      });
      done += part.length;
      progress?.('opening connections', done, openings.length);
      part = [];
    };
    for (const sent of openings) if (part.push(sent) === PART) send();
    if (part.length > 0) send();
  }

  #send(batch: NativeBatch, packets: readonly Sent[], walked: (at: number, j: Journey) => void) {
    this.#engine.injectBatch(
      batch,
      (i) => injectionOf(packets[i] ?? nobody(), i + 1, batch.times[i] ?? 0),
      walked,
    );
  }

  /** All packets once. The first round fills the tables, and is no sample. */
  round(): void {
    const { gapS, samples, clock, progress } = this.#options;
    const { packets } = this.#workload;
    const phase = `sample ${this.#rounds} of ${samples}`;
    if (this.#rounds === 1) this.#before = this.#engine.statistics();
    this.#nowNs = stamp(this.#batch, this.#nowNs + gapS * 1e9, this.#stepNs);
    let walked = 0;
    const started = clock();
    this.#send(this.#batch, packets, (i, { outcome }) => {
      this.#count(`${outcome} walked`);
      if (walked++ % TOLD_EVERY === 0) progress?.(phase, i, packets.length);
    });
    const ns = Number(clock() - started);
    if (this.#rounds > 0) this.#samples.push({ packets: packets.length, ns });
    this.#rounds += 1;
  }

  #count(name: string): void {
    this.#walked.set(name, (this.#walked.get(name) ?? 0) + 1);
  }

  /**
   * What came of it.
   * @throws InternalError when the engine, with all that it holds, says something else of the
   * sample's packets than the reference engine did
   */
  end(): Measured {
    const { batch, outcomes } = { batch: this.#batch, outcomes: new Map(this.#walked) };
    for (const number of batch.results) {
      if (number < 0) continue;
      const { outcome } = this.#engine.decision(number) ?? { outcome: 'unknown' };
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    const { slow, ...others } = this.#engine.statistics();
    const before = this.#before ?? { moved: 0, slow: {} };
    const walks = (all: object) => Object.values(all).reduce((sum, n) => sum + n, 0);
    const hits = {
      moved: others.moved - before.moved,
      walked: walks(slow) - walks(before.slow),
    };
    this.#checkLoaded();
    return {
      samples: this.#samples,
      digest: this.#checked.digest,
      checked: this.#checked.count,
      counters: { ...slow, ...others },
      hits,
      outcomes: Object.fromEntries(outcomes),
    };
  }

  #checkLoaded(): void {
    const { sample } = this.#workload;
    if (sample === undefined) return;
    const digest = new Digest();
    for (const [i, sent] of sample.packets.entries()) {
      this.#nowNs += this.#stepNs;
      digest.add(this.#engine.inject(injectionOf(sent, i + 1, this.#nowNs)));
    }
    if (digest.toString() === this.#checked.packets) return;
    const both = `reference ${this.#checked.packets}, compiled ${digest}`;
    throw new InternalError(`the engines differ when all connections are open: ${both}`);
  }
}

/**
 * Measure the compiled engine.
 * @throws InternalError when the engines differ: there is no figure then
 */
export function measureCompiled(
  make: Makers,
  workload: Workload,
  options: MeasureOptions,
): Measured {
  const run = new CompiledRun(make, workload, options);
  for (let round = 0; round <= options.samples; round++) run.round();
  return run.end();
}

function nobody(): never {
  throw new InternalError('every result is of a packet');
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Median absolute deviation. */
  readonly mad: number;
  readonly samples: readonly number[];
}

/** Packets per second over the samples. */
export function packetsPerSecond(samples: readonly Sample[]): Spread {
  const rates = samples.map(({ packets, ns }) => (packets / ns) * 1e9);
  const median = middle(rates);
  return {
    median,
    min: Math.min(...rates),
    max: Math.max(...rates),
    mad: middle(rates.map((rate) => Math.abs(rate - median))),
    samples: rates,
  };
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >>> 1;
  const [low = 0, high = 0] = [sorted[half - 1], sorted[half]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
