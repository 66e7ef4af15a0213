/**
 * Which addresses share a link, in a cluster whose pods take addresses of the virtual network.
 *
 * On a real Azure CNI cluster nodes and pods are in one subnet and the wiring says which. Clusters
 * described otherwise (nodes 172.18.0.x, pods 10.244.N.x) are given the same shape: every range
 * that holds a node or a pod is on-link everywhere. A range is the wiring's subnet, else a pod
 * CIDR of the wiring or of a node, else the virtual network, else the /24 (IPv6: /64) around the
 * address.
 * @module
 */
import type { Cluster } from '../../cluster/model.ts';
import {
  type Address,
  addToAddress,
  compareAddress,
  contains,
  type Family,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';
import { AddressMap } from '../../wire/address/address-map.ts';
import { isAttached } from '../dataplane.ts';

export interface AddressRanges {
  /** Every on-link range, network addresses, wider before narrower; no duplicates. */
  readonly all: readonly Prefix[];
  /** The longest range that holds the address; it always exists for nodes and attached pods. */
  rangeOf(address: Address): Prefix;
  /** The subnet's gateway: its first host address that no node or pod has. */
  gatewayOf(range: Prefix): Address;
}

const memo = new WeakMap<Cluster, AddressRanges>();

/** The ranges of a cluster; worked out once per cluster object. */
export function addressRanges(cluster: Cluster): AddressRanges {
  const known = memo.get(cluster);
  if (known) return known;
  const made = makeRanges(cluster);
  memo.set(cluster, made);
  return made;
}

function makeRanges(cluster: Cluster): AddressRanges {
  const owned = [
    ...cluster.nodes.flatMap((node) => node.addresses),
    ...cluster.pods.filter(isAttached).flatMap((pod) => pod.addresses),
  ];
  const taken = new AddressMap<true>();
  for (const address of owned) taken.set(address, true);
  const { wiring } = cluster;
  const candidates = [
    ...wiring.subnets,
    ...wiring.podCidrs,
    ...cluster.nodes.flatMap((node) => node.podCidrs),
    ...wiring.vnet,
  ];
  const chosen: Prefix[] = [];
  let last: Prefix | undefined;
  for (const address of owned) {
    // The next address is mostly in the range of the one before it.
    if (last && contains(last, address)) continue;
    last = chosen.find((range) => contains(range, address));
    if (last) continue;
    last = network(candidates.find((c) => contains(c, address)) ?? around(address));
    chosen.push(last);
  }
  const all = chosen.toSorted(
    (a, b) => a.length - b.length || compareAddress(a.address, b.address),
  );
  const longestFirst = all.toReversed();
  const rangeOf = (address: Address) =>
    longestFirst.find((range) => contains(range, address)) ?? around(address);
  return {
    all,
    rangeOf,
    gatewayOf(range) {
      let address = addToAddress(range.address, 1);
      while (taken.has(address)) address = addToAddress(address, 1);
      return address;
    },
  };
}

function around(address: Address): Prefix {
  return network({ address, length: address.family === 4 ? 24 : 64 });
}

function network(prefix: Prefix): Prefix {
  return { address: maskAddress(prefix.address, prefix.length), length: prefix.length };
}

/** The ranges of one family. */
export function ofFamily(ranges: readonly Prefix[], family: Family): Prefix[] {
  return ranges.filter((range) => range.address.family === family);
}
