/**
 * Which shard a connection belongs to: connections of different shards never meet in any state that
 * a host keeps, so that they can be judged apart (SEMANTICS B1, B2).
 *
 * A shard is a function of the two ends alone, whichever way packets go, and translation does not
 * change it: an address and port that a Service translates stands for all that it is translated
 * into, and they for it.
 *
 *   pod 10.1.0.4:40000 ──► 10.0.0.10:80 ──► 10.1.0.7:8080      one shard: both servers are one end
 *   pod 10.1.0.4:40000 ──────────────────► 10.1.0.7:8080       the same: their answers could clash
 *
 * Everything whose source can be translated, or that meets what is, is in shard 0, which is judged
 * in order by one: rivals for ports, and mappings that a client's port was given before. That is:
 * ends that are neither pods nor known addresses of Services; Services that are reached from
 * outside (node ports, load balancers), that keep clients (session affinity), or have endpoints
 * that are no pods; a Service's own pods as its clients (kube-proxy hides them from themselves).
 *
 * Ports of later fragments may be unknown, and defragmentation does not look at them: a protocol of
 * an address that was seen in fragments is judged as a whole.
 * @module
 */
import type { AddressPlan } from '../cluster/address/address-plan.ts';
import type { Cluster, EndpointSlice, Service, ServicePort } from '../cluster/model.ts';
import type { TranslatedEnd } from '../lab/lane/native-strangers.ts';
import { fragmentKey } from '../lab/traffic/tuple-census.ts';
import { hash31 } from '../node/match/memory/draws.ts';
import { type Address, addressKey } from '../wire/address/address.ts';
import { protocolNumber } from '../wire/protocol.ts';

/** Shards, whatever the number of workers; the first is the ordered one. */
export const SHARDS = 65;
export const ORDERED = 0;

/** Two ends of a packet; ports null where it has none, or none that can be seen. */
export interface TupleEnds {
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number | null;
  readonly dport: number | null;
}

/** Addresses and ports that are translated into each other. */
class Group {
  readonly name: string;
  readonly addresses = new Set<string>();
  /** Its connections are judged in order. */
  ordered = false;

  constructor(name: string) {
    this.name = name;
  }
}

interface End {
  readonly name: string;
  readonly group: Group | null;
}

export interface ShardsInput {
  readonly cluster: Cluster;
  readonly addresses: AddressPlan;
  /** Services put their own address in the place of clients that are pods. */
  readonly clientsHidden: boolean;
  /** `fragmentKey` of each protocol and address that was seen in fragments. */
  readonly fragmented: ReadonlySet<string>;
}

export class Shards {
  readonly #addresses: AddressPlan;
  readonly #fragmented: ReadonlySet<string>;
  /** By protocol, port and address. */
  readonly #groups = new Map<string, Group>();
  /** Protocols of addresses that are in some group. */
  readonly #grouped = new Set<string>();

  /** By protocol, port and address. */
  readonly #ends = new Map<string, TranslatedEnd>();
  readonly #clientsHidden: boolean;

  constructor({ cluster, addresses, fragmented, clientsHidden }: ShardsInput) {
    this.#clientsHidden = clientsHidden;
    this.#addresses = addresses;
    this.#fragmented = fragmented;
    const slices = new Map<string, EndpointSlice[]>();
    for (const slice of cluster.endpointSlices) {
      const name = `${slice.namespace}/${slice.service}`;
      slices.set(name, [...(slices.get(name) ?? []), slice]);
    }
    for (const service of cluster.services) {
      const own = slices.get(`${service.namespace}/${service.name}`) ?? [];
      for (const port of service.ports) this.#addPort(own, service, port);
    }
    for (const pod of cluster.pods) {
      for (const { hostPort, containerPort, protocol } of pod.ports) {
        if (hostPort === undefined) continue;
        const number = protocolNumber(protocol) ?? 0;
        for (const address of pod.addresses) {
          this.#join(number, [[address, containerPort]]).ordered = true;
        }
      }
    }
  }

  /** The shard of a tuple; equal for both directions, before and after translation. */
  of(protocol: number, { src, sport, dst, dport }: TupleEnds): number {
    const a = this.#end(protocol, src, sport);
    const b = this.#end(protocol, dst, dport);
    if (a === null || b === null || meet(a, b)) return ORDERED;
    const [low, high] = a.name < b.name ? [a, b] : [b, a];
    return 1 + (hash31(`${low.name}|${high.name}`) % (SHARDS - 1));
  }

