/**
 * Lanes: packets of conversations in which nothing can happen any more but one more packet that is
 * delivered. They are timed, counted and told from copies in native code, and moved in batches by
 * the compiled engine; everything else is taken in and judged as without lanes, in the same order.
 *
 *   slab ─► native run ─► packets of lanes ─► engine in batches ─► counts (rows where asked for)
 *              │                                    │
 *              └► a packet that no lane expects      └► one that the engine walks, or drops
 *                 Traffic.take, StackRun.handle         Traffic.describe, StackRun.handleMoved
 *
 * A lane is one direction of a captured flow. It opens behind a packet that was delivered with
 * nothing lost on its conversation before (`StackRun.standing`), and closes when that is over. What
 * it leaves out is what then can not change: causes hold, a direction that was delivered stays so,
 * the ends that the packets come to are those that they came to.
 *
 * Of a connection that another worker judges lanes are silent: native code notes that it goes on,
 * and nothing more. They open whatever became of it, and close when its ends end it.
 * @module
 */
import type { PacketRecord } from '../../capture/record.ts';
import { frameAt, recordOf, type Slab } from '../../capture/slab.ts';
import { LaneWord } from '../../engine/compiled/lane-door.ts';
import { MOST_DECISIONS } from '../../engine/compiled/table-sizes.ts';
import type { NativeBatch } from '../../engine/compiled.ts';
import type { StackRun } from '../stack-run.ts';
import type { Captured, Followed } from '../traffic/captured.ts';
import type { Conversation } from '../traffic/conversation.ts';
import type { Traffic, TrafficOptions } from '../traffic/traffic.ts';
import type { LaneWalker } from './columns.ts';
import { LaneBook, type Mover, type OpenLane } from './lane-book.ts';

/** How a decision lets packets end; the others are looked at one by one. */
const Good = { unknown: 0, delivered: 1, exited: 2 } as const;
const NO_IFACE = 0xffffffff;
const OFFLOADED: readonly string[] = ['checksumOffloaded'];
const NO_NOTES: readonly string[] = [];

export interface LanesInput {
  readonly walker: LaneWalker;
  readonly traffic: Traffic;
  readonly runs: readonly StackRun[];
  /** Who moves packets of lanes; null where all lanes are silent. */
  readonly mover: Mover | null;
  readonly options: TrafficOptions;
  readonly wantsRows: boolean;
  /** Takes a record in and judges it, as if there were no lanes. */
  readonly byHand: (record: PacketRecord) => Captured | Followed;
  readonly onFrame?: ((captured: Captured, record: PacketRecord) => void) | undefined;
}

export class Lanes {
  readonly #in: LanesInput & { readonly book: LaneBook };
  readonly #good = new Uint8Array(MOST_DECISIONS);
  readonly #batch: NativeBatch;
  #epoch = 0;
  #frames = 0;
  /** Conversations that are no longer in good standing, of which packets are laid down. */
  readonly #troubled = new Set<Conversation>();

