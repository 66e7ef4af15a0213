/**
 * The same connections on several stacks: which verdicts differ, where they first part, and what
 * kind of difference it is.
 * @module
 */
import type { Journey } from '../../engine/engine.ts';
import type { ConnectionResult, FrameResult, Verdict } from '../result.ts';
import type { ConnectionDetail, RunSink } from '../stack-run.ts';
import type { Conversation } from '../traffic/conversation.ts';
import type { World } from '../world.ts';
import { classify } from './difference-class.ts';
import type { DifferenceClass } from './difference-rule.ts';
import { type Divergence, firstDivergence } from './divergence.ts';

export interface Difference {
  /** As the first stack sees it; verdicts of the others stand beside it. */
  readonly connection: ConnectionResult;
  readonly class: DifferenceClass;
  readonly verdicts: Readonly<Record<string, Verdict>>;
  readonly reasons: Readonly<Record<string, string | null>>;
  readonly decidedBy: Readonly<Record<string, ConnectionResult['decidedBy']>>;
  readonly firstDivergence: Divergence | null;
}

export interface ClassCount {
  readonly class: DifferenceClass;
  connections: number;
  packets: number;
}

export interface CompareCounts {
  readonly connections: number;
  readonly agree: number;
  readonly disagree: number;
  /** Unknown on at least one stack: never counted as agreement or as difference. */
  readonly unknown: number;
}

interface Side {
  readonly row: ConnectionResult;
  readonly detail: ConnectionDetail;
}

/** Plain data: what one part of a run compared. */
export interface ComparisonPart {
  readonly counts: CompareCounts;
  /** With the place of each class's first connection among all that were closed. */
  readonly classes: readonly (ClassCount & { readonly firstPlace: number })[];
}

/** Collects each stack's rows and compares them as conversations close. */
export class Comparison {
  readonly #worlds: readonly World[];
  readonly #report: (difference: Difference) => void;
  readonly #pending = new Map<number, (Side | undefined)[]>();
  readonly #classes = new Map<string, ClassCount & { firstPlace: number }>();
  #agree = 0;
  #disagree = 0;
  #unknown = 0;

  constructor(worlds: readonly World[], report: (difference: Difference) => void) {
    this.#worlds = worlds;
    this.#report = report;
  }

  /** The sink of one stack's run. */
  sink(index: number, onFrame: (result: FrameResult) => void): RunSink {
    return {
      frame: onFrame,
      connection: (row, detail) => {
        const sides = this.#pending.get(row.id) ?? [];
        sides[index] = { row, detail };
        this.#pending.set(row.id, sides);
      },
    };
  }

  /** A conversation has been closed by every stack, as the `place`-th of all. */
  closed(conversation: Conversation, place: number): void {
    const sides = (this.#pending.get(conversation.id) ?? []).flatMap((side) => side ?? []);
    this.#pending.delete(conversation.id);
    const verdicts = new Set(sides.map((side) => side.row.verdict));
    const [first] = sides;
    if (!first) return;
    if (verdicts.has('unknown')) this.#unknown++;
    else if (verdicts.size === 1) this.#agree++;
    else this.#differ(first.row, sides, place);
  }

  counts(): CompareCounts {
    const connections = this.#agree + this.#disagree + this.#unknown;
    return {
      connections,
      agree: this.#agree,
      disagree: this.#disagree,
      unknown: this.#unknown,
    };
  }

  /** Classes of difference found, most connections first. */
  classes(): readonly ClassCount[] {
    return [...this.#classes.values()]
      .sort((a, b) => b.connections - a.connections || a.firstPlace - b.firstPlace)
      .map(({ firstPlace: _place, ...count }) => count);
  }

  part(): ComparisonPart {
    return { counts: this.counts(), classes: [...this.#classes.values()] };
  }

  /** Add what another part of the run compared; no connection is in two parts. */
  absorb({ counts, classes }: ComparisonPart): void {
    this.#agree += counts.agree;
    this.#disagree += counts.disagree;
    this.#unknown += counts.unknown;
    for (const other of classes) {
      const known = this.#classes.get(other.class.id);
      if (known === undefined) this.#classes.set(other.class.id, { ...other });
      else {
        known.connections += other.connections;
        known.packets += other.packets;
        known.firstPlace = Math.min(known.firstPlace, other.firstPlace);
      }
    }
  }

  #differ(connection: ConnectionResult, sides: readonly Side[], place: number): void {
    this.#disagree++;
    const named = sides.map((side, i) => ({ stack: this.#worlds[i]?.stack.text ?? '', side }));
    const byStack = <T>(pick: (side: Side) => T): Record<string, T> =>
      Object.fromEntries(named.map(({ stack, side }) => [stack, pick(side)]));
    const journeys = named.flatMap(({ stack, side }) => {
      const journey = decidingJourney(sides, side);
      return journey ? [{ stack, journey }] : [];
    });
    const kind = classify(
      named.map(({ side }, i) => ({ row: side.row, detail: side.detail, world: this.#worlds[i] })),
    );
    const count = this.#classes.get(kind.id) ?? {
      class: kind,
      connections: 0,
      packets: 0,
      firstPlace: place,
    };
    count.connections++;
    count.packets += connection.packets;
    this.#classes.set(kind.id, count);
    this.#report({
      connection,
      class: kind,
      verdicts: byStack((side) => side.row.verdict),
      reasons: byStack((side) => side.row.reason),
      decidedBy: byStack((side) => side.row.decidedBy),
      firstDivergence: journeys.length > 1 ? firstDivergence(journeys) : null,
    });
  }
}

/** The journey to compare: of the opening where openings differ, else of the reply. */
function decidingJourney(sides: readonly Side[], side: Side): Journey | null {
  const openings = new Set(sides.map((s) => s.row.forward.result));
  return openings.size > 1 ? side.detail.opening : side.detail.reply;
}
