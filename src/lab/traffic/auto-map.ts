/**
 * `--map auto`: which captured address becomes which pod, beside the pairs that were given.
 *
 * Loopback addresses count: a capture of a host talking to itself becomes a pod talking to itself.
 * Multicast and link-local addresses are nobody's and stay what they are.
 * @module
 */

import { type Address, addressKey } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import type { World } from '../world.ts';
import { AddressMap, assignAutomatically, type PairCount } from './mapping.ts';

/** Reasons for which an address has no place, and that a pod's address in its stead mends. */
const MAPPABLE: ReadonlySet<UnknownReason> = new Set(['addressUnowned', 'loopback']);

/** Pods that nobody was mapped to and that do not talk in the capture take the rest. */
export function autoMap(
  world: World,
  pairs: readonly PairCount[],
  given: readonly (readonly [Address, Address])[],
): readonly (readonly [Address, Address])[] {
  const map = new AddressMap(given);
  const busy = new Set([
    ...given.map(([, to]) => addressKey(to)),
    ...pairs.flatMap(({ a, b }) => [addressKey(a), addressKey(b)]),
  ]);
  const free = world.cluster.pods
    .filter((pod) => !pod.hostNetwork)
    .flatMap((pod) => pod.addresses)
    .filter((address) => !busy.has(addressKey(address)));
  return assignAutomatically(pairs, free, (address) => {
    const place = world.identities.placeOf(map.address(address));
    return place.kind === 'unplaced' ? !MAPPABLE.has(place.reason) : place.kind !== 'edge';
  });
}
