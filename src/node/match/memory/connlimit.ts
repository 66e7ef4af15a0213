/**
 * Matches that count connections, and packets of connections: connlimit, connbytes, quota.
 *
 * Source: net/netfilter/nf_conncount.c `__nf_conncount_add`, `find_or_evict`, xt_connlimit.c
 * `connlimit_mt`, xt_connbytes.c `connbytes_mt`, xt_quota.c `quota_mt` (Linux 6.18). Packets run
 * one at a time on one CPU, each in an instant of its own. Compared with the kernel by
 * test/differential/kernel/stateful.test.ts.
 * @module
 */
import type { Connection } from '../../../conntrack/connection.ts';
import { equalTuple, type Tuple, tupleAt } from '../../../conntrack/tuple.ts';
import type { FurtherMatch } from '../../../netfilter/further-match.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { CtZone, Packet } from '../../../packet/packet.ts';
import { addressKey, bits, maskAddress } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { type Answer, answer } from '../answer.ts';
import { connectionOf } from '../host/conntrack.ts';
import { transportHeader } from '../packet/transport.ts';
import { keyOf, type MatchPlace } from '../place.ts';
import { memoryOf } from './rule-memory.ts';

/** A connection that a connlimit rule has seen. */
export interface CountedConnection {
  readonly tuple: Tuple;
  readonly zone: CtZone | null;
}

type Connlimit = Extract<Match, { kind: 'connlimit' }>;

export function matchConnlimit(
  ctx: WalkContext,
  match: Connlimit,
  place: MatchPlace,
  packet: Packet,
): Answer {
  const { table } = ctx;
  if (table === undefined) return 'unanswerable';
  const own = connectionOf(packet) as Connection | null;
  const tuple = own === null ? packetTuple(packet) : own.original;
  if (tuple === null) return 'hotdrop';
  if (tuple === 'cut') return 'cut';
  const zone = own?.zone ?? null;
  const { connlimits } = memoryOf(ctx);
  const address = match.side === 'source' ? packet.src : packet.dst;
  const length = Math.min(match.maskLength, bits(address.family));
  const key = `${keyOf(place)} ${zone?.id ?? 0} ${addressKey(maskAddress(address, length))}`;
  const living = (one: CountedConnection) =>
    table.lookup(one.tuple, ctx.nowNs, one.zone)?.connection ?? null;
  const counted = counting(connlimits.get(key) ?? [], { tuple, zone }, living);
  connlimits.set(key, counted);
  return answer(counted.length > match.limit === match.above);
}

/** CONNCOUNT_GC_MAX_NODES: more than so many dead ones are not swept at once. */
const SWEPT_AT_ONCE = 8;

/**
 * The list after one more packet: dead and closed connections go, in order, until the packet's own
 * is found; those behind it stay and count.
 */
function counting(
  list: readonly CountedConnection[],
  own: CountedConnection,
  living: (one: CountedConnection) => Connection | null,
): CountedConnection[] {
  const kept: CountedConnection[] = [];
  let swept = 0;
  for (const [i, one] of list.entries()) {
    if (swept > SWEPT_AT_ONCE) return [...kept, ...list.slice(i), own];
    const found = living(one);
    if (found !== null && equalTuple(one.tuple, own.tuple)) return [...kept, ...list.slice(i)];
    if (found === null || isClosed(found)) swept += 1;
    else kept.push(one);
  }
  return [...kept, own];
}

/** `already_closed`. */
function isClosed({ tracking }: Connection): boolean {
  return tracking.kind === 'tcp' && (tracking.state === 'timeWait' || tracking.state === 'close');
}

function packetTuple(packet: Packet): Tuple | 'cut' | null {
  const at = transportHeader(packet, 0);
  if (typeof at !== 'number') return at === 'cut' ? 'cut' : null;
  const tuple = tupleAt(packet.bytes, at, packet.end, packet);
  return tuple === 'headerCut' ? 'cut' : tuple;
}

type Connbytes = Extract<FurtherMatch, { kind: 'connbytes' }>;

/** Packets without a connection never match, negated or not. */
export function matchConnbytes(match: Connbytes, packet: Packet): Answer {
  const connection = connectionOf(packet) as Connection | null;
  if (connection === null) return 'miss';
  const { traffic } = connection;
  if (traffic === null) return 'unanswerable';
  const { from, to, direction, mode, negate } = match;
  const sides = direction === 'both' ? [traffic.original, traffic.reply] : [traffic[direction]];
  const packets = sides.reduce((sum, side) => sum + side.packets, 0);
  const bytes = sides.reduce((sum, side) => sum + side.bytes, 0);
  const found = { packets, bytes, avgpkt: packets === 0 ? 0 : Math.floor(bytes / packets) }[mode];
  return answer((found >= from && (to === undefined || found <= to)) !== negate);
}

/** The first packet that is more than what is left takes all of it. */
export function quotaHolds(
  ctx: WalkContext,
  match: Extract<FurtherMatch, { kind: 'quota' }>,
  place: MatchPlace,
  packet: Packet,
): boolean {
  const { quotas } = memoryOf(ctx);
  const left = quotas.get(keyOf(place)) ?? match.bytes;
  const length = packet.end - packet.l3;
  const within = left >= length;
  quotas.set(keyOf(place), within ? left - length : 0);
  return within !== match.negate;
}
