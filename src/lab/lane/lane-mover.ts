/**
 * Packets of lanes through one stack: moved in batches by its engine or kept from being sent,
 * counted, and judged one by one where the engine walks them, ends them otherwise than those before
 * them, or their conversation is no longer as it was.
 *
 * Stacks know nothing of each other: each takes a batch to its end before the next begins.
 * @module
 */
import { frameAt, recordOf, type Slab } from '../../capture/slab.ts';
import { assert, unreachable } from '../../diagnostic/diagnostic.ts';
import { LaneWord, Settles } from '../../engine/compiled/lane-door.ts';
import { MOST_DECISIONS } from '../../engine/compiled/table-sizes.ts';
import type { NativeBatch } from '../../engine/compiled.ts';
import type { Journey } from '../../engine/engine.ts';
import type { Segment } from '../causes.ts';
import type { RowTerms, SharedTerms } from '../run/row-terms.ts';
import { type Drop, type DropRows, dropOf } from '../run/rows.ts';
import { isPlainDrop, type Standing } from '../run/standing.ts';
import type { Captured } from '../traffic/captured.ts';
import type { Conversation } from '../traffic/conversation.ts';
import type { Traffic } from '../traffic/traffic.ts';
import type { LaneWalker } from './columns.ts';
import type { LaneBook, Mover, OpenLane } from './lane-book.ts';
import { LaneTally } from './lane-tally.ts';
import type { LaneWay } from './lane-way.ts';
import { segmentAt } from './segment.ts';

/** How a decision lets packets end; the others are looked at one by one. */
const Good = { unknown: 0, ...Settles, dropped: 3 } as const;
const OFFLOADED: readonly string[] = ['checksumOffloaded'];
const NO_NOTES: readonly string[] = [];
/** Packets whose headers are kept as they end, and bytes of each: a way changes no more. */
const HEADS = { packets: 64, bytes: 256 };

export interface LaneMoverInput extends Mover {
  readonly walker: LaneWalker;
  readonly traffic: Traffic;
  readonly book: LaneBook;
  /** The stack's place; native code lays down where packets enter the first. */
  readonly stack: number;
  readonly wantsRows: boolean;
}

/** Packets that the engine moves, and by which decisions it may go on to the next. */
interface Gate {
  readonly batch: NativeBatch;
  readonly good: Uint8Array;
  /** What a decision's packets are here, by how its journey ended. */
  readonly goodOf: (journey: Journey) => number;
}

export class LaneMover {
  readonly #in: LaneMoverInput;
  /** Of packets that are expected to arrive, and of those that are expected to be dropped. */
  readonly #through: Gate;
  readonly #refusing: Gate;
  readonly #results: Int32Array;
  readonly #entries: Uint32Array;
  readonly #tally: LaneTally;
  /** By number of decision. */
  #drops: Drop[] = [];
  #epoch = 0;
  /** Conversations that are no longer in good standing, of which packets are laid down. */
  readonly #troubled = new Set<Conversation>();

  constructor(input: LaneMoverInput) {
    this.#in = input;
    const { columns } = input.walker;
    const places = columns.offsets.length;
    this.#entries = input.stack === 0 ? columns.entries : new Uint32Array(places);
    this.#results = new Int32Array(places);
    this.#tally = new LaneTally(input.run.rows);
    this.#through = this.#gate(arrivalOf, null);
    const heads = new Uint8Array(HEADS.packets * HEADS.bytes);
    this.#refusing = this.#gate(dropOrNot, heads);
  }

