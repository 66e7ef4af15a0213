/**
 * Who has which address: the index from an address to what owns it in the cluster.
 *
 * A node's address belongs to the node and to every hostNetwork pod on it. Two running pods with
 * one address are refused when the cluster is loaded, so an address has one owner otherwise; a
 * finished pod (Succeeded, Failed) owns nothing, as its address may be in use again.
 * @module
 */
import type { Address, Prefix } from '../../wire/address/address.ts';
import { contains } from '../../wire/address/address.ts';
import { AddressMap } from '../../wire/address/address-map.ts';
import type { Cluster, Node, Pod, Service } from '../model.ts';

export type AddressOwner =
  | { readonly kind: 'pod'; readonly pod: Pod }
  | { readonly kind: 'node'; readonly node: Node }
  | {
      readonly kind: 'service';
      readonly service: Service;
      readonly role: 'clusterIp' | 'externalIp' | 'loadBalancerIp';
    }
  /** Inside a range of the cluster, and nobody's. */
  | {
      readonly kind: 'unowned';
      readonly range: 'serviceCidr' | 'podCidr' | 'subnet' | 'vnet';
      readonly prefix: Prefix;
    }
  | { readonly kind: 'external' };

export interface AddressPlan {
  /** Never empty: the node before the hostNetwork pods on it; `unowned` or `external` alone. */
  ownersOf(address: Address): readonly AddressOwner[];
  /** Pods by `NAMESPACE/NAME`. */
  readonly podsByName: ReadonlyMap<string, Pod>;
  findPod(namespace: string, name: string): Pod | undefined;
  findNode(name: string): Node | undefined;
  findService(namespace: string, name: string): Service | undefined;
  /** Pods with an address on a node, in the cluster's order, hostNetwork pods too. */
  podsOn(node: string): readonly Pod[];
}

/** Index a cluster's addresses and names. */
export function addressPlan(cluster: Cluster): AddressPlan {
  const { nodes, pods, services } = ownersIn(cluster);
  const nodesByName = new Map(cluster.nodes.map((n) => [n.name, n]));
  const servicesByName = new Map(cluster.services.map((s) => [`${s.namespace}/${s.name}`, s]));
  let podsByName: ReadonlyMap<string, Pod> | undefined;
  let onNode: Map<string, Pod[]> | undefined;
  return {
    ownersOf(address) {
      const here = pods.get(address);
      const owners: readonly AddressOwner[] = [
        ...(nodes.get(address) ?? []).map((node) => ({ kind: 'node', node }) as const),
        ...(Array.isArray(here) ? here : here ? [here] : []).map(
          (pod) => ({ kind: 'pod', pod }) as const,
        ),
        ...(services.get(address) ?? []),
      ];
      return owners.length > 0 ? owners : [rangeOf(cluster, address)];
    },
    get podsByName() {
      podsByName ??= new Map(cluster.pods.map((p) => [`${p.namespace}/${p.name}`, p]));
      return podsByName;
    },
    findPod: (namespace, name) => findPod(cluster, namespace, name),
    findNode: (name) => nodesByName.get(name),
    findService: (namespace, name) => servicesByName.get(`${namespace}/${name}`),
    podsOn(node) {
      onNode ??= groupByNode(cluster.pods);
      return onNode.get(node) ?? [];
    },
  };
}

interface Owners {
  readonly nodes: AddressMap<Node[]>;
  /** One pod for nearly all addresses: hostNetwork pods share their node's. */
  readonly pods: AddressMap<Pod | readonly Pod[]>;
  readonly services: AddressMap<AddressOwner[]>;
}

function ownersIn(cluster: Cluster): Owners {
  const owners: Owners = {
    nodes: new AddressMap(),
    pods: new AddressMap(),
    services: new AddressMap(),
  };
  for (const node of cluster.nodes) for (const a of node.addresses) add(owners.nodes, a, node);
  for (const pod of cluster.pods) {
    if (!hasNetwork(pod)) continue;
    for (const a of pod.addresses) {
      const here = owners.pods.get(a);
      const more = here === undefined ? pod : [...(Array.isArray(here) ? here : [here]), pod];
      owners.pods.set(a, more);
    }
  }
  for (const service of cluster.services) {
    const own = (a: Address, role: 'clusterIp' | 'externalIp' | 'loadBalancerIp') =>
      add(owners.services, a, { kind: 'service', service, role });
    for (const a of service.clusterIps) own(a, 'clusterIp');
    for (const a of service.externalIps) own(a, 'externalIp');
    for (const a of service.loadBalancerIps) own(a, 'loadBalancerIp');
  }
  return owners;
}

function add<T>(map: AddressMap<T[]>, address: Address, one: T): void {
  const list = map.get(address);
  if (list) list.push(one);
  else map.set(address, [one]);
}

function groupByNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const onNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    if (!hasNetwork(pod)) continue;
    const list = onNode.get(pod.node);
    if (list) list.push(pod);
    else onNode.set(pod.node, [pod]);
  }
  return onNode;
}

const byNamespace = new WeakMap<readonly Pod[], Map<string, Map<string, Pod>>>();

/** The pod of this name; the last of several. */
export function findPod(
  { pods }: Pick<Cluster, 'pods'>,
  namespace: string,
  name: string,
): Pod | undefined {
  let index = byNamespace.get(pods);
  if (!index) {
    index = new Map();
    for (const pod of pods) {
      const names = index.get(pod.namespace) ?? new Map<string, Pod>();
      if (names.size === 0) index.set(pod.namespace, names);
      names.set(pod.name, pod);
    }
    byNamespace.set(pods, index);
  }
  return index.get(namespace)?.get(name);
}

/** Whether a pod is on the network: it has an address and has not finished. */
export function hasNetwork(pod: Pod): boolean {
  return pod.addresses.length > 0 && pod.phase !== 'Succeeded' && pod.phase !== 'Failed';
}

function rangeOf(cluster: Cluster, address: Address): AddressOwner {
  const { wiring } = cluster;
  const ranges = [
    ['serviceCidr', wiring.serviceCidrs],
    ['podCidr', [...wiring.podCidrs, ...cluster.nodes.flatMap((n) => n.podCidrs)]],
    ['subnet', wiring.subnets],
    ['vnet', wiring.vnet],
  ] as const;
  for (const [range, prefixes] of ranges) {
    const prefix = prefixes.find((p) => contains(p, address));
    if (prefix) return { kind: 'unowned', range, prefix };
  }
  return { kind: 'external' };
}
