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
import { type Exhaustion, Exhaustions } from './run/exhaustion.ts';

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
}

export class Tally {
  readonly #outcomes = new Map<string, number>();
  readonly #verdicts = new Map<string, number>();
  readonly #notes = new Map<string, number>();
  readonly #reasons = new Map<string, number>();
  readonly #generated = new Map<string, number>();
  readonly #drops = new Map<string, DropCount>();
  readonly exhaustions = new Exhaustions();

  frame(row: FrameResult): void {
    add(this.#outcomes, row.outcome);
    for (const note of row.notes) add(this.#notes, note);
    if (row.reason !== null && row.outcome !== 'dropped') add(this.#reasons, row.reason);
  }

  generated(outcome: Outcome): void {
    add(this.#generated, outcome);
  }

  connection(row: ConnectionResult): void {
    add(this.#verdicts, 'total');
    add(this.#verdicts, row.verdict);
    if (row.contradicted) add(this.#verdicts, 'contradicted');
  }

  /** Count drops under `key`, the place and rule that did it. */
  drop(
    key: string,
    reason: string,
    decidedBy: DecidedBy | null,
    packets: number,
    connections: number,
  ): void {
    const row = this.#drops.get(key) ?? { reason, decidedBy, packets: 0, connections: 0 };
    row.packets += packets;
    row.connections += connections;
    this.#drops.set(key, row);
  }

  /** A drop before any emulated host: a malformed packet, a fragment that stayed alone. */
  dropWithoutJourney(reason: string): void {
    this.drop(reason, reason, null, 1, 0);
  }

  summary(): RunSummary {
    const outcome = (name: string) => this.#outcomes.get(name) ?? 0;
    const verdict = (name: string) => this.#verdicts.get(name) ?? 0;
    const outcomes = FRAME_OUTCOMES.map((name) => [name, outcome(name)] as const);
    const verdicts = ['total', 'allowed', 'denied', 'broken', 'depends', 'unknown', 'contradicted'];
    return {
      counts: {
        packets: sum(outcomes.map(([, count]) => count)),
        outcomes: Object.fromEntries(outcomes) as ReplayCounts['outcomes'],
        connections: Object.fromEntries(
          verdicts.map((name) => [name, verdict(name)]),
        ) as ReplayCounts['connections'],
        generated: sum([...this.#generated.values()]),
        notes: Object.fromEntries(this.#notes),
      },
      drops: [...this.#drops.values()].sort(
        (a, b) => b.packets - a.packets || b.connections - a.connections,
      ),
      exhausted: this.exhaustions.rows(),
      reasons: Object.fromEntries([...this.#reasons].sort((a, b) => b[1] - a[1])),
    };
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
