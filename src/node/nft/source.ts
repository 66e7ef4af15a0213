/**
 * Values that statements take: constants, what is read, what a map has for it.
 *
 * Source: net/netfilter/nft_immediate.c, nft_lookup.c `nft_lookup_eval`.
 * @module
 */
import type { Bounds, NftSource } from '../../image/nft/program.ts';
import { load, type Reading } from './load.ts';
import { metersHold, momentOf } from './memory.ts';
import type { Loaded } from './payload.ts';

/** One range for each part; a key that the map does not have ends the rule. */
export function fromSource(
  reading: Reading,
  source: NftSource,
): readonly Bounds[] | Exclude<Loaded, bigint> {
  if (source.kind === 'constant') return source.values;
  const values: bigint[] = [];
  for (const one of source.loads) {
    const value = load(reading, one);
    if (typeof value !== 'bigint') return value;
    values.push(value);
  }
  if (source.kind === 'loads') return values.map((value) => [value, value]);
  const { memory, ctx, packet } = reading;
  const found = source.set.find(values, momentOf(memory, ctx.nowNs));
  if (found?.data == null) return 'break';
  const moment = { nowNs: ctx.nowNs, length: packet.end - packet.l3 };
  const name = `${source.set.id} ${found.name}`;
  return metersHold(memory, name, found.meters, moment) ? found.data : 'break';
}
