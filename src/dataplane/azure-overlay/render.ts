/**
 * Azure CNI Overlay: nodes as in transparent mode; pods have addresses of a range of their own, a
 * /24 of it a node, which only the cluster's VMs can reach.
 *
 *   pod A ── azvAAA ── node-a ── eth0 ── fabric: 10.244.1.0/24 ► node-b ── azvCCC ── pod C
 *
 * Nothing is encapsulated on the node; the fabric has a routing domain with a route for each node's
 * range (BetweenNodes `overlay`). What leaves the cluster takes the node's address: the masquerade
 * agent's list is the pod range alone.
 *
 * Source: azure-container-networking `cni/azure-linux-swift-overlay.conflist` (mode transparent,
 * ipam azure-cns in overlay mode), `cni/network/invoker_cns.go` `configureDefaultAddResult` (no
 * host options in overlay mode: no SWIFT chain, no route of the pods' range). README has the rest.
 * @module
 */
import { hostVethName } from '../azure-cni/mac.ts';
import { transparentNode, transparentPod } from '../azure-transparent/render.ts';
import type { NetworkRenderer } from '../dataplane.ts';
import { AZURE_PORTMAP } from '../portmap/portmap.ts';

export const azureOverlay: NetworkRenderer = {
  name: 'azure-overlay',
  node: transparentNode,
  pod: transparentPod,
  hostDevice: hostVethName,
  portmap: () => AZURE_PORTMAP,
  between: 'overlay',
};
