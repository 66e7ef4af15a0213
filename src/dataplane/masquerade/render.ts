/**
 * Source NAT that a node does on its own, whatever Services there are: the masquerade agent, and on
 * clusters whose pods have a subnet of their own the SNAT for Azure's DNS and metadata service.
 *
 * Called after kube-proxy's chains: both append to POSTROUTING, behind KUBE-POSTROUTING.
 * @module
 */
import type { Cluster, Node } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import { contains, type Prefix } from '../../wire/address/address.ts';
import { podsOf } from '../azure-cni/neighbors.ts';
import { renderMasqueradeAgent } from './agent.ts';
import { renderSwift } from './swift.ts';

/** Append a node's source NAT. */
export function renderMasquerade(builder: PlanBuilder, cluster: Cluster, node: Node): void {
  const subnets = subnetsOfPods(cluster, node);
  const primary = node.addresses.find((a) => a.family === 4);
  if (subnets.length > 0 && primary) renderSwift(builder, subnets, primary);
  const { masquerade } = cluster.wiring;
  if (!masquerade) return;
  const families = ([4, 6] as const).filter((f) => node.addresses.some((a) => a.family === f));
  renderMasqueradeAgent(builder, masquerade, families);
}

/** Subnets that hold pods of the node and not the node: dynamic pod subnets of Azure CNI. */
function subnetsOfPods(cluster: Cluster, node: Node): readonly Prefix[] {
  const { podSubnets = [] } = cluster.wiring;
  if (podSubnets.length === 0) return [];
  const pods = podsOf(cluster, node.name).flatMap((pod) => pod.addresses);
  return podSubnets.filter(
    (subnet) =>
      pods.some((a) => contains(subnet, a)) && !node.addresses.some((a) => contains(subnet, a)),
  );
}
