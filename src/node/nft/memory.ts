/**
 * What the nft rules of one host remember of packets: buckets, quotas, running numbers, elements
 * that rules added. Plain data, so that a dry run can work on a copy.
 *
 * Source: net/netfilter/nft_limit.c `nft_limit_eval`, nft_quota.c `nft_overquota`, nft_numgen.c
 * `nft_ng_inc_gen` (Linux 6.18).
 * @module
 */
import type { LiveElements, LookupSet, SetMoment } from '../../image/nft/lookup-set.ts';
import type { ElementMeter } from '../../image/nft/program.ts';
import type { NftLimit, NftQuota } from '../../netfilter/nft/statement.ts';

export interface NftMemory {
  /** What buckets hold, in nanoseconds of their rate, and when that was. */
  readonly buckets: Map<string, { readonly tokens: number; readonly atNs: number }>;
  /** Bytes that quotas have seen. */
  readonly quotas: Map<string, number>;
  readonly numbers: Map<number, number>;
  readonly elements: Map<string, LiveElements>;
}

export function emptyNftMemory(): NftMemory {
  return { buckets: new Map(), quotas: new Map(), numbers: new Map(), elements: new Map() };
}

/** The memory as sets see it. */
export function momentOf(memory: NftMemory, nowNs: number): SetMoment {
  return { nowNs, elementsOf: (set) => liveElements(memory, set) };
}

export function liveElements(memory: NftMemory, set: LookupSet): LiveElements {
  const known = memory.elements.get(set.id);
  if (known !== undefined) return known;
  const made = set.initial();
  memory.elements.set(set.id, made);
  return made;
}

const NS_PER_S = 1e9;

/** Does a limit let a packet of this length through? It pays for it if so. */
export function limitHolds(
  memory: NftMemory,
  key: string,
  limit: NftLimit,
  packet: { readonly nowNs: number; readonly length: number },
): boolean {
  const { rate, burst, unit, over } = limit;
  const unitNs = limit.seconds * NS_PER_S;
  const isCounted = unit === 'packets';
  const cost = Math.floor((unitNs * (isCounted ? 1 : packet.length)) / rate);
  const full = isCounted ? cost * burst : Math.floor((unitNs * (rate + burst)) / rate);
  const before = memory.buckets.get(key) ?? { tokens: full, atNs: packet.nowNs };
  const tokens = Math.min(full, before.tokens + packet.nowNs - before.atNs);
  const pays = tokens >= cost;
  memory.buckets.set(key, { tokens: pays ? tokens - cost : tokens, atNs: packet.nowNs });
  return pays !== over;
}

/** Is the quota kept? Every packet that asks counts. */
export function quotaHolds(
  memory: NftMemory,
  key: string,
  { bytes, used, over }: NftQuota,
  length: number,
): boolean {
  const seen = (memory.quotas.get(key) ?? used) + length;
  memory.quotas.set(key, seen);
  // Exactly all of it is not over (seen on Linux 6.18).
  return seen > bytes === over;
}

/** What an element measures for itself: all must hold. */
export function metersHold(
  memory: NftMemory,
  name: string,
  meters: readonly ElementMeter[],
  packet: { readonly nowNs: number; readonly length: number },
): boolean {
  return meters.every((meter, i) => {
    const key = `${name} ${i}`;
    if (meter.kind === 'limit') return limitHolds(memory, key, meter.limit, packet);
    return quotaHolds(memory, key, meter.quota, packet.length);
  });
}
