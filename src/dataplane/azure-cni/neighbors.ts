/**
 * Neighbours that a node or a pod of an Azure CNI cluster has resolved.
 *
 * Emulated hosts start warm (every live neighbour resolved), so these are what ARP would have
 * found: the fabric answers for every address that is not this VM's own with one MAC
 * (azure-container-networking `network/bridge_networkclient_linux.go`, comments).
 * @module
 */
import type { Cluster, Node, Pod } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import type { Neighbor } from '../../plan/model.ts';
import { type Address, contains, type Prefix, parseAddress } from '../../wire/address.ts';
import { isAttached } from '../dataplane.ts';
import { FABRIC_MAC } from './mac.ts';

/** The IPv6 gateway of every Azure subnet (`network/bridge_endpointclient_linux.go`). */
export const GATEWAY6: Address = literal('fe80::1234:5678:9abc');

/** A constant address of this source code. */
export function literal(text: string): Address {
  const address = parseAddress(text);
  assert(address !== null, `${text} is an address`);
  return address;
}

/** One resolved neighbour. */
export function neighbor(
  address: Address,
  device: string,
  mac: string,
  state: Neighbor['state'] = 'reachable',
): Neighbor {
  return { address, device, mac, state };
}

interface PerCluster {
  readonly pods: ReadonlyMap<string, readonly Pod[]>;
  readonly remote: Map<string, readonly Neighbor[]>;
}

const memo = new WeakMap<Cluster, PerCluster>();

/** The attached pods of a node, in the cluster's order. */
export function podsOf(cluster: Cluster, node: string): readonly Pod[] {
  return perCluster(cluster).pods.get(node) ?? [];
}

/**
 * What answers on `device` for nodes and pods elsewhere whose address is on-link: the fabric.
 * One array per node and device, shared by all who ask.
 */
export function remoteNeighbors(
  cluster: Cluster,
  node: Node,
  device: string,
  onLink: readonly Prefix[],
): readonly Neighbor[] {
  const known = perCluster(cluster).remote;
  const key = `${node.name} ${device}`;
  const found = known.get(key);
  if (found) return found;
  const made: Neighbor[] = [];
  for (const other of cluster.nodes) {
    if (other.name === node.name) continue;
    const addresses = [
      ...other.addresses,
      ...podsOf(cluster, other.name).flatMap((pod) => pod.addresses),
    ];
    for (const address of addresses) {
      if (onLink.some((range) => contains(range, address))) {
        made.push(neighbor(address, device, FABRIC_MAC));
      }
    }
  }
  known.set(key, made);
  return made;
}

function perCluster(cluster: Cluster): PerCluster {
  const known = memo.get(cluster);
  if (known) return known;
  const pods = new Map<string, Pod[]>(cluster.nodes.map((node) => [node.name, []]));
  for (const pod of cluster.pods) if (isAttached(pod)) pods.get(pod.node)?.push(pod);
  const made: PerCluster = { pods, remote: new Map() };
  memo.set(cluster, made);
  return made;
}
