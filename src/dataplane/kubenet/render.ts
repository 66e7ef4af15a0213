/**
 * kubenet: pods on a promiscuous bridge with the node's /24, the other nodes' ranges by Azure's
 * route table. With policy engine Calico there is no bridge: AKS has Calico's CNI plugin wire pods.
 *
 *   pod A ── veth ── cbr0 ── node-a ── eth0 ── fabric: 10.244.1.0/24 via node-b ── node-b ── pod C
 *
 * Source: AgentBaker `pkg/agent/baker.go` (containerd's kubenet template: bridge cbr0, mtu 1500,
 * isGateway, ipMasq false, promiscMode, hairpinMode false, host-local) and `ensure-no-dup.sh`;
 * AKS docs "Use kubenet networking". README has the rest.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { Plan } from '../../plan/model.ts';
import { bridgeMac, drawnVethName } from '../azure-cni/mac.ts';
import { addUplink, blockWireserver } from '../azure-cni/node-base.ts';
import { addressRanges } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, RenderInput, Stack } from '../dataplane.ts';
import { addBridgedPods, type BridgeSettings, bridgedPod } from '../plain/bridge.ts';
import { CALICO_VETHS, calicoVethName } from '../plain/calico-veths.ts';
import { nodeRanges } from '../plain/node-range.ts';
import { addRoutedPods, routedPod } from '../plain/routed.ts';
import { CALICO_PORTMAP, KUBENET_PORTMAP } from '../portmap/portmap.ts';
import { dedupTable } from './ebtables.ts';

const BRIDGE: BridgeSettings = { bridge: 'cbr0', promiscuous: true, hairpin: false };

export const kubenet: NetworkRenderer = {
  name: 'kubenet',
  node: renderNode,
  pod: renderPod,
  hostDevice: (pod, stack) => (isCalico(stack) ? calicoVethName(pod) : drawnVethName(pod)),
  between: 'routes',
  portmap: (stack) => (isCalico(stack) ? CALICO_PORTMAP : KUBENET_PORTMAP),
};

function isCalico(stack: Stack): boolean {
  return stack.policy === 'calico';
}

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  addUplink(builder, node, addressRanges(input.cluster));
  blockWireserver(builder);
  if (isCalico(input.stack)) {
    addRoutedPods(builder, input.cluster, node, CALICO_VETHS);
    return;
  }
  addBridgedPods(builder, input.cluster, node, BRIDGE);
  const own = nodeRanges(node).find(({ gateway }) => gateway.family === 4);
  if (own) builder.ebtables.push(dedupTable(bridgeMac(node.name), own));
}

function renderPod(input: RenderInput, pod: Pod): Plan {
  return isCalico(input.stack) ? routedPod(input, pod, CALICO_VETHS) : bridgedPod(input, pod);
}
