/**
 * How further packets of a direction fare on one stack, as far as the last one tells: what lanes
 * (lab/lane) may take in bulk.
 *
 * A packet that is not let through changes little: its direction was refused before, nothing of its
 * connection is confirmed anywhere, and that it was sent is known. Of TCP there is more to know,
 * which bytes are missing and who was told that the flow is over: such packets are judged one by
 * one, by their segments alone.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { Injection, Journey } from '../../engine/engine.ts';
import { type Causes, type Direction, opposite } from '../causes.ts';
import type { DecidedBy, FrameOutcome, FrameResult } from '../result.ts';
import type { Captured } from '../traffic/captured.ts';
import { arrived } from '../verdict.ts';
import type { State } from './connection-state.ts';
import type { DropRows } from './rows.ts';

/** A frame as it was sent. */
export interface LastSent {
  readonly as: 'sent';
  readonly captured: Captured;
  readonly injection: Injection;
  readonly journey: Journey;
}

/** A frame that was not sent. */
export interface LastUnsent {
  readonly as: 'unsent';
  readonly captured: Captured;
  readonly outcome: FrameOutcome;
  readonly reason: FrameResult['reason'];
  readonly by: DecidedBy | null;
  /** No frame of this direction ever will be, for the same reason. */
  readonly isFixed: boolean;
}

/** What the further packets of a direction go through. */
export type Standing =
  /** Sent and delivered, they say nothing new of their conversation. */
  | { readonly as: 'moved' }
  /** Sent and dropped, the same. */
  | { readonly as: 'refused'; readonly drops: DropRows }
  /** Not sent, for the reason of the last one. */
  | { readonly as: 'unsent'; readonly isFixed: boolean }
  /** TCP whose flow is not whole: what becomes of a segment hangs on what was lost before. */
  | {
      readonly as: 'judged';
      readonly causes: Causes;
      readonly direction: Direction;
      readonly drops: DropRows;
      /** It is known how those are sent that are. */
      readonly isSent: boolean;
    };

/** How those behind a frame fare, and the frame. */
export interface Standard {
  readonly standing: Standing;
  readonly last: LastSent | LastUnsent;
}

const MOVED = { as: 'moved' } as const;
const FIXED = { as: 'unsent', isFixed: true } as const;
const CAUSELESS = { as: 'unsent', isFixed: false } as const;

/** What the frame says of those behind it; null when each must be looked at. */
export function standingOf(
  last: LastSent | LastUnsent,
  state: State,
  direction: Direction,
): Standard | null {
  const standing = candidateOf(last, state, direction);
  const holds = standing !== null && stillStands(standing, state, direction);
  return holds ? { standing, last } : null;
}

function candidateOf(
  last: LastSent | LastUnsent,
  { causes, dropRows: drops }: State,
  direction: Direction,
): Standing | null {
  const isTcp = last.captured.datagram?.tcp != null;
  const judged = { as: 'judged', causes, direction, drops, isSent: last.as === 'sent' } as const;
  if (last.as === 'unsent') {
    if (last.isFixed) return FIXED;
    return isTcp ? judged : CAUSELESS;
  }
  const { generated, copies, heldForReassembly, reason, outcome } = last.journey;
  if (generated.length > 0 || copies.length > 0 || heldForReassembly) return null;
  if (arrived(last.journey)) return reason === null ? MOVED : null;
  if (!isPlainDrop({ outcome, reason })) return null;
  return isTcp ? judged : { as: 'refused', drops };
}

/** Whether a drop is counted in the table of drops and nowhere else. */
export function isPlainDrop({ outcome, reason }: Pick<Journey, 'outcome' | 'reason'>): boolean {
  return outcome === 'dropped' && reason !== 'natPortsExhausted';
}

/** Whether what was found of a direction holds after more has become known of its conversation. */
export function stillStands(standing: Standing, state: State, direction: Direction): boolean {
  const { causes } = state;
  switch (standing.as) {
    case 'moved': {
      const side = direction === 'original' ? state.forward : state.reply;
      return side.result === 'delivered' && causes.isClear(direction);
    }
    case 'refused':
      return causes.judgeOther(direction) === 'send';
    case 'unsent':
      return standing.isFixed || causes.judgeOther(direction) !== 'send';
    case 'judged':
      // What is lost here can not undo that the other direction is clear: it is not.
      return !causes.isClear(opposite(direction));
    default:
      return unreachable(standing);
  }
}
