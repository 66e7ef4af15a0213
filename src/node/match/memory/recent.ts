/**
 * xt_recent: lists of addresses that rules themselves fill.
 *
 * Source: net/netfilter/xt_recent.c `recent_mt`, `recent_mt_check`, Linux 6.18 (`ip_list_tot` is
 * 100, `ip_pkt_list_tot` is not set). Jiffies are not emulated: times are exact. Compared with the
 * kernel by test/differential/kernel/stateful.test.ts.
 * @module
 */
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { type Address, addressKey } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { packetTtl } from '../packet/header.ts';
import { memoryOf } from './rule-memory.ts';

type RecentMatch = Extract<Match, { kind: 'recent' }>;

interface RecentEntry {
  readonly key: string;
  /** When it was made: of several for one address, the oldest is found. */
  readonly born: number;
  ttl: number;
  readonly stamps: number[];
}

export interface RecentList {
  /** The one unseen longest first. */
  readonly entries: RecentEntry[];
  /** The first rule that names the list says how much of an address counts. */
  readonly mask: Address;
  /** Stamps kept of an address. */
  readonly stamps: number;
  born: number;
}

/** `ip_list_tot`: addresses a list holds before the one unseen longest goes. */
const LIST_LENGTH = 100;
/** Stamps kept of an address where no rule counts hits. */
const DEFAULT_STAMPS = 32;

export function recentHolds(ctx: WalkContext, match: RecentMatch, packet: Packet): boolean {
  const list = listOf(ctx, match);
  const key = keyOf(match, list.mask, packet);
  const ttl = seenTtl(packet);
  const entry = find(list, key, match.ttl ? ttl : 0);
  if (entry === undefined) {
    if (match.operation !== 'set') return match.negate;
    if (list.entries.length >= LIST_LENGTH) list.entries.shift();
    list.born += 1;
    list.entries.push({ key, born: list.born, ttl, stamps: [ctx.nowNs] });
    return !match.negate;
  }
  const since = ctx.nowNs - match.seconds * 1e9;
  const holds = entryHolds(match, entry, since) !== match.negate;
  const checks = match.operation === 'rcheck' || match.operation === 'update';
  const updates = match.operation === 'set' || (match.operation === 'update' && holds);
  if (match.operation === 'remove') remove(list, entry);
  if (checks && match.reap) reapOldest(list, since, updates ? entry : null);
  if (updates) touch(list, entry, ttl, ctx.nowNs);
  return holds;
}

function listOf(ctx: WalkContext, match: RecentMatch): RecentList {
  const { recents } = memoryOf(ctx);
  const known = recents.get(match.list);
  if (known !== undefined) return known;
  const rules = ctx.image.program.rules.flatMap((rule) =>
    rule.matches.flatMap(({ match: m }) => (m.kind === 'recent' && m.list === match.list ? m : [])),
  );
  const kept = rules.map(({ hitcount }) =>
    hitcount === 0 ? DEFAULT_STAMPS : powerOfTwo(hitcount),
  );
  const mask = rules[0]?.mask ?? match.mask;
  const list = { entries: [], mask, stamps: Math.max(1, ...kept), born: 0 };
  recents.set(match.list, list);
  return list;
}

/** `roundup_pow_of_two`. */
function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}

/** A TTL of 0 asks for none, and an entry of 0 answers all. */
function find({ entries }: RecentList, key: string, ttl: number): RecentEntry | undefined {
  let oldest: RecentEntry | undefined;
  for (const entry of entries) {
    const same = entry.key === key && (ttl === 0 || entry.ttl === 0 || entry.ttl === ttl);
    if (same && (oldest === undefined || entry.born < oldest.born)) oldest = entry;
  }
  return oldest;
}

/** Does an address that is in the list answer yes? */
function entryHolds(match: RecentMatch, { stamps }: RecentEntry, since: number): boolean {
  if (match.operation === 'set' || match.operation === 'remove') return true;
  const counted = stamps.filter((at) => match.seconds === 0 || at >= since).length;
  return counted >= Math.max(1, match.hitcount);
}

function remove({ entries }: RecentList, entry: RecentEntry): void {
  const at = entries.indexOf(entry);
  if (at >= 0) entries.splice(at, 1);
}

/** `recent_entry_update`: the address is now the one seen last. */
function touch(list: RecentList, entry: RecentEntry, ttl: number, nowNs: number): void {
  entry.stamps.push(nowNs);
  if (entry.stamps.length > list.stamps) entry.stamps.shift();
  entry.ttl = ttl;
  remove(list, entry);
  list.entries.push(entry);
}

/** `recent_entry_reap`: the oldest address goes when even its last stamp is too old. */
function reapOldest(list: RecentList, since: number, updated: RecentEntry | null): void {
  const oldest = list.entries[0];
  if (oldest === undefined || oldest === updated) return;
  if ((oldest.stamps.at(-1) ?? since) < since) list.entries.shift();
}

/**
 * As it was before this host forwarded it; the host's own packets have a socket and count as is.
 */
function seenTtl(packet: Packet): number {
  const forwarded = packet.outDevice !== '' && packet.inDevice !== '';
  return (packetTtl(packet) + (forwarded ? 1 : 0)) & 0xff;
}

/** The masked address; one mask serves both families, IPv4 by its first word. */
function keyOf(match: RecentMatch, mask: Address, packet: Packet): string {
  const { w0, w1, w2, w3, family } = match.side === 'source' ? packet.src : packet.dst;
  if (mask.family !== family) return `${family} ${addressKey({ family, w0, w1, w2, w3 })}`;
  if (family === 4) return `4 ${(w3 & mask.w3) >>> 0}`;
  const words = [w0 & mask.w0, w1 & mask.w1, w2 & mask.w2, w3 & mask.w3];
  return `6 ${words.map((word) => word >>> 0).join(' ')}`;
}
