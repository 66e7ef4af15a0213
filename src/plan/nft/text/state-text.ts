/**
 * Counters, limits and quotas as nft prints them.
 *
 * Source: nftables 1.0.6 src/statement.c `counter_stmt_print`, `limit_stmt_print`,
 * `quota_stmt_print`.
 * @module
 */
import type { NftLimit, NftQuota, StatefulStatement } from '../../../netfilter/nft/statement.ts';
import { DEFAULT_BURST } from '../parse/state-parser.ts';

export function stateText(statement: StatefulStatement): string {
  switch (statement.kind) {
    case 'counter': {
      const { packets, bytes } = statement.counter;
      return `counter packets ${packets} bytes ${bytes}`;
    }
    case 'limit':
      return `limit ${limitText(statement.limit)}`;
    case 'quota':
      return `quota ${quotaText(statement.quota)}`;
  }
}

const UNITS: Readonly<Record<number, string>> = {
  1: 'second',
  60: 'minute',
  3600: 'hour',
  86400: 'day',
  604800: 'week',
};

export function limitText({ rate, seconds, unit, burst, over }: NftLimit): string {
  const per = UNITS[seconds] ?? 'second';
  const head = over ? 'rate over' : 'rate';
  if (unit === 'packets') {
    const behind = burst === DEFAULT_BURST ? '' : ` burst ${burst} packets`;
    return `${head} ${rate}/${per}${behind}`;
  }
  const behind = burst === 0 ? '' : ` burst ${sizeText(burst)}`;
  return `${head} ${sizeText(rate)}/${per}${behind}`;
}

export function quotaText({ bytes, used, over }: NftQuota): string {
  const behind = used === 0 ? '' : ` used ${sizeText(used)}`;
  return `${over ? 'over ' : ''}${sizeText(bytes)}${behind}`;
}

/** The largest unit that divides it. */
function sizeText(bytes: number): string {
  if (bytes > 0 && bytes % (1024 * 1024) === 0) return `${bytes / (1024 * 1024)} mbytes`;
  if (bytes > 0 && bytes % 1024 === 0) return `${bytes / 1024} kbytes`;
  return `${bytes} bytes`;
}
