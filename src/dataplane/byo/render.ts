/**
 * Clusters whose network is not Azure's: nodes that are neighbours on one link and route to each
 * other's pods themselves (flannel's `host-gw`, kind, routed bridges).
 *
 *   pod A ── veth ── cni0 ── node-a ── eth0 ── link ── eth0 ── node-b ── cni0 ── veth ── pod C
 *                      10.244.1.0/24 via NODE-B
 *
 * The link is the fabric's one: a router between the nodes' NICs that lowers no TTL and, here,
 * checks no sources. Option `cni` says who wires pods and hides them; with policy engine Calico it
 * is Calico's own plugin.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { Plan } from '../../plan/model.ts';
import { bits } from '../../wire/address/address.ts';
import { drawnVethName, FABRIC_MAC, hostVethMac } from '../azure-cni/mac.ts';
import { literal, neighbor } from '../azure-cni/neighbors.ts';
import { addUplink, defaultRoute, UPLINK } from '../azure-cni/node-base.ts';
import { addressRanges } from '../azure-cni/ranges.ts';
import type { NetworkRenderer, OptionSpec, RenderInput, Stack } from '../dataplane.ts';
import { addBridgedPods, type BridgeSettings, bridgedPod } from '../plain/bridge.ts';
import { CALICO_VETHS, calicoVethName } from '../plain/calico-veths.ts';
import { nodeRanges } from '../plain/node-range.ts';
import { addRoutedPods, type RoutedVeths, routedPod } from '../plain/routed.ts';
import { CALICO_PORTMAP } from '../portmap/portmap.ts';
import { addFlannelRules, addKindnetRules } from './masquerade.ts';

/** What their configurations call the network; who writes one of one's own may call it anything. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['flannel', 'cbr0'],
  ['kindnet', 'kindnet'],
]);

function cniOf(stack: Stack): string {
  return stack.options[CNI.name] ?? CNI.default;
}

const CNI: OptionSpec = {
  name: 'cni',
  values: 'bridge|ptp|flannel|kindnet',
  default: 'bridge',
  describes:
    'byo: pods on a routed bridge or routed one by one (ptp), nothing hidden; flannel (host-gw) and ' +
    'kindnet are these two with their masquerade chains',
  accepts: (value) => ['bridge', 'ptp', 'flannel', 'kindnet'].includes(value),
};

/** flannel's delegate has hairpin mode on (`kube-flannel.yml`); the plain bridge is the same. */
const BRIDGE: BridgeSettings = { bridge: 'cni0', promiscuous: false, hairpin: true };

const PTP: RoutedVeths = {
  name: drawnVethName,
  mac: hostVethMac,
  gateway: 'range',
  podAddress: (address) => ({ address, length: bits(address.family), scope: 'global' }),
  gateways: { 4: literal('169.254.1.1'), 6: literal('fe80::1') },
  permanent6: false,
};

export const byo: NetworkRenderer = {
  name: 'byo',
  node: renderNode,
  pod: renderPod,
  hostDevice: (pod, stack) =>
    stack.policy === 'calico' ? calicoVethName(pod) : drawnVethName(pod),
  between: 'link',
  portmap: (stack) =>
    stack.policy === 'calico'
      ? CALICO_PORTMAP
      : { network: NAMES.get(cniOf(stack)) ?? 'pods', range: 'node' },
  options: [CNI],
};

/** The pods' veths where they are routed one by one; null for a bridge. */
function vethsOf(stack: Stack): RoutedVeths | null {
  if (stack.policy === 'calico') return CALICO_VETHS;
  const cni = cniOf(stack);
  return cni === 'ptp' || cni === 'kindnet' ? PTP : null;
}

function renderNode(input: RenderInput, node: Node, builder: PlanBuilder): void {
  const { cluster, stack } = input;
  addUplink(builder, node, addressRanges(cluster));
  const veths = vethsOf(stack);
  if (veths) addRoutedPods(builder, cluster, node, veths);
  else addBridgedPods(builder, cluster, node, BRIDGE);
  for (const other of cluster.nodes) if (other !== node) addRoutesTo(builder, other);
  if (stack.policy === 'calico') return;
  const cni = cniOf(stack);
  if (cni === 'flannel') addFlannelRules(builder, cluster.wiring, node);
  if (cni === 'kindnet') addKindnetRules(builder, cluster.wiring);
}

/** `10.244.1.0/24 via NODE dev eth0`. */
function addRoutesTo(builder: PlanBuilder, other: Node): void {
  for (const { range } of nodeRanges(other)) {
    const via = other.addresses.find((a) => a.family === range.address.family);
    // Azure's IPv6 addresses are single: the other node is a neighbour all the same.
    if (!via) continue;
    const route = { ...defaultRoute(via, UPLINK), destination: range };
    builder.routes.push(via.family === 6 ? { ...route, onlink: true } : route);
    // The fabric answers ARP for it, and has no like of that for neighbour discovery.
    if (via.family === 6) builder.neighbors.push(neighbor(via, UPLINK, FABRIC_MAC));
  }
}

function renderPod(input: RenderInput, pod: Pod): Plan {
  const veths = vethsOf(input.stack);
  return veths ? routedPod(input, pod, veths) : bridgedPod(input, pod);
}
