/**
 * The counts of a run: the balance of outcomes, connections by verdict, and the drop table.
 * @module
 */
import type { Outcome } from '../engine/engine.ts';
import {
  type ConnectionResult,
  type DecidedBy,
  type DropRow,
  FRAME_OUTCOMES,
  type FrameResult,
  type ReplayCounts,
} from './result.ts';
import { Counts, type CountsPart, compareFirst, takeEarlier } from './run/counts.ts';
import { type Exhaustion, type ExhaustionPart, Exhaustions } from './run/exhaustion.ts';

export interface RunSummary {
  readonly counts: ReplayCounts;
  /** Most packets first. */
  readonly drops: readonly DropRow[];
  /** Where public ports ran out, the earliest first. */
  readonly exhausted: readonly Exhaustion[];
  /** Frames by why they are unknown, suppressed or observed. */
  readonly reasons: Readonly<Record<string, number>>;
}

interface DropCount {
  readonly reason: string;
  readonly decidedBy: DecidedBy | null;
  packets: number;
  connections: number;
  firstFrame: number;
  order: number;
}

/** Plain data: what one part of a run counted. */
export interface TallyPart {
  readonly outcomes: CountsPart;
  readonly verdicts: CountsPart;
  readonly notes: CountsPart;
  readonly reasons: CountsPart;
  readonly generated: CountsPart;
  readonly drops: readonly (readonly [string, DropCount])[];
  readonly exhausted: ExhaustionPart;
}

const VERDICTS = ['total', 'allowed', 'denied', 'broken', 'depends', 'unknown', 'contradicted'];

export class Tally {
  readonly #outcomes = new Counts();
  readonly #verdicts = new Counts();
  readonly #notes = new Counts();
  readonly #reasons = new Counts();
  readonly #generated = new Counts();
  readonly #drops = new Map<string, DropCount>();
  readonly exhaustions = new Exhaustions();
  #changes = 0;

  frame(
    { frame, notes }: Pick<FrameResult, 'frame' | 'notes'>,
    { outcome, reason }: Pick<FrameResult, 'outcome' | 'reason'>,
  ): void {
    const at = frame ?? 0;
    this.#outcomes.add(outcome, at);
    for (const note of notes) this.#notes.add(note, at);
    if (reason !== null && outcome !== 'dropped') this.#reasons.add(reason, at);
  }

  /** Frames that ended alike, of which the first is `frame`. */
  frames(
    { outcome, reason }: Pick<FrameResult, 'outcome' | 'reason'>,
    frames: number,
    frame: number,
  ): void {
    if (frames === 0) return;
    this.#outcomes.add(outcome, frame, frames);
    if (reason !== null && outcome !== 'dropped') this.#reasons.add(reason, frame, frames);
  }

  noted(note: string, frames: number, frame: number): void {
    if (frames > 0) this.#notes.add(note, frame, frames);
  }

  generated(outcome: Outcome): void {
    this.#generated.add(outcome, 0);
  }

  connection(row: ConnectionResult): void {
    this.#verdicts.add('total', 0);
    this.#verdicts.add(row.verdict, 0);
    if (row.contradicted) this.#verdicts.add('contradicted', 0);
  }

  /** Count drops under `key`, the place and rule that did it. */
  drop(
    { key, reason, decidedBy }: Pick<DropCount, 'reason' | 'decidedBy'> & { readonly key: string },
    frame: number,
    packets: number,
    connections: number,
  ): void {
    const known = this.#drops.get(key);
    if (known === undefined) {
      const first = { firstFrame: frame, order: this.#changes++ };
      this.#drops.set(key, { reason, decidedBy, packets, connections, ...first });
      return;
    }
    known.packets += packets;
    known.connections += connections;
    if (frame < known.firstFrame) {
      takeEarlier(known, { firstFrame: frame, order: this.#changes++ });
    }
  }

  /** A drop before any emulated host: a malformed packet, a fragment that stayed alone. */
  dropWithoutJourney(reason: string, frame: number): void {
    this.drop({ key: reason, reason, decidedBy: null }, frame, 1, 0);
  }

  part(): TallyPart {
    return {
      outcomes: this.#outcomes.part(),
      verdicts: this.#verdicts.part(),
      notes: this.#notes.part(),
      reasons: this.#reasons.part(),
      generated: this.#generated.part(),
      drops: [...this.#drops],
      exhausted: this.exhaustions.part(),
    };
  }

  /** Add what another part of the run counted; no frame and no connection is in two parts. */
  absorb(part: TallyPart): void {
    this.#outcomes.absorb(part.outcomes);
    this.#verdicts.absorb(part.verdicts);
    this.#notes.absorb(part.notes);
    this.#reasons.absorb(part.reasons);
    this.#generated.absorb(part.generated);
    this.exhaustions.absorb(part.exhausted);
    for (const [key, other] of part.drops) {
      const known = this.#drops.get(key);
      if (known === undefined) this.#drops.set(key, { ...other });
      else {
        known.packets += other.packets;
        known.connections += other.connections;
        takeEarlier(known, other);
      }
    }
  }

  summary(): RunSummary {
    const outcomes = FRAME_OUTCOMES.map((name) => [name, this.#outcomes.get(name)] as const);
    const drops = [...this.#drops.values()].sort(
      (a, b) => b.packets - a.packets || b.connections - a.connections || compareFirst(a, b),
    );
    return {
      counts: {
        packets: this.#outcomes.total(),
        outcomes: Object.fromEntries(outcomes) as ReplayCounts['outcomes'],
        connections: Object.fromEntries(
          VERDICTS.map((name) => [name, this.#verdicts.get(name)]),
        ) as ReplayCounts['connections'],
        generated: this.#generated.total(),
        notes: countsOf(this.#notes.inOrder()),
      },
      drops: drops.map(({ firstFrame: _at, order: _order, ...row }) => row),
      exhausted: this.exhaustions.rows(),
      reasons: countsOf(this.#reasons.inOrder().toSorted(([, a], [, b]) => b.count - a.count)),
    };
  }
}

function countsOf(counts: CountsPart): Readonly<Record<string, number>> {
  return Object.fromEntries(counts.map(([name, { count }]) => [name, count]));
}
