/**
 * Whose address is it: a pod, a node, a Service, the outside, or nobody's.
 * @module
 */
import type { AddressPlan } from '../cluster/address/address-plan.ts';
import { hasUnknownEndpoints } from '../cluster/api-server.ts';
import type { Cluster, Node, Pod, Service } from '../cluster/model.ts';
import {
  type Address,
  addressKey,
  contains,
  type Prefix,
  parsePrefix,
} from '../wire/address/address.ts';
import type { UnknownReason } from '../wire/drop-reason.ts';
import type { EntryPoint, Locate, Location } from './entry.ts';
import { ServicePorts } from './service-ports.ts';

/**
 * Where an address belongs. `edge`: outside the cluster, behind the fabric. `endpoint`: somebody
 * behind a device of a dumped node. `service`: an address that nobody has and that translation
 * answers for; it sends nothing itself. `entry` is where its packets enter, when it is not a host
 * of its own.
 */
export type Place =
  | {
      readonly kind: 'pod';
      readonly name: string;
      readonly pod: Pod;
      readonly entry?: EntryPoint;
    }
  | {
      readonly kind: 'node';
      readonly name: string;
      readonly node: Node;
      readonly entry?: EntryPoint;
    }
  | { readonly kind: 'endpoint'; readonly name: string; readonly entry: EntryPoint }
  | { readonly kind: 'service'; readonly name: string; readonly service: Service }
  | { readonly kind: 'edge'; readonly name: null }
  | { readonly kind: 'unplaced'; readonly name: null; readonly reason: UnknownReason };

const EDGE: Place = { kind: 'edge', name: null };

function unplaced(reason: UnknownReason): Place {
  return { kind: 'unplaced', name: null, reason };
}

function prefixes(...texts: string[]): readonly Prefix[] {
  return texts.flatMap((text) => parsePrefix(text) ?? []);
}

/** RFC 6890: addresses that no unicast packet on a network carries. */
const MULTICAST = prefixes('224.0.0.0/4', '255.255.255.255/32', 'ff00::/8');
const LOOPBACK = prefixes('127.0.0.0/8', '::1/128');
const UNSPECIFIED = prefixes('0.0.0.0/8', '::/128');
const LINK_LOCAL6 = prefixes('fe80::/10');

function isIn(ranges: readonly Prefix[], address: Address): boolean {
  return ranges.some((range) => contains(range, address));
}

/** Where packets of a located address enter; null when the tables can not tell. */
function entryOf(found: Location): EntryPoint | null {
  switch (found.kind) {
    case 'node':
      return { as: 'local', host: found.host };
    case 'endpoint':
      return found.entry;
    case 'outside':
      return { as: 'edge' };
    case 'ambiguous':
    case 'nobody':
    case 'missing':
      return null;
  }
}

/** Places remembered; beyond that all are forgotten. */
const MOST_PLACES = 65_536;

/** Places of addresses in one cluster. */
export class Identities {
  readonly #plan: AddressPlan;
  readonly #cluster: Cluster;
  readonly #ports: ServicePorts;
  readonly #locate: Locate | null;

  /** By address, IPv4 as a number. */
  readonly #known = new Map<number | string, Place>();
  readonly #hides: (node: Node, destination: Address) => boolean;

  /**
   * `locate`: dumps of nodes, which say themselves where an address is. `hides`: whether a node
   * puts its address in the place of its pods' towards a destination outside.
   */
  constructor(
    cluster: Cluster,
    plan: AddressPlan,
    locate: Locate | null = null,
    hides: (node: Node, destination: Address) => boolean = () => false,
  ) {
    this.#hides = hides;
    this.#locate = locate;
    this.#cluster = cluster;
    this.#plan = plan;
    this.#ports = new ServicePorts(cluster);
  }

  /** Whether places are told by the tables of dumped nodes. */
  get isDumped(): boolean {
    return this.#locate !== null;
  }

  /** Where the address belongs; `unplaced` says why no host can be named. */
  placeOf(address: Address): Place {
    const name = address.family === 4 ? address.w3 : addressKey(address);
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#known.size >= MOST_PLACES) this.#known.clear();
    const place = this.#find(address);
    this.#known.set(name, place);
    return place;
  }

