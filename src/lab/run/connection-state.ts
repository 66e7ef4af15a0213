/**
 * What one stack knows of an open conversation, and what follows from it.
 * @module
 */
import type { Journey, KnownChoices } from '../../engine/engine.ts';
import { Causes, type CauseVerdict, type Direction } from '../causes.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Ends } from '../datagram/rewrite.ts';
import type { Choice, DirectionResult, Verdict } from '../result.ts';
import type { Conversation } from '../traffic/conversation.ts';
import { NOT_CAPTURED } from '../verdict.ts';
import type { Reached } from './reached.ts';
import type { DropRows } from './rows.ts';

/** What one stack knows of an open conversation. */
export interface State {
  readonly causes: Causes;
  forward: DirectionResult;
  reply: DirectionResult;
  /** The journeys that decided each direction, where somebody asks for them. */
  opening: Journey | null;
  replyJourney: Journey | null;
  /** The ends that the opening came to. */
  openingEnds: Ends | null;
  /** Where its packets get; null before the first did. */
  reached: Reached | null;
  /** What the capture shows of its choices, and how it would fare under each. */
  way: Way | null;
  /** The journey of the assumed opening, once tried. */
  assumed: Journey | null;
  contradicted: boolean;
  readonly dropRows: DropRows;
}

/** What is known of the choices that a connection's way depends on. */
export interface Way {
  /** What the capture shows of them. */
  readonly choices?: KnownChoices;
  readonly choice: Choice | null;
  /** A course that is not allowed. */
  readonly refusal?: Pick<DirectionResult, 'reason' | 'decidedBy'> | undefined;
}

export const NOTHING_KNOWN: Way = { choice: null };

/** The way there; what a node listed has taken it before, even if only answers were captured. */
export function wayThere({ forward }: State, { opening }: Conversation): DirectionResult {
  const isListed = opening === 'listed' && forward.result === 'notCaptured';
  return isListed ? { ...forward, result: 'delivered' } : forward;
}

/** May this packet be sent, by its protocol's rule? */
export function judge(causes: Causes, direction: Direction, d: Datagram): CauseVerdict {
  if (d.tcp) return causes.judgeTcp(direction, d.tcp);
  return d.sctpChunk === null
    ? causes.judgeOther(direction)
    : causes.judgeSctp(direction, d.sctpChunk);
}

export function noteFate(
  causes: Causes,
  direction: Direction,
  d: Datagram,
  delivered: boolean,
): void {
  if (d.tcp) causes.settleTcp(direction, d.tcp, delivered);
  else causes.settleOther(direction, delivered);
}

export function newState(): State {
  return {
    causes: new Causes(),
    forward: NOT_CAPTURED,
    reply: NOT_CAPTURED,
    opening: null,
    replyJourney: null,
    openingEnds: null,
    reached: null,
    way: null,
    assumed: null,
    contradicted: false,
    dropRows: [],
  };
}

/** Which side says why: the one that failed, and where chance decides, the first refusal. */
export function decidingSide(
  verdict: Verdict,
  forward: DirectionResult,
  reply: DirectionResult,
  way: Way | null,
): Pick<DirectionResult, 'reason' | 'decidedBy'> {
  if (verdict === 'depends') return way?.refusal ?? forward;
  return verdict === 'broken' ? reply : forward;
}
