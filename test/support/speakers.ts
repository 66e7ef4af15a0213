/**
 * Everybody in a cluster, and whom one names outside, as those who speak in drawn traffic.
 * @module
 */
import type { Injection } from '../../src/engine/engine.ts';
import type { World } from '../../src/lab/world.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import type { Place, Speaker } from './drawn-traffic.ts';
import { address } from './packets.ts';

const NOWHEN = { frame: 0, nowNs: 0 };

/** A speaker for each address of pods, nodes and others; packets enter where the world says. */
export function speakersOf(world: World, others: readonly string[]): readonly Speaker[] {
  const { pods, nodes } = world.cluster;
  const own = [...pods, ...nodes].flatMap(({ addresses }) => addresses.map(formatAddress));
  return [...new Set([...own, ...others])].map((text) => {
    const place = world.identities.placeOf(address(text));
    return {
      address: text,
      enter: (packet) => {
        const { frame: _f, nowNs: _n, ...at } = world.injectAt(place, packet, NOWHEN);
        return at as Injection as Place;
      },
    };
  });
}
