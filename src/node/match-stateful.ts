/**
 * Matches that remember packets or draw chances: limit, nth, random, recent.
 *
 * Time is the capture's clock and chances are hashes of seed, host, rule and frame, so equal runs
 * give equal answers; what each rule remembers is the host's (node/counters.ts).
 * Source: net/netfilter/xt_limit.c, xt_statistic.c, xt_recent.c. Jiffies are not emulated: times
 * are exact.
 * @module
 */
import type { LinkedRule } from '../image/program.ts';
import type { Match } from '../netfilter/match.ts';
import type { Packet } from '../packet/packet.ts';
import { addressKey } from '../wire/address.ts';
import type { RecentList } from './counters.ts';
import { packetTtl } from './match-header.ts';
import type { WalkContext } from './walk.ts';

type MatchOf<K extends Match['kind']> = Extract<Match, { kind: K }>;

/** Which match of which rule asks: what it remembers is kept under this. */
export interface MatchPlace {
  readonly rule: LinkedRule;
  readonly index: number;
}

function keyOf({ rule, index }: MatchPlace): string {
  return `${rule.id} ${index}`;
}

/** The unit of `interval`: XT_LIMIT_SCALE is 10000 a second. */
const LIMIT_UNIT_NS = 100_000;

/** xt_limit: a bucket that holds `burst` packets and gains one each interval. */
export function limitHolds(ctx: WalkContext, match: MatchOf<'limit'>, place: MatchPlace): boolean {
  const cost = match.interval * LIMIT_UNIT_NS;
  const full = cost * match.burst;
  const { limits } = ctx.counters.memory;
  const before = limits.get(keyOf(place)) ?? { credit: full, atNs: ctx.nowNs };
  const credit = Math.min(full, before.credit + ctx.nowNs - before.atNs);
  const holds = credit >= cost;
  limits.set(keyOf(place), { credit: holds ? credit - cost : credit, atNs: ctx.nowNs });
  return holds;
}

/** xt_statistic `nth`: of the packets that get here, numbered from 0, those with the remainder. */
export function nthHolds(ctx: WalkContext, match: MatchOf<'nth'>, place: MatchPlace): boolean {
  const { nths } = ctx.counters.memory;
  const number = nths.get(keyOf(place)) ?? 0;
  nths.set(keyOf(place), (number + 1) % match.every);
  return (number === match.packet) !== match.negate;
}

/** xt_statistic `random`: 31 bits drawn from what names this look at this packet. */
export function randomHolds(
  ctx: WalkContext,
  match: MatchOf<'random'>,
  place: MatchPlace,
  packet: Packet,
): boolean {
  const text = `${ctx.seed} ${ctx.image.host} ${keyOf(place)} ${packet.frame}`;
  return hash31(text) < match.threshold !== match.negate;
}

/** 31 well mixed bits of a text (FNV-1a, then the finalizer of MurmurHash3). */
function hash31(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) & 0x7fffffff;
}

/** `ip_list_tot`: addresses a list holds before the one unseen longest goes. */
const RECENT_ADDRESSES = 100;
/** Stamps kept of an address: `ip_pkt_list_tot` (20) rounded up to a power of two. */
const RECENT_STAMPS = 32;

/** xt_recent `recent_mt`. */
export function recentHolds(ctx: WalkContext, match: MatchOf<'recent'>, packet: Packet): boolean {
  const { recents } = ctx.counters.memory;
  const list: RecentList = recents.get(match.list) ?? new Map();
  recents.set(match.list, list);
  const key = recentKey(match, packet);
  const ttl = packetTtl(packet) + (packet.inDevice === '' ? 1 : 0);
  const found = list.get(key);
  const entry = found && match.ttl && found.ttl !== 0 && found.ttl !== ttl ? undefined : found;
  if (entry === undefined) {
    if (match.operation !== 'set') return match.negate;
    makeRoom(list);
    list.set(key, { ttl, stamps: [ctx.nowNs] });
    return !match.negate;
  }
  const since = ctx.nowNs - match.seconds * 1e9;
  const holds = entryHolds(match, entry.stamps, since) !== match.negate;
  if (match.operation === 'remove') list.delete(key);
  const checks = match.operation === 'rcheck' || match.operation === 'update';
  if (checks && match.reap) reapOldest(list, since);
  if (match.operation === 'set' || (match.operation === 'update' && holds)) {
    list.delete(key);
    list.set(key, { ttl, stamps: [...entry.stamps, ctx.nowNs].slice(-RECENT_STAMPS) });
  }
  return holds;
}

/** Does an address that is in the list answer yes? */
function entryHolds(match: MatchOf<'recent'>, stamps: readonly number[], since: number): boolean {
  if (match.operation === 'set' || match.operation === 'remove') return true;
  const counted = stamps.filter((at) => match.seconds === 0 || at >= since).length;
  return counted >= Math.max(1, match.hitcount);
}

function recentKey(match: MatchOf<'recent'>, packet: Packet): string {
  const { w0, w1, w2, w3, family } = match.side === 'source' ? packet.src : packet.dst;
  const { mask } = match;
  return addressKey({
    family,
    w0: (w0 & (family === 4 ? 0 : mask.w0)) >>> 0,
    w1: (w1 & (family === 4 ? 0 : mask.w1)) >>> 0,
    w2: (w2 & (family === 4 ? 0xffff : mask.w2)) >>> 0,
    w3: (w3 & mask.w3) >>> 0,
  });
}

/** The list is ordered by last sight: the first entry is the oldest. */
function makeRoom(list: RecentList): void {
  if (list.size < RECENT_ADDRESSES) return;
  for (const oldest of list.keys()) {
    list.delete(oldest);
    return;
  }
}

/** `recent_entry_reap`: the oldest address goes when all its stamps are too old. */
function reapOldest(list: RecentList, since: number): void {
  for (const [key, { stamps }] of list) {
    if ((stamps[stamps.length - 1] ?? since) < since) list.delete(key);
    return;
  }
}
