/**
 * The rows of one run: what became of each frame, in capture order, and the counts of them all.
 * @module
 */
import type { GeneratedPacket, Journey } from '../../engine/engine.ts';
import { headersOf } from '../datagram/headers.ts';
import { FrameQueue, type Pending } from '../frame-queue.ts';
import type { ConnectionResult, DecidedBy, FrameOutcome, FrameResult } from '../result.ts';
import { type RunSummary, Tally, type TallyPart } from '../tally.ts';
import type { Captured } from '../traffic/captured.ts';
import { arrived, decidedBy } from '../verdict.ts';
import type { World } from '../world.ts';
import { type FrameSink, rowWith, type SharedTerms } from './row-terms.ts';

/** Which drops of a connection were counted, so that it counts once in each row of the table. */
export type DropRows = string[];

/** What a dropped packet counts as in the table of drops. */
export interface Drop {
  readonly key: string;
  readonly reason: string;
  readonly decidedBy: DecidedBy | null;
}

/** By who decided: decisions of an engine that remembers are those of thousands of packets. */
const DROPS = new WeakMap<DecidedBy, Drop>();

/** The row of the table of drops for a packet that was dropped so. */
export function dropOf(journey: Journey): Drop {
  const by = decidedBy(journey.decision);
  const reason = journey.reason ?? 'unknown';
  const known = by && DROPS.get(by);
  if (known?.reason === reason) return known;
  const key = [reason, by?.node, by?.hook, by?.rule, ...(by?.policies ?? [])].join(' ');
  const drop = { key, reason, decidedBy: by };
  if (by !== null) DROPS.set(by, drop);
  return drop;
}

/** Whether it is the first of its connection in this row; from now on it is not. */
export function isNewDrop(drops: DropRows, { key }: Drop): boolean {
  if (drops.includes(key)) return false;
  drops.push(key);
  return true;
}

export class Rows {
  readonly #world: World;
  readonly #tally = new Tally();
  readonly #queue: FrameQueue<FrameResult>;
  readonly #alike: FrameSink['alike'];
  readonly #isWanted: boolean;

  /** Rows that nobody looks at and that need not wait are counted and not made. */
  constructor(world: World, sink: FrameSink) {
    this.#world = world;
    this.#queue = new FrameQueue((row) => sink.frame(row));
    this.#alike = sink.alike;
    this.#isWanted = sink.wantsFrames ?? true;
  }

  /** A place in the order for a row that is known later. */
  hold(): Pending<FrameResult> {
    return this.#queue.hold();
  }

  /** The row of a frame that was injected, and of what hosts made because of it. */
  sent(captured: Captured, journey: Journey, drops: DropRows | null, retransmission: boolean) {
    if (this.#isWanted) {
      this.#queue.push(this.ofJourney(captured, journey, drops, retransmission));
    } else {
      this.#countJourney(captured, journey, drops);
      this.#tally.frame(captured, journey);
    }
    if (journey.generated.length + journey.copies.length > 0) this.#generated(captured, journey);
  }

  /** Count `frames` more that went in lanes and ended alike; the first is `frame`. */
  inBulk(
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    frames: number,
    frame: number,
  ): void {
    this.#tally.frames({ outcome, reason }, frames, frame);
  }

  /** Count the notes of such frames. */
  noted(note: string, frames: number, frame: number): void {
    this.#tally.noted(note, frames, frame);
  }

  /** Count drops of such frames, and of their connections those that are new to the row. */
  dropped(drop: Drop, packets: number, connections: number, frame: number): void {
    this.#tally.drop(drop, frame, packets, connections);
  }

