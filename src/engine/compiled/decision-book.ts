/**
 * What JavaScript keeps of each decision of the compiled engine: the journey that packets take by
 * it, and what every rule on the way counts.
 * @module
 */
import type { Host } from '../../node/host.ts';
import type { Journey } from '../engine.ts';
import type { NativeEngine } from './native-door.ts';
import { endsOf } from './outcome-of.ts';
import type { Counted } from './recording.ts';

interface Page {
  /** As the first packet had it; `packet` and `frame` are those of each packet. */
  readonly journey: Journey;
  readonly counted: readonly Counted[];
}

export class DecisionBook {
  readonly #native: NativeEngine;
  readonly #words: Float64Array;
  readonly #byHost = new Map<Host, number[]>();
  #pages: Page[] = [];

  constructor(native: NativeEngine, words: Float64Array) {
    this.#native = native;
    this.#words = words;
  }

  get size(): number {
    return this.#pages.length;
  }

  /** The decision that the words describe, made known for the packet last not moved. */
  enter(page: Page, hosts: readonly Host[]): void {
    // Clearing takes counts, which cross in the first words only; a decision's are behind them.
    let number = this.#native.decide();
    if (number < 0) {
      this.clear();
      number = this.#native.decide();
    }
    if (number !== this.#pages.length) return;
    this.#pages.push(page);
    for (const host of hosts) {
      const known = this.#byHost.get(host);
      if (known === undefined) this.#byHost.set(host, [number]);
      else known.push(number);
    }
  }

  /** The journey of a packet that followed a decision, and ended as `out` has it. */
  journeyOf(number: number, out: Uint8Array, length: number): Journey {
    const page = this.#pages[number];
    if (page === undefined) throw new RangeError(`no decision ${number}`);
    const { journey } = page;
    const leaves = journey.outcome === 'exited';
    const frame = leaves ? out.slice(0, LINK_HEADER + length) : null;
    const packet = frame?.slice(LINK_HEADER) ?? out.slice(0, length);
    const ends = endsOf(packet);
    const crossings = journey.crossings.map(({ host }) => ({ host, ends }));
    return { ...journey, packet, frame, crossings };
  }

  /** The journey as its first packet had it: for whoever asks for more than bytes. */
  page(number: number): Page | undefined {
    return this.#pages[number];
  }

  /** A host has learned something: what led through it is to be found anew. */
  kill(host: Host): void {
    for (const number of this.#byHost.get(host) ?? []) this.#native.kill(number);
    this.#byHost.delete(host);
  }

  /** Put what packets counted since the last time into the hosts' counters. */
  settle(): void {
    for (const [number, { counted }] of this.#pages.entries()) {
      if (this.#native.takeCounts(number) === 0) continue;
      const [packets = 0, bytes = 0] = this.#words;
      for (const { host, rule, chain } of counted) {
        if (rule !== null) host.counters.addMany(rule, packets, bytes);
        else if (chain !== null) host.counters.addPolicyMany(chain, packets, bytes);
      }
    }
  }

  /** Forget every decision. */
  clear(): void {
    this.settle();
    this.#native.clearDecisions();
    this.#pages = [];
    this.#byHost.clear();
  }
}

const LINK_HEADER = 14;
