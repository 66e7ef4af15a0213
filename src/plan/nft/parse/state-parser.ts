/**
 * Counters, limits and quotas of nft, in rules, in sets and as objects.
 *
 * Source: nftables 1.0.6 src/parser_bison.y `counter_args`, `limit_args`, `quota_args`.
 * @module
 */
import type { NftLimit, NftQuota, StatefulStatement } from '../../../netfilter/nft/statement.ts';
import type { Cursor } from './cursor.ts';

const SECONDS: Readonly<Record<string, number>> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86_400,
  week: 604_800,
};

const SIZES: Readonly<Record<string, number>> = {
  bytes: 1,
  kbytes: 1024,
  mbytes: 1024 * 1024,
};

/** NFT_LIMIT_PKT_BURST_DEFAULT (net/netfilter/nft_limit.c). */
export const DEFAULT_BURST = 5;

/** `counter …`, `limit …` or `quota …` from its first word on. */
export function parseState(at: Cursor): StatefulStatement {
  const word = at.word('counter, limit or quota');
  if (word === 'limit') return { kind: 'limit', limit: parseLimit(at) };
  if (word === 'quota') return { kind: 'quota', quota: parseQuota(at) };
  return { kind: 'counter', counter: parseCounts(at) };
}

/** `packets N bytes N`, or nothing. */
export function parseCounts(at: Cursor): { readonly packets: number; readonly bytes: number } {
  if (!at.takes('packets')) return { packets: 0, bytes: 0 };
  const packets = at.number('a number of packets');
  at.expect('bytes');
  return { packets, bytes: at.number('a number of bytes') };
}

/** `rate [over] 5/second [burst 5 packets]`. */
export function parseLimit(at: Cursor): NftLimit {
  at.expect('rate');
  const over = at.takes('over');
  if (!over) at.takes('until');
  const text = at.word('a rate');
  const packets = /^(\d+)\/(\w+)$/.exec(text);
  const per = packets === null ? /^(\w+)\/(\w+)$/.exec(at.word('a unit of bytes')) : null;
  const seconds = SECONDS[packets?.[2] ?? per?.[2] ?? ''];
  const size = packets === null ? SIZES[per?.[1] ?? ''] : 1;
  const count = Number(packets?.[1] ?? (/^\d+$/.test(text) ? text : Number.NaN));
  const rate = count * (size ?? Number.NaN);
  if (seconds === undefined || !Number.isSafeInteger(rate) || rate === 0) {
    at.fail('not a rate', text, 'as 5/second or 10 kbytes/second');
  }
  const unit = packets === null ? 'bytes' : 'packets';
  return { rate, seconds, unit, burst: parseBurst(at, unit), over };
}

function parseBurst(at: Cursor, unit: NftLimit['unit']): number {
  if (!at.takes('burst')) return unit === 'packets' ? DEFAULT_BURST : 0;
  const count = at.number('a burst');
  const word = at.word('packets or bytes');
  if (unit === 'packets' && word === 'packets') return count === 0 ? DEFAULT_BURST : count;
  const size = unit === 'bytes' ? SIZES[word] : undefined;
  if (size === undefined) at.fail('not the unit of this rate', word);
  return count * size;
}

/** `[over] 25 mbytes [used 4 bytes]`. */
export function parseQuota(at: Cursor): NftQuota {
  const over = at.takes('over');
  if (!over) at.takes('until');
  const bytes = parseBytes(at);
  return { bytes, used: at.takes('used') ? parseBytes(at) : 0, over };
}

function parseBytes(at: Cursor): number {
  const count = at.number('a number of bytes');
  const unit = at.word('bytes, kbytes or mbytes');
  const size = SIZES[unit];
  if (size === undefined) at.fail('not a unit of bytes', unit, 'bytes, kbytes or mbytes');
  return count * size;
}
