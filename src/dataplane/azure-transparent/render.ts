/**
 * Azure CNI in transparent mode: no bridge, one host route and one veth per pod.
 *
 *        fabric ── eth0 ── node ──┬ azvAAA (aa:aa:aa:aa:aa:aa, proxy_arp) ── eth0 of pod A
 *                                 └ azvBBB (aa:aa:aa:aa:aa:aa, proxy_arp) ── eth0 of pod B
 *
 * A pod knows one neighbour, 169.254.1.1, which is the host's end of its veth; everything it sends
 * is routed by the node: FORWARD sees `-i azvAAA -o azvBBB` or `-o eth0`.
 *
 * Source: azure-container-networking `network/transparent_endpointclient_linux.go`, commit
 * cbd7560cf (2026-08-20). The product's README lists what is left out.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import { assert } from '../../diagnostic/diagnostic.ts';
import { PlanBuilder } from '../../plan/builder.ts';
import type { Plan } from '../../plan/model.ts';
import { hostPrefix } from '../../wire/address.ts';
import { hostVethName, nodeMac, podMac, TRANSPARENT_VETH_MAC } from '../azure-cni/mac.ts';
import { GATEWAY6, literal, neighbor, podsOf } from '../azure-cni/neighbors.ts';
import {
  addSubnetRoutes,
  defaultRoute,
  interfaceAddresses,
  LOOPBACK,
  MTU,
  onLinkRoute,
  setNodeSysctls,
} from '../azure-cni/node-base.ts';
import { setPodSysctls } from '../azure-cni/pod-base.ts';
import { addressRanges } from '../azure-cni/ranges.ts';
import { type NetworkRenderer, podHost, type RenderInput } from '../dataplane.ts';

const UPLINK = 'eth0';
const GATEWAY4 = literal('169.254.1.1');

export const azureTransparent: NetworkRenderer = {
  name: 'azure-transparent',
  node: renderNode,
  pod: renderPod,
  hostDevice: hostVethName,
};

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  const ranges = addressRanges(input.cluster);
  builder.interfaces.push(LOOPBACK, {
    name: UPLINK,
    kind: 'physical',
    mac: nodeMac(node.name),
    mtu: MTU,
    up: true,
    addresses: interfaceAddresses(node.addresses, ranges),
  });
  addSubnetRoutes(builder, node, ranges, UPLINK);
  setNodeSysctls(builder);
  for (const pod of podsOf(input.cluster, node.name)) {
    const device = hostVethName(pod);
    builder.interfaces.push({
      name: device,
      kind: 'veth',
      mac: TRANSPARENT_VETH_MAC,
      mtu: MTU,
      up: true,
      addresses: [],
    });
    for (const address of pod.addresses) {
      builder.routes.push(onLinkRoute(hostPrefix(address), device));
      builder.neighbors.push(neighbor(address, device, podMac(pod)));
    }
    builder.sysctls[`net.ipv4.conf.${device}.proxy_arp`] = '1';
  }
}

function renderPod(input: RenderInput, pod: Pod): Plan {
  const ranges = addressRanges(input.cluster);
  const node = input.cluster.nodes.find((n) => n.name === pod.node);
  assert(node !== undefined, `the node ${pod.node} of ${podHost(pod)} is in the cluster`);
  const builder = new PlanBuilder(podHost(pod), 'pod');
  builder.kernel = node.kernel === '' ? builder.kernel : node.kernel;
  builder.interfaces.push(LOOPBACK, {
    name: 'eth0',
    kind: 'veth',
    mac: podMac(pod),
    mtu: MTU,
    up: true,
    addresses: interfaceAddresses(pod.addresses, ranges),
  });
  // The subnet route that the kernel makes for the address is deleted again; what is left is the
  // virtual gateway. (IPv6 pods keep no on-link route either.)
  for (const family of new Set(pod.addresses.map((address) => address.family))) {
    const gateway = family === 4 ? GATEWAY4 : GATEWAY6;
    builder.routes.push(onLinkRoute(hostPrefix(gateway), 'eth0'), defaultRoute(gateway, 'eth0'));
    // Azure CNI sets NUD_PROBE for IPv4 (confirmed at once by the host) and permanent for IPv6.
    const state = family === 4 ? 'reachable' : 'permanent';
    builder.neighbors.push(neighbor(gateway, 'eth0', TRANSPARENT_VETH_MAC, state));
  }
  setPodSysctls(builder);
  return builder.build();
}
