/**
 * Which match of which rule asks: what it remembers is kept under this.
 * @module
 */
import type { LinkedRule } from '../../image/program.ts';

export interface MatchPlace {
  readonly rule: LinkedRule;
  readonly index: number;
}

/** The key of its memory (node/match/memory/rule-memory.ts). */
export function keyOf({ rule, index }: MatchPlace): string {
  return `${rule.id} ${index}`;
}
