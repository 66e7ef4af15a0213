/**
 * How the `portmap` plugin is configured by each network's list of plugins.
 *
 * Sources: azure-container-networking `cni/azure-linux*.conflist` (name `azure`, `snat: true`;
 * cbd7560c); AgentBaker `baker.go`, kubenet template (`externalSetMarkChain: KUBE-MARK-MASQ`);
 * flannel `Documentation/kube-flannel.yml` (name `cbr0`); kind `images/kindnetd` (name `kindnet`);
 * calico `manifests/calico.yaml` (name `k8s-pod-network`, `snat: true`).
 * @module
 */

import type { Node } from '../../cluster/model.ts';
import {
  type Address,
  bits,
  contains,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';

/** The range that the plugin before says a pod's address is of, whose connections are hidden. */
export type PortmapRange = 'subnet' | 'node' | 'single';

export interface Portmap {
  /** The network's name in its configuration. */
  readonly network: string;
  /** Somebody else's chain that marks for masquerade; absent: the plugin has its own. */
  readonly markChain?: string;
  readonly range: PortmapRange;
}

export const AZURE_PORTMAP: Portmap = { network: 'azure', range: 'subnet' };
export const KUBENET_PORTMAP: Portmap = {
  network: 'kubenet',
  markChain: 'KUBE-MARK-MASQ',
  range: 'node',
};
export const CALICO_PORTMAP: Portmap = { network: 'k8s-pod-network', range: 'single' };

/** The network of an address as the plugin before this one tells it. */
export function portmapRange(
  { range }: Portmap,
  subnetOf: (address: Address) => Prefix,
  node: Pick<Node, 'podCidrs'>,
  address: Address,
): Prefix {
  const alone = { address, length: bits(address.family) };
  if (range === 'single') return alone;
  if (range === 'subnet') return subnetOf(address);
  const own = node.podCidrs.find((p) => contains(p, address));
  return own ? { address: maskAddress(own.address, own.length), length: own.length } : alone;
}
