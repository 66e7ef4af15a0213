/**
 * Pods that are routed one by one: a veth each, a host route on the node, and in the pod a default
 * route by an address that the node's end of the veth answers for.
 *
 * Azure CNI in transparent mode, Calico's CNI plugin and the `ptp` plugin differ in names, MAC
 * addresses, and in which address that is:
 *
 *   virtual   169.254.1.1, which nobody has: proxy_arp answers
 *   range     the first address of the node's range, on every veth
 * @module
 */
import type { Cluster, Node, Pod } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { InterfaceAddress, Plan } from '../../plan/model.ts';
import {
  type Address,
  bits,
  contains,
  type Family,
  formatPrefix,
  hostPrefix,
} from '../../wire/address/address.ts';
import { podMac } from '../azure-cni/mac.ts';
import { neighbor, podsOf } from '../azure-cni/neighbors.ts';
import { defaultRoute, MTU, onLinkRoute } from '../azure-cni/node-base.ts';
import { beginPod, nodeOf } from '../azure-cni/pod-base.ts';
import type { RenderInput } from '../dataplane.ts';
import { gatewayOf, type NodeRange, nodeRanges } from './node-range.ts';

export interface RoutedVeths {
  name(pod: Pod): string;
  /** Of the node's end. */
  mac(pod: Pod): string;
  readonly gateway: 'virtual' | 'range';
  /** What the pod's address looks like; `gateway: 'range'` has the range's length. */
  podAddress(address: Address): InterfaceAddress;
  /** The virtual gateways. */
  readonly gateways: Readonly<Record<Family, Address>>;
  /** Whether the CNI plugin pins the IPv6 gateway's neighbour. */
  readonly permanent6: boolean;
}

/** The pods' side of a node. */
export function addRoutedPods(
  builder: PlanBuilder,
  cluster: Cluster,
  node: Node,
  veths: RoutedVeths,
): void {
  const gateways = veths.gateway === 'range' ? nodeRanges(node) : [];
  const addresses = gateways.map(({ gateway }) => ({
    address: gateway,
    length: bits(gateway.family),
    scope: 'global' as const,
  }));
  for (const pod of podsOf(cluster, node.name)) {
    const name = veths.name(pod);
    const mac = veths.mac(pod);
    builder.interfaces.push({ name, kind: 'veth', mac, mtu: MTU, up: true, addresses });
    for (const address of pod.addresses) {
      builder.routes.push(onLinkRoute(hostPrefix(address), name));
      builder.neighbors.push(neighbor(address, name, podMac(pod)));
    }
    if (veths.gateway === 'virtual') builder.sysctls[`net.ipv4.conf.${name}.proxy_arp`] = '1';
  }
}

/** A pod. */
export function routedPod(input: RenderInput, pod: Pod, veths: RoutedVeths): Plan {
  const ranges = veths.gateway === 'range' ? nodeRanges(nodeOf(input.cluster, pod)) : [];
  const addresses = pod.addresses.map((address) => {
    const own = ranges.find(({ range }) => contains(range, address));
    const plain = veths.podAddress(address);
    return own ? { ...plain, length: own.range.length } : plain;
  });
  const builder = beginPod(input, pod, addresses);
  const mac = veths.mac(pod);
  for (const family of new Set(pod.addresses.map((address) => address.family))) {
    const gateway = gatewayOf(ranges, family) ?? veths.gateways[family];
    builder.routes.push(onLinkRoute(hostPrefix(gateway), 'eth0'));
    addRangeRoutes(builder, pod, ranges, family);
    builder.routes.push(defaultRoute(gateway, 'eth0'));
    // A neighbour that the plugin writes without making it permanent is confirmed at once.
    const state = family === 6 && veths.permanent6 ? 'permanent' : 'reachable';
    builder.neighbors.push(neighbor(gateway, 'eth0', mac, state));
  }
  return builder.build();
}

/** `ptp`: the range's other addresses by the gateway, too, where the default would do. */
function addRangeRoutes(
  builder: PlanBuilder,
  pod: Pod,
  ranges: readonly NodeRange[],
  family: Family,
): void {
  const seen = new Set<string>();
  for (const address of pod.addresses) {
    const own = ranges.find(({ range }) => contains(range, address));
    if (!own || address.family !== family || seen.has(formatPrefix(own.range))) continue;
    seen.add(formatPrefix(own.range));
    const byGateway = defaultRoute(own.gateway, 'eth0');
    builder.routes.push({ ...byGateway, destination: own.range, source: address });
  }
}
