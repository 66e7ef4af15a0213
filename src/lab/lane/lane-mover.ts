/**
 * Packets of lanes through one stack: moved in batches by its engine, counted, and judged one by
 * one where the engine walks them, drops them, or their conversation is no longer as it was.
 *
 * Stacks know nothing of each other: each takes a batch to its end before the next begins.
 * @module
 */
import { frameAt, recordOf, type Slab } from '../../capture/slab.ts';
import { MOST_DECISIONS } from '../../engine/compiled/table-sizes.ts';
import type { NativeBatch } from '../../engine/compiled.ts';
import type { Captured } from '../traffic/captured.ts';
import type { Conversation } from '../traffic/conversation.ts';
import type { Traffic } from '../traffic/traffic.ts';
import type { LaneWalker } from './columns.ts';
import { isElsewhere, type LaneBook, type Mover, type OpenLane } from './lane-book.ts';

/** How a decision lets packets end; the others are looked at one by one. */
const Good = { unknown: 0, delivered: 1, exited: 2 } as const;
const OFFLOADED: readonly string[] = ['checksumOffloaded'];
const NO_NOTES: readonly string[] = [];

export interface LaneMoverInput extends Mover {
  readonly walker: LaneWalker;
  readonly traffic: Traffic;
  readonly book: LaneBook;
  /** The stack's place; native code lays down where packets enter the first. */
  readonly stack: number;
  readonly wantsRows: boolean;
}

export class LaneMover {
  readonly #in: LaneMoverInput;
  readonly #good = new Uint8Array(MOST_DECISIONS);
  readonly #batch: NativeBatch;
  #epoch = 0;
  /** Conversations that are no longer in good standing, of which packets are laid down. */
  readonly #troubled = new Set<Conversation>();

