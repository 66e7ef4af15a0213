/**
 * Who has which address: the index from an address to what owns it in the cluster.
 *
 * A node's address belongs to the node and to every hostNetwork pod on it. Two running pods with
 * one address are refused when the cluster is loaded, so an address has one owner otherwise; a
 * finished pod (Succeeded, Failed) owns nothing, as its address may be in use again.
 * @module
 */
import type { Address, Prefix } from '../wire/address.ts';
import { addressKey, contains } from '../wire/address.ts';
import type { Cluster, Node, Pod, Service } from './model.ts';

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
  const owners = new Map<string, AddressOwner[]>();
  const own = (address: Address, owner: AddressOwner) => {
    const key = addressKey(address);
    const list = owners.get(key);
    if (list) list.push(owner);
    else owners.set(key, [owner]);
  };
  for (const node of cluster.nodes) for (const a of node.addresses) own(a, { kind: 'node', node });
  const onNode = new Map<string, Pod[]>();
  for (const pod of cluster.pods) {
    if (!hasNetwork(pod)) continue;
    for (const a of pod.addresses) own(a, { kind: 'pod', pod });
    const list = onNode.get(pod.node);
    if (list) list.push(pod);
    else onNode.set(pod.node, [pod]);
  }
  for (const service of cluster.services) {
    for (const a of service.clusterIps) own(a, { kind: 'service', service, role: 'clusterIp' });
    for (const a of service.externalIps) own(a, { kind: 'service', service, role: 'externalIp' });
    for (const a of service.loadBalancerIps) {
      own(a, { kind: 'service', service, role: 'loadBalancerIp' });
    }
  }
  const podsByName = new Map(cluster.pods.map((p) => [`${p.namespace}/${p.name}`, p]));
  const nodes = new Map(cluster.nodes.map((n) => [n.name, n]));
  const services = new Map(cluster.services.map((s) => [`${s.namespace}/${s.name}`, s]));
  return {
    ownersOf: (address) => owners.get(addressKey(address)) ?? [rangeOf(cluster, address)],
    podsByName,
    findPod: (namespace, name) => podsByName.get(`${namespace}/${name}`),
    findNode: (name) => nodes.get(name),
    findService: (namespace, name) => services.get(`${namespace}/${name}`),
    podsOn: (node) => onNode.get(node) ?? [],
  };
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
