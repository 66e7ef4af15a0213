/**
 * The looks of one visit of a hook. As `RuleLooks`, with the looks of matched rules kept per host:
 * they are the same for every packet, and their texts are the dearest part of an untraced walk.
 * @module
 */

import type { RulePart } from '../../image/image.ts';
import type { NftLinkedRule } from '../../image/nft/program.ts';
import type { LinkedRule } from '../../image/program.ts';
import type { Packet } from '../../packet/packet.ts';
import type { NftRecorder } from '../nft/walk.ts';
import type { RuleRun } from '../rule-index/rule-run.ts';
import type { Looks, RunOfLooks } from '../trail.ts';
import type { WalkContext } from './walk-context.ts';
import type { Recorder, RuleLook } from './walk-recorder.ts';
import { RuleLooks } from './walk-recorder.ts';

const NOTHING: Looks = [];

/** The look of a rule that matched, made when it first does. */
export type MatchedLooks = Map<number, RuleLook>;

export class HookLooks implements Recorder, NftRecorder {
  readonly tracing: boolean;
  readonly #matched: MatchedLooks;
  #looks: (RuleLook | RunOfLooks)[] | null = null;

  constructor(matched: MatchedLooks, tracing: boolean) {
    this.#matched = matched;
    this.tracing = tracing;
  }

  matched(ctx: WalkContext, rule: LinkedRule): void {
    this.#add(this.#lookOf(ctx, rule));
  }

  /** Listed only when somebody reads the step: they can be ten thousands. */
  matchedRun(ctx: WalkContext, run: RuleRun): void {
    this.#add({ all: () => run.rules().map((rule) => this.#lookOf(ctx, rule)) });
  }

  #lookOf(ctx: WalkContext, rule: LinkedRule): RuleLook {
    let look = this.#matched.get(rule.id);
    if (look === undefined) {
      const target = ctx.image.texts.target(rule.id);
      const head = { rule: rule.address, matched: true, target };
      look = rule.origin.length === 0 ? head : { ...head, origin: rule.origin };
      this.#matched.set(rule.id, look);
    }
    return look;
  }

  missed(ctx: WalkContext, rule: LinkedRule, part: RulePart, packet: Packet): void {
    const once = new RuleLooks({ tracing: true });
    once.missed(ctx, rule, part, packet);
    for (const look of once.take()) this.#add(look);
  }

  matchedNft(ctx: WalkContext, rule: NftLinkedRule): void {
    this.#add({ ...lookOf(ctx, rule), matched: true });
  }

  missedNft(ctx: WalkContext, rule: NftLinkedRule, operation: number): void {
    const missed = ctx.image.nft?.texts.statement(rule.id, operation) ?? '';
    this.#add({ ...lookOf(ctx, rule), matched: false, missed });
  }

  /** Hand over what was seen. */
  take(): Looks {
    const looks = this.#looks ?? NOTHING;
    this.#looks = null;
    return looks;
  }

  #add(look: RuleLook | RunOfLooks): void {
    if (this.#looks === null) this.#looks = [look];
    else this.#looks.push(look);
  }
}

function lookOf(ctx: WalkContext, rule: NftLinkedRule): Omit<RuleLook, 'matched'> {
  const head = { rule: rule.address, target: ctx.image.nft?.texts.action(rule.id) ?? '' };
  return rule.origin.length === 0 ? head : { ...head, origin: rule.origin };
}
