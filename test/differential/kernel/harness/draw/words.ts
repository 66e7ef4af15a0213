/**
 * The small world that rules and packets are drawn from, so that they meet often.
 * @module
 */
import type { Family } from '../../../../../src/wire/address/address.ts';
import type { Place } from './places.ts';

export const PORTS: readonly number[] = [53, 80, 81, 443, 40000, 40001];
/** tcp, udp, sctp, icmp or icmpv6, gre. */
export const PROTOCOLS: Readonly<Record<Family, readonly number[]>> = {
  4: [6, 6, 6, 17, 17, 132, 1, 47],
  6: [6, 6, 6, 17, 17, 132, 58, 47],
};
export const MARKS: readonly number[] = [0, 1, 2, 3, 0x400, 0x4000];

export interface Words {
  readonly addresses: Readonly<Record<Family, readonly string[]>>;
  readonly devices: readonly string[];
  readonly macs: readonly string[];
  readonly place: Place;
}

export function wordsOf(place: Place): Words {
  const of = (family: Family) => [
    ...place.stations.flatMap((station) => station.addresses[family]),
    ...place.own[family],
    ...place.services[family],
  ];
  return {
    addresses: { 4: of(4), 6: of(6) },
    devices: place.devices,
    macs: place.stations.map((station) => station.mac),
    place,
  };
}