  /** The row of a frame that went in a lane and is counted. */
  movedRow(terms: SharedTerms, frame: number, timeNs: bigint, notes: readonly string[]): void {
    if (this.#alike !== undefined && this.#queue.isEmpty) this.#alike(terms, frame, timeNs, notes);
    else this.#queue.push(rowWith(terms, { frame, timeNs, notes }));
  }

  /** The row of an injected frame, counted and not written yet. */
  ofJourney(
    captured: Captured,
    journey: Journey,
    drops: DropRows | null,
    retransmission: boolean,
  ): FrameResult {
    this.#countJourney(captured, journey, drops);
    return this.#count({
      ...frameHead(captured),
      outcome: journey.outcome,
      reason: journey.reason,
      decidedBy: decidedBy(journey.decision),
      out: arrived(journey) ? headersOf(journey.packet) : null,
      retransmission,
      journey,
    });
  }

  #countJourney(captured: Captured, journey: Journey, drops: DropRows | null): void {
    if (journey.outcome === 'dropped') this.countDrop(drops, journey, captured.frame, 1);
    if (journey.reason === 'natPortsExhausted' && captured.datagram !== null) {
      this.#tally.exhaustions.note(captured.datagram, journey, captured);
    }
  }

  /** The row of a frame that was not injected. */
  finish(
    captured: Captured,
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    by: DecidedBy | null = null,
  ): void {
    if (this.#isWanted) {
      this.#queue.push(this.unsent(captured, outcome, reason, by));
      return;
    }
    this.#countUnsent(captured, outcome, reason);
    this.#tally.frame(captured, { outcome, reason });
  }

  /** As `finish`, counted and not written yet. */
  unsent(
    captured: Captured,
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    by: DecidedBy | null = null,
  ): FrameResult {
    this.#countUnsent(captured, outcome, reason);
    return this.#count({
      ...frameHead(captured),
      outcome,
      reason,
      decidedBy: by,
      out: null,
      retransmission: false,
      journey: null,
    });
  }

  #countUnsent({ frame }: Captured, outcome: FrameOutcome, reason: FrameResult['reason']): void {
    if (outcome === 'dropped') this.#tally.dropWithoutJourney(reason ?? 'unknown', frame);
  }

  /** Count a connection's row. */
  connection(row: ConnectionResult): void {
    this.#tally.connection(row);
  }

  /** Count a drop: packets, and the connection when this row does not have it yet. */
  countDrop(drops: DropRows | null, journey: Journey, frame: number, packets: number): void {
    const drop = dropOf(journey);
    const isNew = drops !== null && isNewDrop(drops, drop);
    this.#tally.drop(drop, frame, packets, isNew ? 1 : 0);
  }

  summary(): RunSummary {
    return this.#tally.summary();
  }

  /** The counts as one part of a run whose other parts are judged elsewhere. */
  part(): TallyPart {
    return this.#tally.part();
  }

  #generated(captured: Captured, journey: Journey): void {
    for (const made of journey.generated) {
      this.#tally.generated(made.journey.outcome);
      if (this.#isWanted) this.#queue.push(this.#ofGenerated(captured, made));
      this.#generated(captured, made.journey);
    }
    for (const copy of journey.copies) this.#tally.generated(copy.outcome);
  }

  #ofGenerated(captured: Captured, { kind, journey }: GeneratedPacket): FrameResult {
    return {
      frame: null,
      cause: captured.frame,
      timeNs: captured.timeNs,
      ...this.#world.describePacket(journey.packet),
      outcome: journey.outcome,
      reason: journey.reason,
      decidedBy: decidedBy(journey.decision),
      connection: captured.membership?.conversation.id ?? null,
      out: arrived(journey) ? headersOf(journey.packet) : null,
      retransmission: false,
      notes: [kind],
      journey,
    };
  }

  #count(row: FrameResult): FrameResult {
    this.#tally.frame(row, row);
    return row;
  }
}

function frameHead(captured: Captured) {
  return {
    frame: captured.frame,
    timeNs: captured.timeNs,
    ...captured.endpoints,
    connection: captured.membership?.conversation.id ?? null,
    notes: captured.notes,
  };
}
