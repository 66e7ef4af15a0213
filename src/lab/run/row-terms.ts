/**
 * What the rows of many frames have in common: all but frame, time and notes, as long as the same
 * decision moves their packets or the same reason keeps them.
 * @module
 */
import type { FrameResult } from '../result.ts';

/** The parts of a frame's row that are equal for all packets of a lane. */
export type RowTerms = Omit<FrameResult, 'frame' | 'timeNs' | 'notes' | 'like'>;

/** The same as rows are made of them by the million. */
export interface SharedTerms extends RowTerms {
  /** What the run's sink has put into words of them, one text of each output; null: nothing yet. */
  words: readonly Uint8Array[] | null;
}

/** Where rows of frames go. */
export interface FrameSink {
  frame(result: FrameResult): void;
  /** A frame whose row has its terms in common with others; absent: `frame` is told. */
  readonly alike?: (
    terms: SharedTerms,
    frame: number,
    timeNs: bigint,
    notes: readonly string[],
  ) => void;
  /** False when nobody looks at frames: they need not be made. Absent: somebody does. */
  readonly wantsFrames?: boolean;
}

/** Terms that all have one shape. */
export function sharedTerms(terms: RowTerms): SharedTerms {
  const { protocol, src, sport, dst, dport, from, to, outcome, reason } = terms;
  const { decidedBy, connection, out, retransmission, journey } = terms;
  return {
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
    journey,
    words: null,
  };
}

/** The row of a frame, by name of each field so that all have one shape, too. */
export function rowWith(
  terms: SharedTerms,
  { frame, timeNs, notes }: Pick<FrameResult, 'frame' | 'timeNs' | 'notes'>,
): FrameResult {
  const { protocol, src, sport, dst, dport, from, to, outcome, reason } = terms;
  const { decidedBy, connection, out, retransmission, journey } = terms;
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
    like: terms,
  };
}
