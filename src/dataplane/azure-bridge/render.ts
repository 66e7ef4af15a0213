/**
 * Azure CNI in bridge mode: the NIC and every pod's veth are ports of one bridge.
 *
 *        fabric                       azure0: the node's addresses, every pod permanent neighbour
 *          │                        ┌───┴────────────────────────┐
 *        eth0 (port, hairpin) ──────┤ bridge                     │
 *                                   ├ azvAAA (port, hairpin) ── eth0 of pod A
 *                                   └ azvBBB (port, hairpin) ── eth0 of pod B
 *
 * Pods are on-link in the subnet: a neighbour on the same node is reached by its own MAC, every
 * other address by the fabric's. IP rules see bridged packets by br_netfilter, with `azure0` as in-
 * and out-interface.
 *
 * Source: azure-container-networking `network/bridge_networkclient_linux.go`,
 * `network/bridge_endpointclient_linux.go`, `network/network_linux.go` `connectExternalInterface`,
 * commit cbd7560cf (2026-08-20). The product's README lists what is left out.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { FdbEntry, Plan } from '../../plan/model.ts';
import { type Address, hostPrefix } from '../../wire/address/address.ts';
import { FABRIC_MAC, hostVethMac, hostVethName, nodeMac, podMac } from '../azure-cni/mac.ts';
import { GATEWAY6, neighbor, podsOf } from '../azure-cni/neighbors.ts';
import {
  addSubnetRoutes,
  blockWireserver,
  connected,
  defaultRoute,
  interfaceAddresses,
  LOOPBACK,
  MTU,
  onLinkRoute,
  setNodeSysctls,
  UPLINK,
} from '../azure-cni/node-base.ts';
import { beginPod, nodeOf } from '../azure-cni/pod-base.ts';
import { type AddressRanges, addressRanges, ofFamily } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, RenderInput } from '../dataplane.ts';
import { AZURE_PORTMAP } from '../portmap/portmap.ts';
import { bridgeNatTable } from './ebtables.ts';

const BRIDGE = 'azure0';

export const azureBridge: NetworkRenderer = {
  name: 'azure-bridge',
  node: renderNode,
  pod: renderPod,
  hostDevice: hostVethName,
  portmap: () => AZURE_PORTMAP,
};

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  const ranges = addressRanges(input.cluster);
  const pods = podsOf(input.cluster, node.name);
  const mac = nodeMac(node.name);
  const [primary] = node.addresses;
  assert(primary !== undefined, `node ${node.name} has an address`);
  builder.interfaces.push(
    LOOPBACK,
    {
      name: UPLINK,
      kind: 'physical',
      mac,
      mtu: MTU,
      up: true,
      addresses: [],
      master: BRIDGE,
      hairpin: true,
    },
    {
      name: BRIDGE,
      kind: 'bridge',
      mac,
      mtu: MTU,
      up: true,
      addresses: interfaceAddresses(node.addresses, ranges),
    },
    ...pods.map((pod) => ({
      name: hostVethName(pod),
      kind: 'veth' as const,
      mac: hostVethMac(pod),
      mtu: MTU,
      up: true,
      addresses: [],
      master: BRIDGE,
      hairpin: true,
    })),
  );
  addSubnetRoutes(builder, node, ranges, BRIDGE);
  const own = node.addresses.map((address) => ranges.rangeOf(address));
  for (const range of ofFamily(ranges.all, 4)) {
    if (!own.includes(range)) builder.routes.push(onLinkRoute(range, BRIDGE));
  }
  for (const pod of pods) {
    for (const address of pod.addresses) {
      // Azure CNI makes the IPv4 entry permanent. IPv6 is not one subnet: the pod gets a route.
      const state = address.family === 4 ? 'permanent' : 'reachable';
      builder.neighbors.push(neighbor(address, BRIDGE, podMac(pod), state));
      if (address.family === 6) builder.routes.push(onLinkRoute(hostPrefix(address), BRIDGE));
    }
  }
  builder.fdb.push(...bridgeFdb(mac, pods));
  builder.ebtables.push(
    bridgeNatTable(
      { name: UPLINK, mac, address: primary },
      pods.map((pod) => ({ addresses: pod.addresses, mac: podMac(pod) })),
    ),
  );
  setNodeSysctls(builder);
  blockWireserver(builder);
}

/** Every port's own MAC, and what each port has heard: the fabric, and one pod per veth. */
function bridgeFdb(mac: string, pods: readonly Pod[]): FdbEntry[] {
  const entry = (of: string, port: string, kind: FdbEntry['kind']): FdbEntry => ({
    mac: of,
    bridge: BRIDGE,
    port,
    kind,
  });
  return [
    entry(mac, UPLINK, 'permanent'),
    entry(FABRIC_MAC, UPLINK, 'learned'),
    ...pods.flatMap((pod) => [
      entry(hostVethMac(pod), hostVethName(pod), 'permanent'),
      entry(podMac(pod), hostVethName(pod), 'learned'),
    ]),
  ];
}

function renderPod(input: RenderInput, pod: Pod): Plan {
  const { cluster } = input;
  const ranges = addressRanges(cluster);
  const node = nodeOf(cluster, pod);
  const builder = beginPod(input, pod, interfaceAddresses(pod.addresses, ranges));
  const onVm = [
    ...node.addresses.map((address) => ({ address, mac: nodeMac(node.name) })),
    ...podsOf(cluster, node.name).flatMap((other) =>
      other === pod ? [] : other.addresses.map((address) => ({ address, mac: podMac(other) })),
    ),
  ];
  for (const address of pod.addresses) {
    const near = onVm.filter((o) => o.address.family === address.family);
    if (address.family === 4) addPodRoutes4(builder, ranges, address);
    else addPodRoutes6(builder, near);
    // What the bridge's arpreply rules (IPv6: the pods themselves) answer.
    for (const other of near) builder.neighbors.push(neighbor(other.address, 'eth0', other.mac));
  }
  return builder.build();
}

function addPodRoutes4(builder: PlanBuilder, ranges: AddressRanges, address: Address): void {
  const own = ranges.rangeOf(address);
  builder.routes.push(connected(own, 'eth0', address));
  for (const range of ofFamily(ranges.all, 4)) {
    if (range !== own) builder.routes.push(onLinkRoute(range, 'eth0'));
  }
  const gateway = ranges.gatewayOf(own);
  builder.routes.push(defaultRoute(gateway, 'eth0'));
  builder.neighbors.push(neighbor(gateway, 'eth0', FABRIC_MAC));
}

/** IPv6 addresses on Azure are single (/128): only this VM's are on-link. */
function addPodRoutes6(builder: PlanBuilder, near: readonly { readonly address: Address }[]): void {
  for (const { address } of near) builder.routes.push(onLinkRoute(hostPrefix(address), 'eth0'));
  builder.routes.push(defaultRoute(GATEWAY6, 'eth0'));
  builder.neighbors.push(neighbor(GATEWAY6, 'eth0', FABRIC_MAC));
}
