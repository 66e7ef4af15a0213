/**
 * xt_hashlimit by packets: a bucket for every address and port that the table tells apart.
 *
 * Source: net/netfilter/xt_hashlimit.c `hashlimit_mt_common`, `hashlimit_init_dst`,
 * `rateinfo_recalc`, `htable_create`, `htable_gc` (Linux 6.18). Jiffies are not emulated: times are
 * exact. A bucket whose time is up is full again once the collector has looked, which it does at
 * times of its own; between, a packet for which that decides has no answer. Compared with the
 * kernel by test/differential/kernel/stateful.test.ts.
 * @module
 */
import { hashlimitBucket } from '../../../netfilter/limit-bucket.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { transportOffset } from '../../../packet/parse.ts';
import { type Address, addressKey, bits, maskAddress } from '../../../wire/address/address.ts';
import { u16 } from '../../../wire/bytes.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { type Answer, answer } from '../answer.ts';
import { type Bucket, type HashlimitTable, memoryOf } from './rule-memory.ts';

export type HashlimitMatch = Extract<Match, { kind: 'hashlimit' }>;

const NS_PER_MS = 1e6;
const US_PER_S = 1e6;
/** Buckets of a host with more than 1 GB of memory, and how full each may get. */
const DEFAULT_SIZE = 8192;
const PER_SIZE = 8;

export function matchHashlimit(ctx: WalkContext, match: HashlimitMatch, packet: Packet): Answer {
  const table = tableOf(ctx, match, packet);
  const key = bucketKey(table.rule, packet);
  if (key === null) return 'hotdrop';
  if (key === 'cut') return 'cut';
  const { cost, full } = hashlimitBucket(table.rule);
  const before = table.buckets.get(key);
  if (before === undefined && !hasRoom(table, ctx.nowNs)) return 'hotdrop';
  const bucket = refilled(table, before, full, ctx.nowNs);
  const surely = bucket.least >= cost;
  const perhaps = bucket.most >= cost;
  table.buckets.set(key, {
    least: surely ? bucket.least - cost : bucket.least,
    most: perhaps ? bucket.most - cost : bucket.most,
    atNs: ctx.nowNs,
  });
  return surely === perhaps ? answer(surely !== match.above) : 'unanswerable';
}

/** What a bucket holds by now: what it gained, or all when it was over and swept. */
function refilled(
  { rule }: HashlimitTable,
  before: Bucket | undefined,
  full: number,
  nowNs: number,
): Bucket {
  const overNs = before === undefined ? 0 : before.atNs + expireNs(rule);
  const sweptNs = overNs + (rule.gcInterval ?? DEFAULT_GC_MS) * NS_PER_MS;
  if (before === undefined || nowNs >= sweptNs) return { least: full, most: full, atNs: nowNs };
  const gained = (credit: number) => Math.min(full, credit + nowNs - before.atNs);
  const most = nowNs >= overNs ? full : gained(before.most);
  return { least: gained(before.least), most, atNs: nowNs };
}

function tableOf(ctx: WalkContext, match: HashlimitMatch, packet: Packet): HashlimitTable {
  const { hashlimits } = memoryOf(ctx);
  const name = `${packet.family} ${match.name}`;
  const known = hashlimits.get(name);
  if (known !== undefined) return known;
  const named = ctx.image.program.rules
    .filter((rule) => rule.address.family === packet.family)
    .flatMap((rule) => rule.matches.map((linked) => linked.match))
    .find((m): m is HashlimitMatch => m.kind === 'hashlimit' && m.name === match.name);
  const table: HashlimitTable = { rule: named ?? match, buckets: new Map() };
  hashlimits.set(name, table);
  return table;
}

/** XT_HASHLIMIT_GCINTERVAL. */
const DEFAULT_GC_MS = 1000;

/** A bucket lives on for this long after the last packet of its own. */
function expireNs(rule: HashlimitMatch): number {
  return (rule.expire ?? defaultExpireMs(rule.interval)) * NS_PER_MS;
}

/** libxt_hashlimit.c `hashlimit_mt_check`: the unit of the rate, as it is printed. */
function defaultExpireMs(intervalUs: number): number {
  let unit = 86_400;
  for (const seconds of [86_400, 3600, 60, 1]) {
    const ticks = seconds * US_PER_S;
    if (intervalUs > ticks || Math.floor(ticks / intervalUs) < ticks % intervalUs) break;
    unit = seconds;
  }
  return unit * 1000;
}

function hasRoom(table: HashlimitTable, nowNs: number): boolean {
  const { rule, buckets } = table;
  const size = rule.size || DEFAULT_SIZE;
  const max = rule.max ? Math.max(rule.max, size) : PER_SIZE * size;
  if (buckets.size < max) return true;
  for (const [key, { atNs }] of buckets) if (nowNs - atNs >= expireNs(rule)) buckets.delete(key);
  return buckets.size < max;
}

/** What the table tells apart; null when the packet has no ports to read. */
function bucketKey(rule: HashlimitMatch, packet: Packet): string | 'cut' | null {
  const { modes } = rule;
  const parts: string[] = [];
  if (modes.includes('srcip')) parts.push(`s${netKey(packet.src, rule.sourceLength)}`);
  if (modes.includes('dstip')) parts.push(`d${netKey(packet.dst, rule.destinationLength)}`);
  if (modes.includes('srcport') || modes.includes('dstport')) {
    const found = ports(packet);
    if (found === null || found === 'cut') return found;
    if (modes.includes('srcport')) parts.push(`p${found.source}`);
    if (modes.includes('dstport')) parts.push(`q${found.destination}`);
  }
  return parts.join(' ');
}

function netKey(address: Address, length: number): string {
  return addressKey(maskAddress(address, Math.min(length, bits(address.family))));
}

/** `proto_ports_offset`: where protocols keep what is like ports. */
const PORTS_AT: ReadonlyMap<number, number> = new Map([
  [Protocol.tcp, 0],
  [Protocol.udp, 0],
  [Protocol.dccp, 0],
  [Protocol.sctp, 0],
  [Protocol.udplite, 0],
  [Protocol.esp, 0],
  [Protocol.ah, 4],
]);

/**
 * Later IPv4 fragments are read as if they had a header: the module does not ask; IPv6 has none.
 */
function ports(
  packet: Packet,
): { readonly source: number; readonly destination: number } | 'cut' | null {
  const offset = PORTS_AT.get(packet.protocol);
  const isLater = packet.family === 6 && packet.fragmentOffset > 0;
  if (offset === undefined || isLater) return { source: 0, destination: 0 };
  const start = transportOffset(packet);
  if (typeof start === 'string') return start === 'headerCut' ? 'cut' : null;
  const at = start + offset;
  if (at + 4 > packet.end) return null;
  if (at + 4 > packet.bytes.length) return 'cut';
  return { source: u16(packet.bytes, at), destination: u16(packet.bytes, at + 2) };
}