  /** Ends that some Service translates: of all others the port does not matter to `of`. */
  translatedEnds(): Iterable<TranslatedEnd> {
    return this.#ends.values();
  }

  /** What an end is to translation; null when it must be judged in order. */
  #end(protocol: number, address: Address, port: number | null): End | null {
    const key = addressKey(address);
    const whole = fragmentKey(protocol, address);
    if (this.#grouped.has(whole)) {
      if (this.#fragmented.has(whole)) return null;
      const group = port === null ? undefined : this.#groups.get(groupKey(protocol, key, port));
      if (group?.ordered) return null;
      if (group !== undefined) return { name: group.name, group };
    }
    const [owner, ...others] = this.#addresses.ownersOf(address);
    const isPod = owner?.kind === 'pod' && !owner.pod.hostNetwork && others.length === 0;
    return isPod ? { name: key, group: null } : null;
  }

  #addPort(slices: readonly EndpointSlice[], service: Service, port: ServicePort): void {
    const ends = service.clusterIps.map((address) => [address, port.port] as const);
    const backends = slices.flatMap((slice) =>
      slice.ports
        .filter((p) => p.name === port.name && p.protocol === port.protocol && p.port !== null)
        .flatMap((p) =>
          slice.endpoints.flatMap((e) => e.addresses.map((a) => [a, p.port] as const)),
        ),
    );
    const all = [...ends, ...backends].flatMap(([address, number]) =>
      number === null ? [] : [[address, number] as const],
    );
    if (service.headless || all.length === 0) return;
    const group = this.#join(protocolNumber(port.protocol) ?? 0, all);
    const arePods = backends.every(([address]) => this.#isPod(address));
    group.ordered ||= !arePods || isReachedFromOutside(service, port);
    group.ordered ||= service.sessionAffinitySeconds !== null || this.#clientsHidden;
  }

  #isPod(address: Address): boolean {
    const owners = this.#addresses.ownersOf(address);
    const [owner] = owners;
    return owners.length === 1 && owner?.kind === 'pod' && !owner.pod.hostNetwork;
  }

  /** One group of all these ends and of the groups that they are in already. */
  #join(protocol: number, ends: readonly (readonly [Address, number])[]): Group {
    const keys = ends.map(([address, port]) => groupKey(protocol, addressKey(address), port));
    const group = new Group(`=${keys[0] ?? ''}`);
    for (const [address] of ends) {
      const whole = fragmentKey(protocol, address);
      group.addresses.add(addressKey(address));
      group.ordered ||= this.#fragmented.has(whole);
      this.#grouped.add(whole);
    }
    const before = new Set(keys.flatMap((key) => this.#groups.get(key) ?? []));
    for (const other of before) {
      group.ordered ||= other.ordered;
      for (const address of other.addresses) group.addresses.add(address);
    }
    for (const [key, known] of before.size === 0 ? [] : this.#groups) {
      if (before.has(known)) this.#groups.set(key, group);
    }
    for (const key of keys) this.#groups.set(key, group);
    for (const [i, [address, port]] of ends.entries()) {
      this.#ends.set(keys[i] ?? '', { protocol, address, port });
    }
    return group;
  }
}

function groupKey(protocol: number, address: string, port: number): string {
  return String.fromCharCode(protocol, port) + address;
}

/** Whether an address stands at both ends: what is translated there may hide its source. */
function meet(a: End, b: End): boolean {
  if (a.group === null) return b.group === null ? a.name === b.name : b.group.addresses.has(a.name);
  if (b.group === null) return a.group.addresses.has(b.name);
  for (const address of a.group.addresses) if (b.group.addresses.has(address)) return true;
  return false;
}

function isReachedFromOutside(service: Service, port: ServicePort): boolean {
  const { type, externalIps, loadBalancerIps, loadBalancerIngress } = service;
  const addresses = [...externalIps, ...loadBalancerIps, ...loadBalancerIngress];
  return type !== 'ClusterIP' || port.nodePort !== undefined || addresses.length > 0;
}
