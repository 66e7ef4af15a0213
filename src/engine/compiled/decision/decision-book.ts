/**
 * What JavaScript keeps of each decision of the compiled engine: the journey that packets take by
 * it, and what every rule on the way counts.
 * @module
 */
import { InternalError } from '../../../diagnostic/diagnostic.ts';
import type { Host } from '../../../node/host.ts';
import type { PacketEnds } from '../../../packet/ends.ts';
import { sharedCopy } from '../../../wire/shared-copy.ts';
import type { Journey } from '../../engine.ts';
import { tupleEnds, wayOf } from '../connection/connection-names.ts';
import { readNames } from '../connection/connection-words.ts';
import type { NativeEngine } from '../native-door.ts';
import { endsOf } from './outcome-of.ts';
import type { Counted } from './recording.ts';

export interface Page {
  /** As the first packet had it; `packet` and `frame` are those of each packet. */
  readonly journey: Journey;
  readonly counted: readonly Counted[];
  /** Of packets of a translated connection; null for all others. */
  readonly turns: Turns | null;
}

/** Which of its connection's tuples a packet left hosts with. */
export interface Turns {
  readonly isReply: boolean;
  /** Of each crossing, as the packet met them: 0 is the one that it came with. */
  readonly at: readonly number[];
  /** The one that it ends with. */
  readonly last: number;
}

export class DecisionBook {
  readonly #native: NativeEngine;
  readonly #words: Float64Array;
  readonly #byHost = new Map<Host, number[]>();
  #pages: Page[] = [];
  #epoch = 0;

  constructor(native: NativeEngine, words: Float64Array) {
    this.#native = native;
    this.#words = words;
  }

  /** Rises when all is forgotten, and numbers begin anew. */
  get epoch(): number {
    return this.#epoch;
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
    this.#keep(number, page, hosts);
  }

  /** The same of one that no key leads to; its number, -1 when there is no room. */
  enterSpecial(page: Page, hosts: readonly Host[]): number {
    const number = this.#native.decideSpecial();
    this.#keep(number, page, hosts);
    return number;
  }

  /** The one that its key leads to, new or known; -1 when there is no room. */
  enterFirst(page: Page, hosts: readonly Host[]): number {
    const number = this.#native.decide();
    this.#keep(number, page, hosts);
    return number;
  }

  #keep(number: number, page: Page, hosts: readonly Host[]): void {
    if (number !== this.#pages.length) return;
    this.#pages.push(page);
    this.watch(number, hosts);
  }

  /** A decision ends with what any of these hosts learns, too. */
  watch(number: number, hosts: readonly Host[]): void {
    for (const host of hosts) {
      const known = this.#byHost.get(host);
      if (known === undefined) this.#byHost.set(host, [number]);
      else known.push(number);
    }
  }

  /**
   * The journey of the packet that was moved last: it followed a decision, came as `came` and ended
   * as `out` has it.
   */
  journeyOf(number: number, out: Uint8Array, came: Uint8Array): Journey {
    const page = this.#pages[number];
    if (page === undefined) throw new RangeError(`no decision ${number}`);
    const { journey, turns } = page;
    const { length } = came;
    const leaves = journey.outcome === 'exited';
    const frame = leaves ? sharedCopy(out, 0, LINK_HEADER + length) : null;
    const packet = frame?.subarray(LINK_HEADER) ?? sharedCopy(out, 0, length);
    const ends = endsOf(packet);
    const way = turns === null ? [] : this.#endsOnWay(turns, endsOf(came), ends);
    const crossings = journey.crossings.map(({ host }, i) => ({
      host,
      ends: way[turns?.at[i] ?? 0] ?? ends,
    }));
    return journeyWith(journey, packet, frame, crossings);
  }

  /** The ends that the packet moved last had, one after the other. */
  #endsOnWay(turns: Turns, first: PacketEnds, last: PacketEnds): readonly PacketEnds[] {
    const isBetween = turns.at.some((at) => at !== 0 && at !== turns.last);
    if (!isBetween) return Array.from({ length: turns.last + 1 }, (_, i) => (i ? last : first));
    const isHeld = this.#native.namesOfLast();
    const way = isHeld ? wayOf(readNames(this.#words), turns.isReply) : null;
    if (way === null) throw new InternalError('the connection of a packet that was moved is held');
    return way.map(tupleEnds);
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
      for (const { host, rule, run, chain, nft } of counted) {
        if (rule !== null) host.counters.addMany(rule, packets, bytes);
        else if (run !== null) host.counters.addRunMany(run, packets, bytes);
        else if (chain !== null) host.counters.addPolicyMany(chain, packets, bytes);
        else if (nft !== null) host.counters.nft?.addMany(nft, packets, bytes);
      }
    }
  }

  /** Forget every decision. */
  clear(): void {
    this.settle();
    this.#native.clearDecisions();
    this.#epoch += 1;
    this.#pages = [];
    this.#byHost.clear();
  }
}

const LINK_HEADER = 14;

/** Field by field: a spread of which fields are replaced is slow. */
function journeyWith(
  like: Journey,
  packet: Uint8Array,
  frame: Uint8Array | null,
  crossings: Journey['crossings'],
): Journey {
  const { outcome, reason, decision, heldForReassembly, end, draws } = like;
  const { steps, generated, copies, forgiven, hosts } = like;
  const journey = {
    outcome,
    reason,
    decision,
    heldForReassembly,
    end,
    packet,
    frame,
    steps,
    generated,
    copies,
    forgiven,
    hosts,
    crossings,
  };
  return draws === undefined ? journey : { ...journey, draws };
}
