/**
 * The rows of one run: what became of each frame, in capture order, and the counts of them all.
 * @module
 */
import type { Journey } from '../../engine/engine.ts';
import { headersOf } from '../datagram/headers.ts';
import { FrameQueue, type Pending } from '../frame-queue.ts';
import type { ConnectionResult, DecidedBy, FrameOutcome, FrameResult } from '../result.ts';
import { type RunSummary, Tally, type TallyPart } from '../tally.ts';
import type { Captured } from '../traffic/captured.ts';
import { arrived, decidedBy } from '../verdict.ts';
import type { World } from '../world.ts';

/** Which drops of a connection were counted, so that it counts once in each row of the table. */
export type DropRows = Set<string>;

/** What a dropped packet counts as in the table of drops. */
export interface Drop {
  readonly key: string;
  readonly reason: string;
  readonly decidedBy: DecidedBy | null;
}

/** The row of the table of drops for a packet that was dropped so. */
export function dropOf(journey: Journey): Drop {
  const by = decidedBy(journey.decision);
  const reason = journey.reason ?? 'unknown';
  const key = [reason, by?.node, by?.hook, by?.rule, ...(by?.policies ?? [])].join(' ');
  return { key, reason, decidedBy: by };
}

/** Whether it is the first of its connection in this row; from now on it is not. */
export function isNewDrop(drops: DropRows, { key }: Drop): boolean {
  if (drops.has(key)) return false;
  drops.add(key);
  return true;
}

export class Rows {
  readonly #world: World;
  readonly #tally = new Tally();
  readonly #queue: FrameQueue<FrameResult>;

  constructor(world: World, emit: (row: FrameResult) => void) {
    this.#world = world;
    this.#queue = new FrameQueue(emit);
  }

  /** A place in the order for a row that is known later. */
  hold(): Pending<FrameResult> {
    return this.#queue.hold();
  }

  /** The row of a frame that was injected, and of what hosts made because of it. */
  sent(captured: Captured, journey: Journey, drops: DropRows | null, retransmission: boolean) {
    this.#queue.push(this.ofJourney(captured, journey, drops, retransmission));
    this.#generated(captured, journey);
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
    this.#tally.drop(drop.key, { ...drop, frame }, packets, connections);
  }

  /** The row of a frame that went in a lane and is counted. */
  movedRow(row: FrameResult): void {
    this.#queue.push(row);
  }

  /** The row of an injected frame, counted and not written yet. */
  ofJourney(
    captured: Captured,
    journey: Journey,
    drops: DropRows | null,
    retransmission: boolean,
  ): FrameResult {
    if (journey.outcome === 'dropped') this.countDrop(drops, journey, captured.frame, 1);
    if (journey.reason === 'natPortsExhausted' && captured.datagram !== null) {
      this.#tally.exhaustions.note(captured.datagram, journey, captured);
    }
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

  /** The row of a frame that was not injected. */
  finish(
    captured: Captured,
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    by: DecidedBy | null = null,
  ): void {
    this.#queue.push(this.unsent(captured, outcome, reason, by));
  }

  /** As `finish`, counted and not written yet. */
  unsent(
    captured: Captured,
    outcome: FrameOutcome,
    reason: FrameResult['reason'],
    by: DecidedBy | null = null,
  ): FrameResult {
    if (outcome === 'dropped') {
      this.#tally.dropWithoutJourney(reason ?? 'unknown', captured.frame);
    }
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

  /** Count a connection's row. */
  connection(row: ConnectionResult): void {
    this.#tally.connection(row);
  }

  /** Count a drop: packets, and the connection when this row does not have it yet. */
  countDrop(drops: DropRows | null, journey: Journey, frame: number, packets: number): void {
    const drop = dropOf(journey);
    const isNew = drops !== null && isNewDrop(drops, drop);
    this.#tally.drop(drop.key, { ...drop, frame }, packets, isNew ? 1 : 0);
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
      this.#queue.push({
        frame: null,
        cause: captured.frame,
        timeNs: captured.timeNs,
        ...this.#world.describePacket(made.journey.packet),
        outcome: made.journey.outcome,
        reason: made.journey.reason,
        decidedBy: decidedBy(made.journey.decision),
        connection: captured.membership?.conversation.id ?? null,
        out: arrived(made.journey) ? headersOf(made.journey.packet) : null,
        retransmission: false,
        notes: [made.kind],
        journey: made.journey,
      });
      this.#generated(captured, made.journey);
    }
    for (const copy of journey.copies) this.#tally.generated(copy.outcome);
  }

  #count(row: FrameResult): FrameResult {
    this.#tally.frame(row);
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
