/**
 * Pods by node, and the neighbours that a VM of an Azure CNI cluster knows of its own.
 *
 * Emulated hosts start warm: what is on the same VM is listed. Everything elsewhere is answered by
 * the fabric, with one MAC for all addresses that are not this VM's
 * (azure-container-networking `network/bridge_networkclient_linux.go`, comments); hosts ask it when
 * they first need to, so that no host lists the whole cluster.
 * @module
 */
import type { Cluster, Pod } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import type { Neighbor } from '../../plan/model.ts';
import {
  type Address,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../wire/address/address.ts';
import { isAttached } from '../dataplane.ts';

/** The IPv6 gateway of every Azure subnet (`network/bridge_endpointclient_linux.go`). */
export const GATEWAY6: Address = literal('fe80::1234:5678:9abc');

/** A constant address of this source code. */
export function literal(text: string): Address {
  const address = parseAddress(text);
  assert(address !== null, `${text} is an address`);
  return address;
}

/** A constant range of this source code. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert(parsed !== null, `${text} is a range`);
  return parsed;
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

const memo = new WeakMap<Cluster, ReadonlyMap<string, readonly Pod[]>>();

/** The attached pods of a node, in the cluster's order. */
export function podsOf(cluster: Cluster, node: string): readonly Pod[] {
  const known = memo.get(cluster);
  if (known) return known.get(node) ?? [];
  const pods = new Map<string, Pod[]>(cluster.nodes.map((n) => [n.name, []]));
  for (const pod of cluster.pods) if (isAttached(pod)) pods.get(pod.node)?.push(pod);
  memo.set(cluster, pods);
  return pods.get(node) ?? [];
}
