/**
 * How Calico's own CNI plugin wires pods: what AKS installs on kubenet clusters with policy engine
 * Calico, and Calico's manifests elsewhere.
 *
 * A host route and a veth a pod, MAC ee:ee:ee:ee:ee:ee at the node's end, single addresses.
 * Sources: projectcalico/calico `cni-plugin/pkg/dataplane/linux/dataplane_linux.go`; an AKS kubenet
 * node of 2023 has exactly these names, routes and MACs (`host-local` with `usePodCidr`).
 * @module
 */
import { createHash } from 'node:crypto';
import type { Pod } from '../../cluster/model.ts';
import { bits } from '../../wire/address/address.ts';
import { literal } from '../azure-cni/neighbors.ts';
import type { RoutedVeths } from './routed.ts';

const HOST_MAC = 'ee:ee:ee:ee:ee:ee';

/** `cali` and eleven hex digits of sha1(NAMESPACE.POD). */
export function calicoVethName(pod: Pod): string {
  const digest = createHash('sha1').update(`${pod.namespace}.${pod.name}`).digest('hex');
  return `cali${digest.slice(0, 11)}`;
}

export const CALICO_VETHS: RoutedVeths = {
  name: calicoVethName,
  mac: () => HOST_MAC,
  gateway: 'virtual',
  podAddress: (address) => ({ address, length: bits(address.family), scope: 'global' }),
  // IPv6: the link-local address that the veth's MAC makes.
  gateways: { 4: literal('169.254.1.1'), 6: literal('fe80::ecee:eeff:feee:eeee') },
  permanent6: false,
};