  #gate(goodOf: Gate['goodOf'], out: Uint8Array | null): Gate {
    const { columns } = this.#in.walker;
    const good = new Uint8Array(MOST_DECISIONS);
    const batch: NativeBatch = {
      packets: columns.packets,
      offsets: columns.offsets,
      lengths: columns.lengths,
      entries: this.#entries,
      times: columns.nows,
      offloaded: columns.offloaded,
      results: this.#results,
      out,
      stride: out === null ? 0 : HEADS.bytes,
      good,
    };
    return { batch, good, goodOf };
  }

  /** Let native code settle packets of lanes: nobody asks for more of them than counts. */
  serve(): void {
    this.#in.engine.serve(this.#in.walker.native, this.#through.good);
  }

  /** Native code is about to ask which decisions are good. */
  prepare(): void {
    this.#sameEpoch();
  }

  /** Count the packets that the last run settled, before those it laid down; how many. */
  settled(slab: Slab): number {
    const { words } = this.#in.walker.columns;
    const few = (count: number, first: number): Few => ({
      count: words[count] ?? 0,
      first: words[first] ?? 0,
    });
    const delivered = few(LaneWord.delivered, LaneWord.firstDelivered);
    const exited = few(LaneWord.exited, LaneWord.firstExited);
    if (delivered.count + exited.count === 0) return 0;
    const offloaded = few(LaneWord.offloaded, LaneWord.firstOffloaded);
    this.#tellArrived(delivered, exited, offloaded, (record) => frameAt(slab, record));
    return delivered.count + exited.count;
  }

  /** Take the packets that are laid down. */
  move(slab: Slab, staged: number): void {
    this.#troubled.clear();
    this.#enter(staged);
    for (let at = 0; at < staged; ) {
      const lane = this.#laneAt(at);
      if (this.#troubled.has(lane.membership.conversation)) this.#again(slab, at++, lane);
      else at = this.#take(slab, at, staged, lane);
    }
    this.#tally.settle();
  }

  /** Take packets that go the way of the one at `at`; the next that was not taken. */
  #take(slab: Slab, at: number, staged: number, lane: OpenLane): number {
    const { standing } = this.#wayOf(lane);
    switch (standing.as) {
      case 'moved':
        return this.#pass(this.#through, slab, at, this.#alike(standing.as, at, staged));
      case 'refused':
        return this.#pass(this.#refusing, slab, at, this.#alike(standing.as, at, staged));
      case 'unsent':
        this.#keep(slab, at, this.#wayOf(lane).unsent());
        return at + 1;
      case 'judged':
        return this.#judge(slab, at, staged, lane);
      default:
        return unreachable(standing);
    }
  }

  /** Let the engine move packets, up to one that it does not end as expected. */
  #pass(gate: Gate, slab: Slab, from: number, until: number): number {
    this.#sameEpoch();
    const end = this.#in.engine.run(gate.batch, from, until);
    this.#count(gate, slab, from, end);
    if (end === until) return end;
    if (this.#isGood(gate, this.#results[end] ?? -1)) this.#count(gate, slab, end, end + 1);
    else this.#unexpected(slab, end, this.#laneAt(end));
    return end + 1;
  }

  /**
   * Segments of flows that are not whole, from this one on: what becomes of each is known of it
   * alone. Those that acknowledge nothing and are sent one behind the other go together: that one
   * is refused does not keep the next of its flow from being sent.
   */
  #judge(slab: Slab, at: number, staged: number, lane: OpenLane): number {
    const { standing } = this.#wayOf(lane);
    if (standing.as !== 'judged') throw new RangeError('it is a segment to be judged');
    const { causes, direction, isSent } = standing;
    const segment = this.#segmentAt(at);
    const verdict = causes.judgeTcp(direction, segment);
    if (verdict !== 'send') {
      causes.settleTcp(direction, segment, false);
      this.#keep(slab, at, this.#wayOf(lane).unsent(verdict));
      return at + 1;
    }
    if (isSent) return this.#pass(this.#refusing, slab, at, this.#sentFrom(at, staged));
    // Where it enters is not known to the lane; of the next one it will be.
    this.#again(slab, at, lane);
    this.#close(lane);
    return at + 1;
  }

  /** The first packet behind `at` of which it is not clear that it will be sent. */
  #sentFrom(at: number, staged: number): number {
    const end = this.#alike('judged', at, staged);
    for (let i = at + 1; i < end; i++) {
      const { standing } = this.#wayOf(this.#laneAt(i));
      if (standing.as !== 'judged' || !standing.isSent) return i;
      const segment = this.#segmentAt(i);
      const { causes, direction } = standing;
      if (segment.hasAck || causes.judgeTcp(direction, segment) !== 'send') return i;
    }
    return end;
  }

  #segmentAt(at: number): Segment {
    const { packets, offsets, lengths } = this.#in.walker.columns;
    return segmentAt(packets, offsets[at] ?? 0, lengths[at] ?? 0);
  }

  #laneAt(at: number): OpenLane {
    return this.#in.book.at(this.#in.walker.columns.lane[at] ?? 0);
  }

  #wayOf({ ways }: OpenLane): LaneWay {
    const way = ways[this.#in.stack];
    assert(way !== undefined, 'a lane has a way through each stack');
    return way;
  }

  /** Where packets enter this stack. */
  #enter(staged: number): void {
    if (this.#in.stack === 0) return;
    for (let i = 0; i < staged; i++) this.#entries[i] = this.#wayOf(this.#laneAt(i)).entry;
  }

  /** Numbers of decisions are given out anew now and then. */
  #sameEpoch(): void {
    const { engine } = this.#in;
    if (engine.epoch === this.#epoch) return;
    this.#epoch = engine.epoch;
    this.#through.good.fill(Good.unknown);
    this.#refusing.good.fill(Good.unknown);
    this.#drops = [];
  }

  /** Whether the decision ends its packets as is expected, and says nothing else. */
  #isGood({ good, goodOf }: Gate, number: number): boolean {
    const journey = number < 0 ? undefined : this.#in.engine.decision(number);
    if (journey === undefined) return false;
    const found = goodOf(journey);
    if (found === Good.dropped) this.#drops[number] ??= dropOf(journey);
    good[number] = found;
    return found !== Good.unknown;
  }

  /** A packet that the engine had to walk, or that it did not let through. */
  #unexpected(slab: Slab, at: number, lane: OpenLane): void {
    const { run, engine } = this.#in;
    const captured = this.#describe(slab, at, lane);
    const moved = this.#movedAt(at, lane);
    const journey = moved ?? engine.walk(this.#through.batch, at, run.injectionOf(captured));
    run.handleMoved(captured, journey);
    if (this.#isOther(lane, journey, moved === undefined)) this.#close(lane);
    else this.#look(lane);
  }

  /** What became of a packet that the engine moved; of one that arrives, with its own bytes. */
  #movedAt(at: number, lane: OpenLane): Journey | undefined {
    const { engine } = this.#in;
    const number = this.#results[at] ?? -1;
    if (number < 0) return undefined;
    if (this.#wayOf(lane).standing.as === 'moved') return engine.decision(number);
    return engine.journeyAt(this.#refusing.batch, at);
  }

  /** Whether packets behind one that ended so are to be looked at anew. */
  #isOther(lane: OpenLane, journey: Journey, wasWalked: boolean): boolean {
    const way = this.#wayOf(lane);
    if (way.standing.as !== 'moved') return !isPlainDrop(journey) || journey.generated.length > 0;
    return wasWalked && way.isElsewhere(journey);
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

  /** The first packet behind `at` that goes another way, or of a troubled conversation. */
  #alike(as: Standing['as'], at: number, staged: number): number {
    const { book } = this.#in;
    const isWhole = this.#troubled.size === 0;
    if (isWhole && as === 'moved' && book.areAllMoved) return staged;
    for (let i = at + 1; i < staged; i++) {
      const lane = this.#laneAt(i);
      if (this.#wayOf(lane).standing.as !== as) return i;
      if (!isWhole && this.#troubled.has(lane.membership.conversation)) return i;
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

  /** Count packets that good decisions moved. */
  #count(gate: Gate, slab: Slab, from: number, to: number): void {
    if (gate === this.#through) {
      this.#arrived(slab, from, to);
      return;
    }
    for (let i = from; i < to; i++) this.#refused(slab, i);
  }

  /** A packet that a good decision dropped, and what that says of its flow. */
  #refused(slab: Slab, at: number): void {
    const way = this.#wayOf(this.#laneAt(at));
    const { standing } = way;
    if (standing.as === 'refused') this.#drop(slab, at, way, standing.drops);
    if (standing.as !== 'judged') return;
    const { causes, direction, drops } = standing;
    const segment = this.#segmentAt(at);
    const isAgain = causes.isRetransmission(direction, segment);
    causes.settleTcp(direction, segment, false);
    this.#drop(slab, at, way, drops, isAgain);
  }

  #arrived(slab: Slab, from: number, to: number): void {
    const { wantsRows, walker, book, stack } = this.#in;
    const { record, offloaded, lane } = walker.columns;
    const { good } = this.#through;
    const delivered: Few = { count: 0, first: 0 };
    const exited: Few = { count: 0, first: 0 };
    const noted: Few = { count: 0, first: 0 };
    for (let i = from; i < to; i++) {
      const result = this.#results[i] ?? -1;
      addTo(good[result] === Good.exited ? exited : delivered, i);
      if (offloaded[i] === 1) addTo(noted, i);
      if (wantsRows) this.#row(slab, i, book.rowOf(lane[i] ?? 0, result, stack));
    }
    this.#tellArrived(delivered, exited, noted, (place) => frameAt(slab, record[place] ?? 0));
  }

  /** Count packets that arrived, each time with the frame of the first. */
  #tellArrived(delivered: Few, exited: Few, offloaded: Few, frameOf: (first: number) => number) {
    const { rows } = this.#in.run;
    rows.inBulk('delivered', null, delivered.count, frameOf(delivered.first));
    rows.inBulk('exited', null, exited.count, frameOf(exited.first));
    rows.noted('checksumOffloaded', offloaded.count, frameOf(offloaded.first));
  }

  #drop(slab: Slab, at: number, way: LaneWay, drops: DropRows, isAgain = false): void {
    const number = this.#results[at] ?? -1;
    const drop = this.#drops[number];
    assert(drop !== undefined, 'what good decisions drop is known');
    const frame = this.#ended(slab, at, 'dropped', null);
    this.#tally.dropped(drop, way.isNewDrop(drop, drops), frame);
    if (this.#in.wantsRows) this.#row(slab, at, way.moved(number, this.#in.engine, isAgain));
  }

  /** A packet that is not sent. */
  #keep(slab: Slab, at: number, row: SharedTerms): void {
    this.#ended(slab, at, row.outcome, row.reason);
    if (this.#in.wantsRows) this.#row(slab, at, row);
  }

  #ended(slab: Slab, at: number, outcome: RowTerms['outcome'], reason: RowTerms['reason']): number {
    const { record, offloaded } = this.#in.walker.columns;
    const frame = frameAt(slab, record[at] ?? 0);
    this.#tally.ended(outcome, reason, frame);
    if (offloaded[at] === 1) this.#tally.noted('checksumOffloaded', frame);
    return frame;
  }

  #row(slab: Slab, i: number, row: SharedTerms): void {
    const { columns } = this.#in.walker;
    const record = columns.record[i] ?? 0;
    const notes = columns.offloaded[i] === 1 ? OFFLOADED : NO_NOTES;
    const timeNs = columns.times[record] ?? 0n;
    this.#in.run.rows.movedRow(row, frameAt(slab, record), timeNs, notes);
  }
}

function arrivalOf({ outcome, reason }: Journey): number {
  if (reason !== null) return Good.unknown;
  if (outcome === 'delivered') return Good.delivered;
  return outcome === 'exited' ? Good.exited : Good.unknown;
}

function dropOrNot(journey: Journey): number {
  return isPlainDrop(journey) ? Good.dropped : Good.unknown;
}

interface Few {
  count: number;
  first: number;
}

function addTo(few: Few, place: number): void {
  if (few.count++ === 0) few.first = place;
}
