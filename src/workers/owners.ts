/**
 * Which worker judges which shard: as much traffic to each as can be told from who talks with whom.
 * It is a question of time only; what is judged is the same whoever does it.
 * @module
 */
import type { Identities } from '../lab/identity.ts';
import type { PairCount } from '../lab/traffic/mapping.ts';
import { type Address, addressKey } from '../wire/address/address.ts';
import { ORDERED, SHARDS, type Shards } from './shards.ts';

/** The least that a shard counts, of all packets: of shards without traffic each gets as many. */
const LEAST = 1e-6;

/** The parts of the traffic that are in each shard, of 1, as far as one can tell from its pairs. */
export function weightsOf(
  shards: Shards,
  identities: Pick<Identities, 'placeOf'>,
  pairs: readonly PairCount[],
): readonly number[] {
  const weights = new Float64Array(SHARDS);
  const kinds = new Map<string, string>();
  const kindOf = (address: Address): string => {
    const key = addressKey(address);
    const kind = kinds.get(key) ?? identities.placeOf(address).kind;
    kinds.set(key, kind);
    return kind;
  };
  let all = 0;
  for (const { a, b, packets } of pairs) {
    all += packets;
    const ends = [kindOf(a), kindOf(b)];
    if (ends.includes('service') && ends.every((kind) => kind === 'pod' || kind === 'service')) {
      // Which of its backends, and so which shard, its port says.
      for (let shard = 1; shard < SHARDS; shard++) add(weights, shard, packets / (SHARDS - 1));
      continue;
    }
    add(weights, shards.of(0, { src: a, dst: b, sport: null, dport: null }), packets);
  }
  return Array.from(weights, (weight) => (all === 0 ? 0 : weight / all));
}

function add(weights: Float64Array, shard: number, packets: number): void {
  weights[shard] = (weights[shard] ?? 0) + packets;
}

/**
 * The worker of each shard: the largest first, each to who has least. The ordered shard is the
 * first worker's.
 */
export function ownersOf(workers: number, weights: readonly number[]): readonly number[] {
  const weightOf = (shard: number) => (weights[shard] ?? 0) + LEAST;
  const owners = Array.from({ length: SHARDS }, () => 0);
  const loads = Array.from({ length: workers }, () => 0);
  loads[0] = weightOf(ORDERED);
  const rest = owners.map((_, shard) => shard).filter((shard) => shard !== ORDERED);
  rest.sort((a, b) => weightOf(b) - weightOf(a) || a - b);
  for (const shard of rest) {
    const owner = loads.indexOf(Math.min(...loads));
    owners[shard] = owner;
    loads[owner] = (loads[owner] ?? 0) + weightOf(shard);
  }
  return owners;
}
