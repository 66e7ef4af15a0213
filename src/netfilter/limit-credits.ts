/**
 * The currency of xt_limit and xt_hashlimit: credits of 32 and 64 bits, so that long intervals with
 * large bursts wrap around and the bucket holds less than the rule says.
 *
 * Source: net/netfilter/xt_limit.c `user2credits`, `limit_mt_check`, xt_hashlimit.c `user2credits`,
 * `hashlimit_mt_check_common` (Linux 6.18; the same with 250 and 1000 jiffies a second).
 * @module
 */

/** HZ * CREDITS_PER_JIFFY. */
export const CREDITS_PER_S = 32_000;
/** XT_LIMIT_SCALE: units of an interval in a second. */
const SCALE = 10_000;
const WRAP = 2 ** 32;

/** What one packet costs, and what a full bucket holds. */
export function limitCredits(match: { readonly interval: number; readonly burst: number }): {
  readonly cost: number;
  readonly full: number;
} {
  return { cost: credits(match.interval), full: credits((match.interval * match.burst) % WRAP) };
}

function credits(units: number): number {
  if (units > Math.floor((WRAP - 1) / CREDITS_PER_S)) {
    return (Math.floor(units / SCALE) * CREDITS_PER_S) % WRAP;
  }
  return Math.floor((units * CREDITS_PER_S) / SCALE);
}

const NS_PER_US = 1000;
/** HZ * CREDITS_PER_JIFFY / XT_HASHLIMIT_SCALE_v2. */
const CREDITS_PER_US = 137_438_953n;
const WRAP_64 = 2n ** 64n;

/** The same of a hashlimit bucket, in nanoseconds of waiting; `interval` in microseconds. */
export function hashlimitCost(match: { readonly interval: number; readonly burst: number }): {
  readonly cost: number;
  readonly full: number;
} {
  const cost = match.interval * NS_PER_US;
  const credits = BigInt(match.interval) * BigInt(match.burst) * CREDITS_PER_US;
  if (credits < WRAP_64) return { cost, full: cost * match.burst };
  return { cost, full: Number((credits % WRAP_64) / CREDITS_PER_US) * NS_PER_US };
}
