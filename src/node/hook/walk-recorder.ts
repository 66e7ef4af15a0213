/**
 * What is written down while rules go by: the ones that matched, always; every one looked at, with
 * the first match that missed and what the packet had instead, when tracing.
 * @module
 */
import type { RulePart } from '../../image/image.ts';
import type { LinkedRule } from '../../image/program.ts';
import type { Provenance, RuleAddress } from '../../netfilter/rule.ts';
import type { Packet } from '../../packet/packet.ts';
import { foundInstead } from '../match/found.ts';
import type { RuleRun } from '../rule-index/rule-run.ts';
import type { WalkContext } from './walk-context.ts';

/** What sees the rules go by. `missed` is only called while `tracing`. */
export interface Recorder {
  readonly tracing: boolean;
  matched(ctx: WalkContext, rule: LinkedRule, packet: Packet): void;
  /** Rules that were matched one after the other; never called while `tracing`. */
  matchedRun(ctx: WalkContext, run: RuleRun, packet: Packet): void;
  missed(ctx: WalkContext, rule: LinkedRule, part: RulePart, packet: Packet): void;
}

/** A rule that was looked at, and what came of it. */
export interface RuleLook {
  readonly rule: RuleAddress;
  readonly matched: boolean;
  /** The first match that did not hold, as iptables writes it; only when `matched` is false. */
  readonly missed?: string;
  /** What the packet had instead (`src 10.1.0.4`, `ctstate ESTABLISHED`). */
  readonly found?: string;
  readonly target: string;
  readonly origin?: readonly Provenance[];
}

/** Collects looks until they are taken into a step. */
export class RuleLooks implements Recorder {
  readonly tracing: boolean;
  #looks: RuleLook[] = [];

  constructor({ tracing }: { readonly tracing: boolean }) {
    this.tracing = tracing;
  }

  matched(ctx: WalkContext, rule: LinkedRule): void {
    this.#looks.push({ ...describe(ctx, rule), matched: true });
  }

  matchedRun(ctx: WalkContext, run: RuleRun): void {
    for (const rule of run.rules()) this.matched(ctx, rule);
  }

  missed(ctx: WalkContext, rule: LinkedRule, part: RulePart, packet: Packet): void {
    this.#looks.push({
      ...describe(ctx, rule),
      matched: false,
      missed: ctx.image.texts.part(rule.id, part),
      found: foundInstead(ctx, rule, part, packet),
    });
  }

  /** Hand over what was seen since the last call. */
  take(): readonly RuleLook[] {
    const looks = this.#looks;
    this.#looks = [];
    return looks;
  }
}

function describe(
  ctx: WalkContext,
  rule: LinkedRule,
): { rule: RuleAddress; target: string; origin?: readonly Provenance[] } {
  const target = ctx.image.texts.target(rule.id);
  if (rule.origin.length === 0) return { rule: rule.address, target };
  return { rule: rule.address, target, origin: rule.origin };
}
