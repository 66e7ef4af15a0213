/**
 * How fast an engine is on a workload, and proof that it was right meanwhile: before any figure is
 * taken, the first packets go through the reference engine too, and every outcome, reason, deciding
 * rule and byte must be the same.
 *
 * The clock is an argument; nothing here reads one.
 * @module
 */

import { InternalError } from '../../diagnostic/diagnostic.ts';
import type { CompiledEngine } from '../../engine/compiled.ts';
import type { Engine, Journey } from '../../engine/engine.ts';
import { injectionOf, stamp, toBatch, type Workload } from './workload.ts';

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

/** `done` of `of` packets of a phase. */
export type Progress = (phase: string, done: number, of: number) => void;

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
  readonly outcomes: Readonly<Record<string, number>>;
}

/** Packets that both engines are asked for before a figure is believed. */
const CHECKED = 4000;
const START_NS = 1e15;
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

function digestOf(
  engine: Engine,
  workload: Workload,
  progress: Progress | undefined,
): { digest: string; checked: number } {
  const digest = new Digest();
  const packets = [...workload.openings.slice(0, CHECKED), ...workload.packets.slice(0, CHECKED)];
  for (const [i, sent] of packets.entries()) {
    if (i % TOLD_EVERY === 0) progress?.(`checking the ${engine.name} engine`, i, packets.length);
    digest.add(engine.inject(injectionOf(sent, i + 1, START_NS + i * 1000)));
  }
  return { digest: digest.toString(), checked: packets.length };
}

/**
 * Measure the compiled engine.
 *
 * @param make makes an engine with nothing in it, of either kind
 * @throws InternalError when the engines differ: there is no figure then
 */
export function measureCompiled(
  make: { readonly compiled: () => CompiledEngine; readonly reference: () => Engine },
  workload: Workload,
  options: MeasureOptions,
): Measured {
  const { progress } = options;
  const want = digestOf(make.reference(), workload, progress);
  const got = digestOf(make.compiled(), workload, progress);
  if (want.digest !== got.digest) {
    const both = `reference ${want.digest}, compiled ${got.digest}`;
    throw new InternalError(`the engines differ on the first ${want.checked} packets: ${both}`);
  }
  const engine = make.compiled();
  let nowNs = START_NS;
  for (const [i, sent] of workload.openings.entries()) {
    nowNs += 1000;
    if (i % TOLD_EVERY === 0) progress?.('opening connections', i, workload.openings.length);
    engine.inject(injectionOf(sent, i + 1, nowNs));
  }
  const batch = toBatch(workload.packets, (place) => engine.entryOf(place));
  const outcomes = new Map<string, number>();
  const samples: Sample[] = [];
  const count = (name: string) => outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
  // One round more than asked for: the first fills the tables.
  for (let round = 0; round <= options.samples; round++) {
    nowNs = stamp(batch, nowNs + options.gapS * 1e9);
    const phase = `sample ${round} of ${options.samples}`;
    let walked = 0;
    const started = options.clock();
    engine.injectBatch(
      batch,
      (i) => injectionOf(workload.packets[i] ?? nobody(), i + 1, batch.times[i] ?? 0),
      (i, journey) => {
        count(`${journey.outcome} walked`);
        if (walked++ % TOLD_EVERY === 0) progress?.(phase, i, batch.lengths.length);
      },
    );
    const ns = Number(options.clock() - started);
    if (round > 0) samples.push({ packets: workload.packets.length, ns });
  }
  for (const number of batch.results) {
    if (number >= 0) count(engine.decision(number)?.outcome ?? 'unknown');
  }
  const { slow, ...others } = engine.statistics();
  const counters = { ...slow, ...others };
  return { samples, ...want, counters, outcomes: Object.fromEntries(outcomes) };
}

/** Measure an engine that takes packets one by one. */
export function measureSingly(
  engine: Engine,
  workload: Workload,
  options: MeasureOptions,
): readonly Sample[] {
  let nowNs = START_NS;
  let frame = 0;
  const send = (sent: Workload['packets'][number]) => {
    nowNs += 1000;
    frame += 1;
    engine.inject(injectionOf(sent, frame, nowNs));
  };
  for (const sent of workload.openings) send(sent);
  const samples: Sample[] = [];
  for (let round = 0; round <= options.samples; round++) {
    nowNs += options.gapS * 1e9;
    const started = options.clock();
    for (const sent of workload.packets) send(sent);
    const ns = Number(options.clock() - started);
    if (round > 0) samples.push({ packets: workload.packets.length, ns });
  }
  return samples;
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
