/**
 * How packets of one lane go through one stack, and what the rows of its frames say: equal but for
 * frame, time and notes, as long as the same decision moves them or the same reason keeps them.
 * @module
 */
import type { CompiledEngine } from '../../engine/compiled.ts';
import type { Journey } from '../../engine/engine.ts';
import { headersOf } from '../datagram/headers.ts';
import type { FrameResult } from '../result.ts';
import { type Drop, type DropRows, isNewDrop } from '../run/rows.ts';
import type { LastSent, Standing } from '../run/standing.ts';
import { arrived, decidedBy } from '../verdict.ts';

/** The parts of a frame's row that are equal for all packets of a lane. */
export type RowTerms = Omit<FrameResult, 'frame' | 'timeNs' | 'notes'>;

/** The same of rows that know each other by what they share. */
export type SharedTerms = RowTerms & Required<Pick<FrameResult, 'like'>>;

/** The row of a frame. Every field by name: rows are made by the million. */
export function rowWith(
  terms: SharedTerms,
  { frame, timeNs, notes }: Pick<FrameResult, 'frame' | 'timeNs' | 'notes'>,
): FrameResult {
  const { protocol, src, sport, dst, dport, from, to, outcome, reason } = terms;
  const { decidedBy, connection, out, retransmission, journey, like } = terms;
  return {
    frame,
    timeNs,
    protocol,
    src,
    sport,
    dst,
    dport,
    from,
    to,
    outcome,
    reason,
    decidedBy,
    connection,
    out,
    retransmission,
    notes,
    journey,
    like,
  };
}

export class LaneWay {
  readonly standing: Standing;
  /** Where they enter, as the stack's engine numbers it; of packets that are sent. */
  readonly entry: number;
  /** The last packet before the lane, when it was sent. */
  readonly sent: LastSent | null;
  readonly #row: RowTerms;
  #rows: Map<number | string, SharedTerms> | null = null;
  #epoch = 0;
  #drop: Drop | null = null;

  constructor(standing: Standing, entry: number, connection: number) {
    const { last } = standing;
    this.standing = standing;
    this.entry = entry;
    this.sent = last.as === 'sent' ? last : null;
    this.#row = {
      ...last.captured.endpoints,
      connection,
      ...(last.as === 'sent' ? endOf(last.journey) : { ...NOT_SENT, outcome: last.outcome }),
      ...(last.as === 'sent' ? {} : { reason: last.reason, decidedBy: last.by }),
      retransmission: false,
    };
  }

  /** Of a packet that a decision of this engine moved; good until numbers are given out anew. */
  moved(decision: number, engine: CompiledEngine, retransmission = false): SharedTerms {
    if (engine.epoch !== this.#epoch) {
      this.#epoch = engine.epoch;
      this.#rows = null;
    }
    const name = decision * 2 + (retransmission ? 1 : 0);
    const known = this.#rows?.get(name);
    if (known !== undefined) return known;
    const journey = engine.decision(decision) ?? null;
    const end = journey === null ? {} : { ...endOf(journey), out: this.#row.out };
    return this.#keep(name, { ...this.#row, ...end, retransmission, like: {} });
  }

  /** Of a packet that was not sent, for this reason. */
  unsent(reason: FrameResult['reason']): SharedTerms {
    const known = this.#rows?.get(reason ?? '');
    if (known !== undefined) return known;
    const isFirst = this.standing.last.as === 'unsent' && this.#row.reason === reason;
    const row = isFirst ? this.#row : { ...this.#row, ...NOT_SENT, reason };
    return this.#keep(reason ?? '', { ...row, like: {} });
  }

  #keep(name: number | string, row: SharedTerms): SharedTerms {
    this.#rows ??= new Map();
    this.#rows.set(name, row);
    return row;
  }

  /** Whether its connection was not yet counted in this row of the table of drops. */
  isNewDrop(drop: Drop, drops: DropRows): boolean {
    if (this.#drop === drop) return false;
    this.#drop = drop;
    return isNewDrop(drops, drop);
  }

  /** Whether a packet came to other ends than those before it. */
  isElsewhere({ packet }: Journey): boolean {
    const now = headersOf(packet);
    const { out } = this.#row;
    if (out === null || now === null) return out !== now;
    const isSame = out.src === now.src && out.dst === now.dst;
    return !isSame || out.sport !== now.sport || out.dport !== now.dport;
  }
}

const NOT_SENT = {
  outcome: 'suppressed',
  reason: null,
  decidedBy: null,
  out: null,
  journey: null,
} as const;

function endOf(journey: Journey) {
  return {
    outcome: journey.outcome,
    reason: journey.reason,
    decidedBy: decidedBy(journey.decision),
    out: arrived(journey) ? headersOf(journey.packet) : null,
    journey,
  };
}
