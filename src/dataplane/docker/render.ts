/**
 * Docker hosts: containers (Pods, as the cluster's files call them) on docker0, no Kubernetes.
 *
 *   container ── veth ── docker0 ── host ── eth0
 *
 * Containers of a host reach each other; what they send out takes the host's address; what comes in
 * was published (`hostPort`). The FORWARD policy is DROP, so nobody else reaches a container, not
 * even by a route.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import { drawnVethName } from '../azure-cni/mac.ts';
import { podsOf } from '../azure-cni/neighbors.ts';
import { addUplink } from '../azure-cni/node-base.ts';
import { addressRanges } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, RenderInput } from '../dataplane.ts';
import { addBridgedPods, type BridgeSettings, bridgedPod } from '../plain/bridge.ts';
import { nodeRanges } from '../plain/node-range.ts';
import { addDockerRules } from './rules.ts';

const BRIDGE: BridgeSettings = { bridge: 'docker0', promiscuous: false, hairpin: false };

export const docker: NetworkRenderer = {
  name: 'docker',
  node: renderNode,
  pod: bridgedPod,
  hostDevice: drawnVethName,
  between: 'link',
  kubernetes: false,
};

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  addUplink(builder, node, addressRanges(input.cluster));
  addBridgedPods(builder, input.cluster, node, BRIDGE);
  const own = nodeRanges(node).find(({ gateway }) => gateway.family === 4);
  const pods = podsOf(input.cluster, node.name);
  addDockerRules(builder, BRIDGE.bridge, own?.range ?? null, pods);
}
