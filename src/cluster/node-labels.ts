/**
 * What AKS writes on its nodes about the cluster's network, for clusters without a wiring document.
 *
 *   kubernetes.azure.com/podnetwork-type   overlay; vnet, vnetblock (subnets that only pods are in)
 *   kubernetes.azure.com/azure-cni-overlay true
 *   kubernetes.azure.com/network-policy    none, azure, calico, cilium
 *   kubernetes.azure.com/ebpf-dataplane    cilium
 *
 * Source: azure-container-networking `docs` and `cns` (podnetwork labels), Azure/karpenter-provider
 * `pkg/providers/launchtemplate` (the labels of overlay and Cilium nodes), kubelet arguments of AKS
 * nodes (`KUBELET_NODE_LABELS`). Not every version of AKS writes each: an absent one says nothing.
 * @module
 */
import type { Node, Wiring } from './model.ts';

export interface LabelledNetwork {
  readonly networkPluginMode?: 'overlay';
  readonly podSubnets?: true;
  readonly networkPolicy?: Wiring['networkPolicy'];
}

const PREFIX = 'kubernetes.azure.com/';

/** What the nodes' labels say of their network; what nodes do not agree on is not said. */
export function networkOfLabels(nodes: readonly Pick<Node, 'labels'>[]): LabelledNetwork {
  const type = agreed(nodes, 'podnetwork-type');
  const isOverlay = type === 'overlay' || agreed(nodes, 'azure-cni-overlay') === 'true';
  const policy = agreed(nodes, 'network-policy');
  const isCilium = agreed(nodes, 'ebpf-dataplane') === 'cilium';
  const known = (['none', 'azure', 'calico', 'cilium'] as const).find((p) => p === policy);
  const networkPolicy = isCilium ? 'cilium' : known;
  return {
    ...(isOverlay ? { networkPluginMode: 'overlay' } : {}),
    ...(type === 'vnet' || type === 'vnetblock' ? { podSubnets: true } : {}),
    ...(networkPolicy ? { networkPolicy } : {}),
  };
}

/** The value of a label that every node that has it agrees on. */
function agreed(nodes: readonly Pick<Node, 'labels'>[], name: string): string | null {
  const values = new Set(nodes.flatMap((n) => n.labels[`${PREFIX}${name}`] ?? []));
  const [only] = values;
  return values.size === 1 && only !== undefined ? only : null;
}
