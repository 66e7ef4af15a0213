/**
 * Counts of packets of lanes that did not arrive, added up until the batch is over.
 * @module
 */
import type { FrameOutcome, FrameResult } from '../result.ts';
import type { Drop, Rows } from '../run/rows.ts';

/** Of one row of the table of drops. */
interface Dropped {
  readonly drop: Drop;
  packets: number;
  connections: number;
  firstFrame: number;
}

/** Of frames that ended alike. */
interface Ended {
  readonly outcome: FrameOutcome;
  readonly reason: FrameResult['reason'];
  count: number;
  firstFrame: number;
}

export class LaneTally {
  readonly #rows: Pick<Rows, 'inBulk' | 'noted' | 'dropped'>;
  readonly #drops = new Map<Drop, Dropped>();
  readonly #ends: Ended[] = [];
  readonly #noted = new Map<string, { count: number; firstFrame: number }>();

  constructor(rows: Pick<Rows, 'inBulk' | 'noted' | 'dropped'>) {
    this.#rows = rows;
  }

  /** A frame, in the order of frames. */
  ended(outcome: FrameOutcome, reason: FrameResult['reason'], frame: number): void {
    for (const end of this.#ends) {
      if (end.outcome !== outcome || end.reason !== reason) continue;
      if (end.count++ === 0) end.firstFrame = frame;
      return;
    }
    this.#ends.push({ outcome, reason, count: 1, firstFrame: frame });
  }

  noted(note: string, frame: number): void {
    const known = this.#noted.get(note);
    if (known === undefined) this.#noted.set(note, { count: 1, firstFrame: frame });
    else if (known.count++ === 0) known.firstFrame = frame;
  }

  /** What a frame is that was dropped; `isNew`: the first of its connection in that row. */
  dropped(drop: Drop, isNew: boolean, frame: number): void {
    let known = this.#drops.get(drop);
    if (known === undefined) {
      known = { drop, packets: 0, connections: 0, firstFrame: frame };
      this.#drops.set(drop, known);
    }
    known.packets += 1;
    if (isNew) known.connections += 1;
  }

  /** Hand over what was counted. */
  settle(): void {
    for (const end of this.#ends) {
      this.#rows.inBulk(end.outcome, end.reason, end.count, end.firstFrame);
      end.count = 0;
    }
    for (const [note, known] of this.#noted) {
      this.#rows.noted(note, known.count, known.firstFrame);
      known.count = 0;
    }
    for (const { drop, packets, connections, firstFrame } of this.#drops.values()) {
      this.#rows.dropped(drop, packets, connections, firstFrame);
    }
    this.#drops.clear();
  }
}
