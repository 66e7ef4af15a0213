/**
 * Azure CNI with dynamic pod addresses: nodes as in transparent mode; pods take their addresses
 * from subnets of their own in the virtual network.
 *
 * A node on subnet A would look for a pod of subnet B elsewhere by its default route, which is
 * right, unless a user's route leads the default elsewhere: CNS has the plugin add a route for the
 * pods' subnet by way of the gateway. The SNAT of DNS and metadata requests is masquerade/swift.ts.
 *
 * Source: azure-container-networking `cni/network/invoker_cns.go` `setHostOptions` (cbd7560c).
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import { contains } from '../../wire/address/address.ts';
import { hostVethName } from '../azure-cni/mac.ts';
import { podsOf } from '../azure-cni/neighbors.ts';
import { defaultRoute, UPLINK } from '../azure-cni/node-base.ts';
import { addressRanges, ofFamily } from '../azure-cni/ranges.ts';
import { transparentNode, transparentPod } from '../azure-transparent/render.ts';
import type { NetworkRenderer, RenderInput } from '../dataplane.ts';
import { AZURE_PORTMAP } from '../portmap/portmap.ts';

export const azurePodSubnet: NetworkRenderer = {
  name: 'azure-podsubnet',
  node: renderNode,
  pod: transparentPod,
  hostDevice: hostVethName,
  portmap: () => AZURE_PORTMAP,
};

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  transparentNode(input, node, builder);
  const ranges = addressRanges(input.cluster);
  const primary = node.addresses.find((a) => a.family === 4);
  if (!primary) return;
  const gateway = ranges.gatewayOf(ranges.rangeOf(primary));
  const pods = podsOf(input.cluster, node.name).flatMap((pod) => pod.addresses);
  for (const range of ofFamily(ranges.all, 4)) {
    const hasPods = pods.some((a) => contains(range, a));
    const hasNode = node.addresses.some((a) => contains(range, a));
    if (!hasPods || hasNode) continue;
    builder.routes.push({ ...defaultRoute(gateway, UPLINK), destination: range });
  }
}