  #find(address: Address): Place {
    if (isIn(MULTICAST, address)) return unplaced('multicast');
    if (isIn(LOOPBACK, address)) return unplaced('loopback');
    if (isIn(UNSPECIFIED, address) || isIn(LINK_LOCAL6, address)) return unplaced('linkLocal');
    const owners = this.#plan.ownersOf(address);
    const pods = owners.flatMap((o) => (o.kind === 'pod' && !o.pod.hostNetwork ? [o.pod] : []));
    const nodes = owners.flatMap((o) => (o.kind === 'node' ? [o.node] : []));
    if (pods.length + nodes.length > 1) return unplaced('ambiguousAddress');
    if (this.#locate) return this.#located(address, this.#locate(address), pods[0], nodes[0]);
    const [pod] = pods;
    if (pod) return { kind: 'pod', name: `pod/${pod.namespace}/${pod.name}`, pod };
    const [node] = nodes;
    if (node) return { kind: 'node', name: `node/${node.name}`, node };
    const service = this.#serviceOf(address);
    if (service !== null) return service;
    return owners.some((owner) => owner.kind === 'unowned') ? unplaced('addressUnowned') : EDGE;
  }

  /** A place by the tables of dumped nodes, with the name that cluster objects give it. */
  #located(address: Address, found: Location, pod: Pod | undefined, node: Node | undefined): Place {
    const entry = entryOf(found);
    if (pod && entry) return { kind: 'pod', name: `pod/${pod.namespace}/${pod.name}`, pod, entry };
    if (node && entry) return { kind: 'node', name: `node/${node.name}`, node, entry };
    switch (found.kind) {
      case 'node': {
        const host = this.#cluster.nodes.find(({ name }) => name === found.host);
        return host ? { kind: 'node', name: `node/${host.name}`, node: host } : EDGE;
      }
      case 'endpoint':
        return found;
      case 'outside':
        return this.#serviceOf(address) ?? EDGE;
      case 'ambiguous':
        return unplaced('ambiguousAddress');
      case 'nobody':
        return this.#serviceOf(address) ?? unplaced('addressUnowned');
      case 'missing':
        return unplaced('dumpIncomplete');
    }
  }

  /**
   * Where the sender of an opening belongs. A virtual address opens nothing: one that lies in a
   * service range which was only guessed, and that no Service has, is an ordinary outside address.
   */
  openerOf(address: Address): Place {
    const place = this.placeOf(address);
    if (place.kind === 'service') return unplaced('noSender');
    const isGuess =
      place.kind === 'unplaced' &&
      place.reason === 'addressUnowned' &&
      this.#cluster.wiring.inferred &&
      this.#plan
        .ownersOf(address)
        .some((owner) => owner.kind === 'unowned' && owner.range === 'serviceCidr');
    return isGuess ? EDGE : place;
  }

  /** The Service whose address it is; null when it is no Service's. */
  #serviceOf(address: Address): Place | null {
    for (const owner of this.#plan.ownersOf(address)) {
      if (owner.kind !== 'service') continue;
      return this.placeOfService(owner.service);
    }
    return null;
  }

  /** A Service as an end; dumped nodes have rules for endpoints that the objects do not tell. */
  placeOfService(service: Service): Place {
    if (this.#locate === null && hasUnknownEndpoints(this.#cluster, service)) {
      return unplaced('endpointsUnknown');
    }
    return { kind: 'service', name: `svc/${service.namespace}/${service.name}`, service };
  }

  /** Whether a node would hand this port to a Service; `protocol` in lower case. */
  isNodePort(protocol: string, port: number): boolean {
    return this.#ports.isNodePort(protocol, port);
  }

  /** Whether clients outside reach this port of a pod through a node that hides them. */
  isExposed(pod: Pod, protocol: string, port: number): boolean {
    return this.#ports.isExposed(pod, protocol, port);
  }

  /** Whether a node masquerades what its pods send to `destination`, outside the cluster. */
  isMasqueraded(node: Node, destination: Address): boolean {
    const { masquerade } = this.#cluster.wiring;
    if (masquerade != null && !isIn(masquerade.nonMasqueradeCidrs, destination)) return true;
    return this.#hides(node, destination);
  }
}
