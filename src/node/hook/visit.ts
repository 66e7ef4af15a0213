/**
 * One visit of a hook: the packet, the rules' context, and what they leave behind.
 * @module
 */
import type { Hook } from '../../netfilter/hook.ts';
import type { Passage } from '../passage.ts';
import type { Run } from '../run.ts';
import type { HookLooks } from './hook-recorder.ts';
import type { WalkContext } from './walk-context.ts';

/** Everything that one visit needs. */
export interface Visit {
  readonly run: Run;
  readonly passage: Passage;
  readonly hook: Hook;
  readonly ctx: WalkContext;
  readonly looks: HookLooks;
}
