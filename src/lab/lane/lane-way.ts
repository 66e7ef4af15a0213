/**
 * How packets of one lane go through one stack, and what the rows of its frames say: equal but for
 * frame, time and notes, as long as the same decision moves them or the same reason keeps them.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import type { CompiledEngine } from '../../engine/compiled.ts';
import type { Journey } from '../../engine/engine.ts';
import { headersOf } from '../datagram/headers.ts';
import type { Endpoints, FrameResult } from '../result.ts';
import { type RowTerms, type SharedTerms, sharedTerms } from '../run/row-terms.ts';
import { type Drop, type DropRows, isNewDrop } from '../run/rows.ts';
import type { Standard, Standing } from '../run/standing.ts';
import { arrived, decidedBy } from '../verdict.ts';

/** Why packets are not sent. */
type Unsent = Pick<RowTerms, 'outcome' | 'reason' | 'decidedBy'>;

export class LaneWay {
  readonly standing: Standing;
  /** Where they enter, as the stack's engine numbers it; of packets that are sent. */
  readonly entry: number;
  readonly #endpoints: Endpoints;
  readonly #connection: number;
  /** The ends that those come to which arrive. */
  #out: RowTerms['out'] | undefined;
  /** The packet that says so, until somebody asks. */
  #last: Uint8Array | null;
  readonly #unsent: Unsent | null;
  #rows: Map<number | string, SharedTerms> | null = null;
  /** The last of these that was asked for. */
  #lastName: number | string = '';
  #lastRow: SharedTerms | null = null;
  #epoch = 0;
  #drop: Drop | null = null;

  constructor({ standing, last }: Standard, entry: number, connection: number) {
    this.standing = standing;
    this.entry = entry;
    this.#endpoints = last.captured.endpoints;
    this.#connection = connection;
    const isThere = last.as === 'sent' && arrived(last.journey);
    this.#last = isThere ? last.journey.packet : null;
    this.#unsent =
      last.as === 'sent'
        ? null
        : { outcome: last.outcome, reason: last.reason, decidedBy: last.by };
  }

  /** Of a packet that a decision of this engine moved; good until numbers are given out anew. */
  moved(decision: number, engine: CompiledEngine, retransmission = false): SharedTerms {
    if (engine.epoch !== this.#epoch) {
      this.#epoch = engine.epoch;
      this.#rows = null;
      this.#lastRow = null;
    }
    const name = decision * 2 + (retransmission ? 1 : 0);
    if (this.#lastRow !== null && this.#lastName === name) return this.#lastRow;
    const known = this.#rows?.get(name);
    if (known !== undefined) return this.#latest(name, known);
    const journey = engine.decision(decision);
    assert(journey !== undefined, 'a decision that moved a packet is known');
    return this.#keep(name, {
      ...this.#endpoints,
      connection: this.#connection,
      outcome: journey.outcome,
      reason: journey.reason,
      decidedBy: decidedBy(journey.decision),
      out: this.#outOf(),
      retransmission,
      journey,
    });
  }

  /** Of a packet that causes keep from being sent; without a reason, of any that is not sent. */
  unsent(reason?: FrameResult['reason']): SharedTerms {
    const known = this.#rows?.get(reason ?? '');
    if (known !== undefined) return known;
    const why = reason === undefined ? this.#unsent : { ...SUPPRESSED, reason };
    assert(why !== null, 'it is known why packets of a lane are not sent');
    return this.#keep(reason ?? '', {
      ...this.#endpoints,
      connection: this.#connection,
      ...why,
      out: null,
      retransmission: false,
      journey: null,
    });
  }

  #outOf(): RowTerms['out'] {
    if (this.#out === undefined) {
      this.#out = headersOf(this.#last);
      this.#last = null;
    }
    return this.#out;
  }

  #keep(name: number | string, row: RowTerms): SharedTerms {
    const shared = sharedTerms(row);
    this.#rows ??= new Map();
    this.#rows.set(name, shared);
    return this.#latest(name, shared);
  }

  #latest(name: number | string, row: SharedTerms): SharedTerms {
    this.#lastName = name;
    this.#lastRow = row;
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
    const out = this.#outOf();
    if (out === null || now === null) return out !== now;
    const isSame = out.src === now.src && out.dst === now.dst;
    return !isSame || out.sport !== now.sport || out.dport !== now.dport;
  }
}

const SUPPRESSED = { outcome: 'suppressed', decidedBy: null } as const;
