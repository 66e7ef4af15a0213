/**
 * Matches that remember a rule's packets or draw chances: limit, nth, random.
 *
 * Time is the capture's clock. Chances are one number per connection where the nat table decides
 * (node/match/memory/draws.ts), else hashes of seed, host, rule and frame, so equal runs give equal
 * answers; what each rule remembers is the host's (node/match/memory/rule-memory.ts).
 * Source: net/netfilter/xt_limit.c, xt_statistic.c. Jiffies are not emulated: times
 * are exact.
 * @module
 */
import { limitBucket } from '../../../netfilter/limit-bucket.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { type Answer, answer } from '../answer.ts';
import { keyOf, type MatchPlace } from '../place.ts';
import { hash31 } from './draws.ts';
import { memoryOf } from './rule-memory.ts';

type MatchOf<K extends Match['kind']> = Extract<Match, { kind: K }>;

/**
 * xt_limit: a bucket that holds `burst` packets and gains one each interval. Where the back ends of
 * iptables differ, a packet for which that decides has no answer.
 */
export function matchLimit(ctx: WalkContext, match: MatchOf<'limit'>, place: MatchPlace): Answer {
  const bucket = limitBucket(match);
  const { cost } = bucket;
  const { limits } = memoryOf(ctx);
  const before = limits.get(keyOf(place)) ?? { ...bucket, atNs: ctx.nowNs };
  const gained = ctx.nowNs - before.atNs;
  const least = Math.min(bucket.least, before.least + gained);
  const most = Math.min(bucket.most, before.most + gained);
  const surely = least >= cost;
  const perhaps = most >= cost;
  limits.set(keyOf(place), {
    least: surely ? least - cost : least,
    most: perhaps ? most - cost : most,
    atNs: ctx.nowNs,
  });
  return surely === perhaps ? answer(surely) : 'unanswerable';
}

/** xt_statistic `nth`: of the packets that get here, numbered from 0, those with the remainder. */
export function nthHolds(ctx: WalkContext, match: MatchOf<'nth'>, place: MatchPlace): boolean {
  const { nths } = memoryOf(ctx);
  const number = nths.get(keyOf(place)) ?? 0;
  nths.set(keyOf(place), (number + 1) % match.every);
  return (number === match.packet) !== match.negate;
}

/**
 * xt_statistic `random`: the connection's choice in the nat table, elsewhere 31 bits drawn from
 * what names this look at this packet.
 */
export function randomHolds(
  ctx: WalkContext,
  match: MatchOf<'random'>,
  place: MatchPlace,
  packet: Packet,
): boolean {
  if (ctx.draws !== undefined) {
    const share = match.threshold / 2 ** 31;
    return ctx.draws.chance(place.rule.home, match.negate ? 1 - share : share);
  }
  ctx.counters.observer?.opaque();
  const text = `${ctx.seed} ${ctx.image.host} ${keyOf(place)} ${packet.frame}`;
  return hash31(text) < match.threshold !== match.negate;
}
