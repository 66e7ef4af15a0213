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
import type { PlanBuilder } from '../../plan/builder.ts';
import type { Plan } from '../../plan/model.ts';
import { hostVethName, TRANSPARENT_VETH_MAC } from '../azure-cni/mac.ts';
import { GATEWAY6, literal } from '../azure-cni/neighbors.ts';
import { addUplink, blockWireserver, interfaceAddress } from '../azure-cni/node-base.ts';
import { type AddressRanges, addressRanges } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, RenderInput } from '../dataplane.ts';
import { addRoutedPods, type RoutedVeths, routedPod } from '../plain/routed.ts';
import { AZURE_PORTMAP } from '../portmap/portmap.ts';

const GATEWAY4 = literal('169.254.1.1');

export const azureTransparent: NetworkRenderer = {
  name: 'azure-transparent',
  node: transparentNode,
  pod: transparentPod,
  hostDevice: hostVethName,
  portmap: () => AZURE_PORTMAP,
};

/** A node in transparent mode. */
export function transparentNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  const ranges = addressRanges(input.cluster);
  addUplink(builder, node, ranges);
  blockWireserver(builder);
  addRoutedPods(builder, input.cluster, node, azureVeths(ranges));
}

/** A pod in transparent mode: the subnet route that the kernel makes is deleted again. */
export function transparentPod(input: RenderInput, pod: Pod): Plan {
  return routedPod(input, pod, azureVeths(addressRanges(input.cluster)));
}

function azureVeths(ranges: AddressRanges): RoutedVeths {
  return {
    name: hostVethName,
    mac: () => TRANSPARENT_VETH_MAC,
    gateway: 'virtual',
    podAddress: (address) => interfaceAddress(address, ranges),
    gateways: { 4: GATEWAY4, 6: GATEWAY6 },
    // IPv4's entry is set NUD_PROBE, IPv6's NUD_PERMANENT.
    permanent6: true,
  };
}