  constructor(input: LanesInput) {
    this.#in = { ...input, book: new LaneBook(input) };
    const { columns } = input.walker;
    this.#batch = {
      packets: columns.packets,
      offsets: columns.offsets,
      lengths: columns.lengths,
      entries: columns.entries,
      times: columns.nows,
      offloaded: columns.offloaded,
      results: new Int32Array(columns.offsets.length),
      out: null,
      stride: 0,
      good: this.#good,
    };
  }

  get #mover(): Mover {
    const { mover } = this.#in;
    if (mover === null) throw new RangeError('packets are moved, and nobody moves them');
    return mover;
  }

  /** Frames that went in lanes. */
  get frames(): number {
    return this.#frames;
  }

  /** Frames of others' connections that were followed in lanes. */
  get followed(): number {
    return this.#in.walker.columns.words[LaneWord.followed] ?? 0;
  }

  /** Take the records of a slab, in order. */
  take(slab: Slab): void {
    const { walker, runs, traffic } = this.#in;
    const { words } = walker.columns;
    const { window, count, interfaces } = slab;
    const linkTypes = Uint32Array.from(interfaces, ({ linkType }) => linkType);
    const ifaces = Uint32Array.from(interfaces, ({ id }) => (id < 0 ? NO_IFACE : id));
    for (let at = 0; at < count; ) {
      const { startNs } = traffic.clock;
      if (startNs === null || runs.some((run) => !run.isSettled)) {
        this.one(recordOf(slab, at++));
        continue;
      }
      walker.native.run(window, at, count, linkTypes, ifaces, startNs);
      const staged = words[LaneWord.staged] ?? 0;
      at = words[LaneWord.stop] ?? count;
      const isFull = words[LaneWord.full] === 1;
      this.#frames += staged;
      if (staged > 0) this.#move(slab, staged);
      if (at < count && !isFull) this.one(recordOf(slab, at++));
    }
  }

  /** The input is over. */
  end(): void {
    this.#in.book.settle();
  }

  /** A conversation is over; said while a record is taken by hand, or after `end`. */
  forget(conversation: Conversation): void {
    this.#in.book.forget(conversation);
  }

  /** Take one record by hand, and learn what lanes follow from it. */
  one(record: PacketRecord): void {
    const { book, byHand } = this.#in;
    book.settle();
    const taken = byHand(record);
    if (taken.kind === 'followed') book.follow(taken, record);
    else book.learn(taken, record);
    book.resume();
  }

  /** The engine's part of the packets that are laid down. */
  #move(slab: Slab, staged: number): void {
    const { book, walker, onFrame } = this.#in;
    const { engine } = this.#mover;
    const { results } = this.#batch;
    this.#troubled.clear();
    if (onFrame !== undefined) this.#show(slab, staged);
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

  /** Numbers of decisions are given out anew now and then. */
  #sameEpoch(): void {
    const { engine } = this.#mover;
    if (engine.epoch === this.#epoch) return;
    this.#epoch = engine.epoch;
    this.#good.fill(Good.unknown);
  }

  /** Whether the decision lets its packets get where they are going, and says nothing else. */
  #isGood(number: number): boolean {
    const journey = number < 0 ? undefined : this.#mover.engine.decision(number);
    if (journey === undefined || journey.reason !== null) return false;
    const { outcome } = journey;
    if (outcome !== 'delivered' && outcome !== 'exited') return false;
    this.#good[number] = Good[outcome];
    return true;
  }

  /** A packet that the engine had to walk, or that it did not let through. */
  #unexpected(slab: Slab, at: number, lane: OpenLane): void {
    const { run, engine } = this.#mover;
    const captured = this.#describe(slab, at, lane);
    const number = this.#batch.results[at] ?? -1;
    const moved = number < 0 ? undefined : engine.decision(number);
    const journey = moved ?? engine.walk(this.#batch, at, run.injectionOf(captured));
    run.handleMoved(captured, journey);
    if (moved === undefined && this.#in.book.isElsewhere(lane, journey)) this.#close(lane);
    else this.#look(lane);
  }

  /** Its hosts forgot the connection and translated it anew: nothing is as it was. */
  #close({ membership: { conversation } }: OpenLane): void {
    this.#in.book.close(conversation);
    this.#troubled.add(conversation);
  }

  /** A packet of a conversation that came out of good standing after it was laid down. */
  #again(slab: Slab, at: number, lane: OpenLane): void {
    this.#mover.run.handle(this.#describe(slab, at, lane));
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

  /** Show every frame before it is judged. */
  #show(slab: Slab, staged: number): void {
    const { walker, book, onFrame } = this.#in;
    const { lane, record } = walker.columns;
    for (let i = 0; i < staged; i++) {
      const captured = this.#describe(slab, i, book.at(lane[i] ?? 0));
      onFrame?.(captured, recordOf(slab, record[i] ?? 0));
    }
  }

  /** Count packets that were moved by good decisions. */
  #count(slab: Slab, from: number, to: number): void {
    const { wantsRows, walker } = this.#in;
    const { run } = this.#mover;
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
    const { walker, book } = this.#in;
    const { run } = this.#mover;
    const { columns } = walker;
    const record = columns.record[i] ?? 0;
    run.rows.movedRow({
      ...book.rowOf(columns.lane[i] ?? 0, this.#batch.results[i] ?? -1),
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
