/**
 * Buckets of xt_limit and xt_hashlimit in nanoseconds of waiting. The kernel counts in credits of
 * 32 and 64 bits, so that long intervals with large bursts wrap around and the bucket holds less
 * than the rule says. What iptables-nft makes of `-m limit` (net/netfilter/nft_limit.c) does not
 * wrap.
 *
 * Source: net/netfilter/xt_limit.c `user2credits`, `limit_mt_check`, xt_hashlimit.c `user2credits`,
 * `hashlimit_mt_check_common` (Linux 6.18; the same with 250 and 1000 jiffies a second).
 * @module
 */

/** HZ * CREDITS_PER_JIFFY. */
const CREDITS_PER_S = 32_000;
/** XT_LIMIT_SCALE: units of an interval in a second. */
const SCALE = 10_000;
const UNIT_NS = 1e9 / SCALE;
const WRAP = 2 ** 32;

/**
 * What one packet costs, and what a full bucket holds: at least in one back end, at most in the
 * other. A burst that iptables-legacy refuses can only be the other's.
 */
export function limitBucket(match: { readonly interval: number; readonly burst: number }): {
  readonly cost: number;
  readonly least: number;
  readonly most: number;
} {
  const cost = match.interval * UNIT_NS;
  const most = cost * match.burst;
  const price = credits(match.interval);
  const wrapped = credits((match.interval * match.burst) % WRAP);
  if (wrapped < price || wrapped >= price * match.burst) return { cost, least: most, most };
  return { cost, least: Math.min(most, (wrapped / price) * cost), most };
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

/** The same of xt_hashlimit, whose `interval` is in microseconds. */
export function hashlimitBucket(match: { readonly interval: number; readonly burst: number }): {
  readonly cost: number;
  readonly full: number;
} {
  const cost = match.interval * NS_PER_US;
  const credits = BigInt(match.interval) * BigInt(match.burst) * CREDITS_PER_US;
  if (credits < WRAP_64) return { cost, full: cost * match.burst };
  return { cost, full: Number((credits % WRAP_64) / CREDITS_PER_US) * NS_PER_US };
}
