/**
 * Whom a rule's effect goes back to: the objects behind the rule itself, behind the rules that set
 * the mark bits it tests, or behind the jumps that led to it, whichever is found first.
 * @module
 */
import type { Packet } from '../../packet/packet.ts';
import { originsOfMark } from '../target/target.ts';
import type { Origins } from './walk-context.ts';

/** What a rule of either rule language says of its origin. */
export interface Attributed {
  readonly origin: Origins;
  /** Bits of the mark that it tests. */
  readonly markBits: number;
}

/** The jump or goto that led to a chain, and the one before it. */
export interface Via<Rule extends Attributed> {
  readonly rule: Rule;
  readonly before: Via<Rule> | null;
}

/** The origins of `rule`, reached by `via`; none when nobody along the way has any. */
export function originsAlong(
  packet: Packet,
  rule: Attributed,
  via: Via<Attributed> | null,
): Origins {
  for (let at: Attributed | null = rule, before = via; at !== null; ) {
    if (at.origin.length > 0) return at.origin;
    const byMark = originsOfMark(packet, at.markBits);
    if (byMark.length > 0) return byMark;
    at = before?.rule ?? null;
    before = before?.before ?? null;
  }
  return [];
}