  constructor(input: LaneMoverInput) {
    this.#in = input;
    const { columns } = input.walker;
    this.#batch = {
      packets: columns.packets,
      offsets: columns.offsets,
      lengths: columns.lengths,
      entries: input.stack === 0 ? columns.entries : new Uint32Array(columns.entries.length),
      times: columns.nows,
      offloaded: columns.offloaded,
      results: new Int32Array(columns.offsets.length),
      out: null,
      stride: 0,
      good: this.#good,
    };
  }

  /** Take the packets that are laid down. */
  move(slab: Slab, staged: number): void {
    const { book, walker, engine } = this.#in;
    const { results } = this.#batch;
    this.#troubled.clear();
    this.#enter(staged);
    let until = staged;
    for (let at = 0; at < staged; ) {
      this.#sameEpoch();
      const end = engine.run(this.#batch, at, until);
      this.#count(slab, at, end);
      if (end === staged) return;
      const lane = book.at(walker.columns.lane[end] ?? 0);
      if (end === until) this.#again(slab, end, lane);
      else if (this.#isGood(results[end] ?? -1)) this.#count(slab, end, end + 1);
      else this.#unexpected(slab, end, lane);
      at = end + 1;
      until = this.#nextTroubled(at, staged);
    }
  }

  /** Where packets enter this stack. */
  #enter(staged: number): void {
    const { stack, book, walker } = this.#in;
    if (stack === 0) return;
    const { lane } = walker.columns;
    const { entries } = this.#batch;
    for (let i = 0; i < staged; i++) {
      entries[i] = book.at(lane[i] ?? 0).ways[stack]?.entry ?? 0;
    }
  }

  /** Numbers of decisions are given out anew now and then. */
  #sameEpoch(): void {
    const { engine } = this.#in;
    if (engine.epoch === this.#epoch) return;
    this.#epoch = engine.epoch;
    this.#good.fill(Good.unknown);
  }

  /** Whether the decision lets its packets get where they are going, and says nothing else. */
  #isGood(number: number): boolean {
    const journey = number < 0 ? undefined : this.#in.engine.decision(number);
    if (journey === undefined || journey.reason !== null) return false;
    const { outcome } = journey;
    if (outcome !== 'delivered' && outcome !== 'exited') return false;
    this.#good[number] = Good[outcome];
    return true;
  }

  /** A packet that the engine had to walk, or that it did not let through. */
  #unexpected(slab: Slab, at: number, lane: OpenLane): void {
    const { run, engine, stack } = this.#in;
    const captured = this.#describe(slab, at, lane);
    const number = this.#batch.results[at] ?? -1;
    const moved = number < 0 ? undefined : engine.decision(number);
    const journey = moved ?? engine.walk(this.#batch, at, run.injectionOf(captured));
    run.handleMoved(captured, journey);
    const way = lane.ways[stack];
    if (moved === undefined && way && isElsewhere(way, journey)) this.#close(lane);
    else this.#look(lane);
  }

  /** Its hosts forgot the connection and translated it anew: nothing is as it was. */
  #close({ membership: { conversation } }: OpenLane): void {
    this.#in.book.close(conversation);
    this.#troubled.add(conversation);
  }

  /** A packet of a conversation that came out of good standing after it was laid down. */
  #again(slab: Slab, at: number, lane: OpenLane): void {
    this.#in.run.handle(this.#describe(slab, at, lane));
    this.#look(lane);
  }

  /** Whether the lane's conversation is as it was. */
  #look({ membership }: OpenLane): void {
    const { conversation } = membership;
    if (!this.#in.book.review(conversation)) this.#troubled.add(conversation);
  }

  /** The next packet from `at` on that is of a troubled conversation. */
  #nextTroubled(at: number, staged: number): number {
    if (this.#troubled.size === 0) return staged;
    const { lane } = this.#in.walker.columns;
    for (let i = at; i < staged; i++) {
      const { conversation } = this.#in.book.at(lane[i] ?? 0).membership;
      if (this.#troubled.has(conversation)) return i;
    }
    return staged;
  }

  #describe(slab: Slab, at: number, { membership }: OpenLane): Captured {
    const { walker, traffic } = this.#in;
    const { record, nows } = walker.columns;
    const captured = traffic.describe(recordOf(slab, record[at] ?? 0), nows[at] ?? 0, membership);
    if (captured === null) throw new RangeError('a packet of a lane is whole');
    return captured;
  }

  /** Count packets that were moved by good decisions. */
  #count(slab: Slab, from: number, to: number): void {
    const { wantsRows, walker, run } = this.#in;
    const { record, offloaded } = walker.columns;
    const { results } = this.#batch;
    const delivered: Few = { count: 0, first: 0 };
    const exited: Few = { count: 0, first: 0 };
    const noted: Few = { count: 0, first: 0 };
    for (let i = from; i < to; i++) {
      addTo(this.#good[results[i] ?? 0] === Good.exited ? exited : delivered, i);
      if (offloaded[i] === 1) addTo(noted, i);
      if (wantsRows) this.#row(slab, i);
    }
    const frameOf = ({ first }: Few) => frameAt(slab, record[first] ?? 0);
    const { rows } = run;
    rows.moved('delivered', delivered.count, frameOf(delivered));
    rows.moved('exited', exited.count, frameOf(exited));
    rows.noted('checksumOffloaded', noted.count, frameOf(noted));
  }

  #row(slab: Slab, i: number): void {
    const { walker, book, run, stack } = this.#in;
    const { columns } = walker;
    const record = columns.record[i] ?? 0;
    run.rows.movedRow({
      ...book.rowOf(columns.lane[i] ?? 0, this.#batch.results[i] ?? -1, stack),
      frame: frameAt(slab, record),
      timeNs: columns.times[record] ?? 0n,
      notes: columns.offloaded[i] === 1 ? OFFLOADED : NO_NOTES,
    });
  }
}

interface Few {
  count: number;
  first: number;
}

function addTo(few: Few, place: number): void {
  if (few.count++ === 0) few.first = place;
}
