/**
 * Pods on a bridge of their node that the node routes to: the `bridge` CNI plugin with `isGateway`.
 *
 *     eth0 ── node ── cbr0 (the first address of the node's range) ──┬ veth ── eth0 of pod A
 *                                                                    └ veth ── eth0 of pod B
 *
 * Pods of a node are neighbours; br_netfilter shows what they send each other to FORWARD with the
 * bridge as in- and out-interface. Everything else goes by the node.
 *
 * Source: containernetworking/plugins v1.5.1 `plugins/main/bridge/bridge.go` (`setupBridge` keeps
 * the bridge's first MAC), `plugins/ipam/host-local`.
 * @module
 */
import type { Cluster, Node, Pod } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { FdbEntry, InterfaceAddress, Plan } from '../../plan/model.ts';
import {
  type Address,
  bits,
  contains,
  type Family,
  hostPrefix,
} from '../../wire/address/address.ts';
import { bridgeMac, drawnVethName, hostVethMac, podMac } from '../azure-cni/mac.ts';
import { literal, neighbor, podsOf } from '../azure-cni/neighbors.ts';
import { connected, defaultRoute, MTU, onLinkRoute } from '../azure-cni/node-base.ts';
import { beginPod, nodeOf } from '../azure-cni/pod-base.ts';
import type { RenderInput } from '../dataplane.ts';
import { gatewayOf, type NodeRange, nodeRanges } from './node-range.ts';

export interface BridgeSettings {
  readonly bridge: string;
  readonly promiscuous: boolean;
  readonly hairpin: boolean;
}

/** Where a node has no range of a pod's family, its bridge answers by this address. */
const FALLBACK: Readonly<Record<Family, Address>> = {
  4: literal('169.254.1.1'),
  6: literal('fe80::1'),
};

/** The pods' side of a node. */
export function addBridgedPods(
  builder: PlanBuilder,
  cluster: Cluster,
  node: Node,
  settings: BridgeSettings,
): void {
  const { bridge, promiscuous, hairpin } = settings;
  const mac = bridgeMac(node.name);
  const ranges = nodeRanges(node);
  const pods = podsOf(cluster, node.name);
  builder.interfaces.push({
    name: bridge,
    kind: 'bridge',
    mac,
    mtu: MTU,
    up: true,
    addresses: bridgeAddresses(ranges, pods),
    ...(promiscuous ? { promiscuous } : {}),
  });
  for (const { range, gateway } of ranges) builder.routes.push(connected(range, bridge, gateway));
  builder.fdb.push(fdb(bridge, mac, bridge, 'permanent'));
  for (const pod of pods) {
    const name = drawnVethName(pod);
    const port = { name, kind: 'veth', mac: hostVethMac(pod), mtu: MTU, up: true } as const;
    builder.interfaces.push({ ...port, addresses: [], master: bridge, hairpin });
    builder.fdb.push(fdb(bridge, port.mac, name, 'permanent'));
    builder.fdb.push(fdb(bridge, podMac(pod), name, 'learned'));
    for (const address of pod.addresses) {
      builder.neighbors.push(neighbor(address, bridge, podMac(pod)));
      if (ranges.some(({ range }) => contains(range, address))) continue;
      builder.routes.push(onLinkRoute(hostPrefix(address), bridge));
    }
  }
}

function fdb(bridge: string, mac: string, port: string, kind: FdbEntry['kind']): FdbEntry {
  return { mac, bridge, port, kind };
}

function bridgeAddresses(
  ranges: readonly NodeRange[],
  pods: readonly Pod[],
): readonly InterfaceAddress[] {
  const own = ranges.map(({ range, gateway }) => ({
    address: gateway,
    length: range.length,
    scope: 'global' as const,
  }));
  const families = new Set(pods.flatMap((pod) => pod.addresses.map((a) => a.family)));
  const without = [...families].filter((f) => gatewayOf(ranges, f) === undefined);
  const stands = without.map((family) => ({
    address: FALLBACK[family],
    length: bits(family),
    scope: 'link' as const,
  }));
  return [...own, ...stands];
}

/** A pod on the bridge. */
export function bridgedPod(input: RenderInput, pod: Pod): Plan {
  const { cluster } = input;
  const node = nodeOf(cluster, pod);
  const ranges = nodeRanges(node);
  const rangeOf = (address: Address) => ranges.find(({ range }) => contains(range, address));
  const addresses = pod.addresses.map((address) => {
    const length = rangeOf(address)?.range.length ?? bits(address.family);
    return { address, length, scope: 'global' as const };
  });
  const builder = beginPod(input, pod, addresses);
  const others = podsOf(cluster, node.name).filter((other) => other !== pod);
  for (const address of pod.addresses) {
    const { family } = address;
    const own = rangeOf(address);
    const gateway = own?.gateway ?? gatewayOf(ranges, family) ?? FALLBACK[family];
    builder.routes.push(
      own ? connected(own.range, 'eth0', address) : onLinkRoute(hostPrefix(gateway), 'eth0'),
      defaultRoute(gateway, 'eth0'),
    );
    builder.neighbors.push(neighbor(gateway, 'eth0', bridgeMac(node.name)));
    if (own) addNeighbors(builder, own, others);
  }
  return builder.build();
}

/** Pods of the same range on the bridge are neighbours. */
function addNeighbors(builder: PlanBuilder, own: NodeRange, others: readonly Pod[]): void {
  for (const other of others) {
    for (const address of other.addresses) {
      if (!contains(own.range, address)) continue;
      builder.neighbors.push(neighbor(address, 'eth0', podMac(other)));
    }
  }
}
