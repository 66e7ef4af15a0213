/**
 * From a cluster, its policies and a stack to all hosts of one emulated network.
 *
 *   node plan  = network renderer, then kubelet and kube-proxy, then the policy engine
 *   pod plan   = network renderer, made when first asked for
 *   fabric     = one device per node, one edge for everything outside
 *
 * The order on a node is that in which the products start: the CNI before kube-proxy, kube-proxy
 * before the policy engine; inserts (`-I`) therefore end up as on a real node.
 * @module
 */
import type { Cluster, Node } from '../cluster/model.ts';
import { assert, type Diagnostic, UserError } from '../diagnostic/diagnostic.ts';
import { fabricDevice, fabricLinks } from '../fabric/devices.ts';
import { type FabricNode, renderFabric } from '../fabric/render.ts';
import { PlanBuilder } from '../plan/builder.ts';
import { lazyPlan } from '../plan/lazy-plan.ts';
import type { Network, Plan } from '../plan/model.ts';
import { contains } from '../wire/address/address.ts';
import { nodeMac } from './azure-cni/mac.ts';
import { podsOf } from './azure-cni/neighbors.ts';
import { addressRanges } from './azure-cni/ranges.ts';
import { transparentPod } from './azure-transparent/render.ts';
import { attachedPod, NetworkCables } from './cables.ts';
import {
  type BetweenNodes,
  isAttached,
  type NetworkRenderer,
  type PolicyRenderer,
  podHost,
  type RenderInput,
} from './dataplane.ts';
import { proxySettings } from './kube-proxy/config.ts';
import { ipvsRefusals } from './kube-proxy/ipvs/refused.ts';
import { renderKubelet } from './kube-proxy/kubelet.ts';
import { renderKubeProxy } from './kube-proxy/render.ts';
import { serviceWarnings } from './kube-proxy/warnings.ts';
import { withRouteTable } from './kubenet/route-table.ts';
import { renderMasquerade } from './masquerade/render.ts';
import { notOffered } from './offered.ts';
import { nodeRanges } from './plain/node-range.ts';
import { renderHostPorts } from './portmap/render.ts';
import { networkRenderer, policyRenderer } from './registry.ts';
import { windowsProblems, withNodeOs } from './windows/refusals.ts';
import { renderWindowsNode, windowsWarnings } from './windows/render.ts';

/** The host that stands for the Azure network. */
export const FABRIC_HOST = 'fabric';

/**
 * Plans of further nodes are written when somebody looks into them; not with Calico, which may
 * refuse each of them, and where nodes have more than rules of iptables.
 */
const WRITTEN_AT_ONCE = 64;

/** What is known of a network that only the fabric's health has changed of. */
interface Known {
  readonly nodes?: readonly Plan[];
  readonly warnings?: readonly Diagnostic[];
}

/**
 * Render nodes and the fabric now, pods (and nodes of large clusters) on demand.
 *
 * Throws a `UserError` for what can not be emulated in this cluster (Windows nodes where AKS has
 * none, a pod on a node that does not exist).
 */
export function renderNetwork(asked: RenderInput, known: Known = {}): Network {
  const input = withNodeOs(asked);
  const network = networkRenderer(input.stack.network);
  const policy = policyRenderer(input.stack.policy);
  assert(network !== undefined && policy !== undefined, 'the stack was checked by parseStack');
  checkCluster(input.cluster, [
    ...notOffered(input.cluster, input.stack),
    ...ipvsRefusals(input.cluster, input.stack),
    ...windowsProblems(input.cluster, input.stack),
  ]);
  const { cluster } = input;
  const windows = new Set(cluster.nodes.filter(isWindows).map((node) => node.name));
  const plans = new Map<string, Plan>();
  const between = network.between ?? 'nodes';
  const fabric = renderFabric({
    host: FABRIC_HOST,
    cluster: withRouteTable(input.cluster, between),
    ranges: addressRanges(input.cluster).all,
    nodes: fabricNodes(cluster, between),
    between,
    ...(input.unhealthy === undefined ? {} : { unhealthy: input.unhealthy }),
  });
  const warnings = [
    ...serviceWarnings(input.cluster),
    ...(policy.warnings?.(input) ?? []),
    ...windowsWarnings(input),
    ...fabric.warnings,
    ...(known.warnings ?? []),
  ];
  const cables = new NetworkCables(input, network, [
    ...fabricLinks(
      FABRIC_HOST,
      cluster.nodes.map((node) => node.name),
    ),
    ...fabric.links,
  ]);
  return {
    stack: input.stack.text,
    nodes: known.nodes ?? renderNodes(input, network, policy),
    fabric: fabric.plan,
    edges: fabric.edges.map((device) => ({ host: FABRIC_HOST, device })),
    get links() {
      return cables.all();
    },
    farEnd: (host, device) => cables.farEnd(host, device),
    ...(fabric.appliances.length === 0 ? {} : { appliances: fabric.appliances }),
    ...(fabric.healthProbes.length === 0 ? {} : { healthProbes: fabric.healthProbes }),
    get pods() {
      return cluster.pods.filter(isAttached).map(podHost);
    },
    isPod: (host) => attachedPod(cluster, host) !== undefined,
    podPlan(host: string): Plan {
      const made = plans.get(host);
      if (made) return made;
      const pod = attachedPod(cluster, host);
      assert(pod !== undefined, `pod ${host} is one of this network's`);
      const plan = windows.has(pod.node) ? transparentPod(input, pod) : network.pod(input, pod);
      plans.set(host, plan);
      return plan;
    },
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}

function renderNodes(input: RenderInput, network: NetworkRenderer, policy: PolicyRenderer): Plan[] {
  const { services, endpointSlices } = input.cluster;
  const settings = proxySettings(input.cluster, input.stack);
  // Guessed ranges would drop what nobody said is a Service's.
  const { wiring } = input.cluster;
  const serviceCidrs = wiring.inferred ? [] : wiring.serviceCidrs;
  const write = (node: Node): Plan => {
    if (isWindows(node)) return renderWindowsNode(input, node);
    const builder = new PlanBuilder(node.name, 'node');
    builder.kernel = node.kernel === '' ? builder.kernel : node.kernel;
    network.node(input, node, builder);
    if (network.kubernetes !== false) {
      renderKubelet(builder);
      renderKubeProxy(builder, { services, endpointSlices, node, settings, serviceCidrs });
      renderMasquerade(builder, input.cluster, node);
      renderHostPorts(builder, input, node, network);
    }
    policy.node(input, node, network, builder);
    return builder.build();
  };
  const { nodes } = input.cluster;
  const canWait = settings.mode === 'iptables' && policy.name !== 'calico';
  return nodes.map((node, i) => {
    // The first tells what is wrong with all of them: they differ in pods and addresses only.
    if (!canWait || i < WRITTEN_AT_ONCE || isWindows(node)) return write(node);
    return lazyPlan({ host: node.name, role: 'node', evidence: 'source' }, () => write(node));
  });
}

function isWindows({ os }: Node): boolean {
  return os === 'windows';
}

function fabricNodes(cluster: Cluster, between: BetweenNodes): FabricNode[] {
  return cluster.nodes.map((node) => {
    const podRanges = between === 'nodes' ? [] : nodeRanges(node).map(({ range }) => range);
    const all = podsOf(cluster, node.name).flatMap((pod) => pod.addresses);
    const podAddresses = all.filter((a) => !podRanges.some((range) => contains(range, a)));
    const { name, addresses } = node;
    return { name, mac: nodeMac(name), addresses, podAddresses, podRanges };
  });
}

function checkCluster(cluster: Cluster, refused: readonly Diagnostic[]): void {
  const problems: Diagnostic[] = [...refused];
  const nodes = new Set(cluster.nodes.map((node) => node.name));
  const devices = new Set<string>();
  for (const node of cluster.nodes) {
    const place = { file: node.source.file, line: node.source.line, object: `Node/${node.name}` };
    const device = fabricDevice(node.name);
    if (devices.has(device)) {
      const message = 'two node names hash to the same fabric device; rename one of them';
      problems.push({ code: 'NODE_DEVICE_TWICE', ...place, message, found: device });
    }
    devices.add(device);
  }
  for (const pod of cluster.pods) {
    if (!isAttached(pod) || nodes.has(pod.node)) continue;
    problems.push({
      code: 'POD_NODE_UNKNOWN',
      file: pod.source.file,
      line: pod.source.line,
      object: `${pod.namespace}/Pod/${pod.name}`,
      field: 'spec.nodeName',
      message: 'the pod is on a node that is not in the cluster',
      found: pod.node,
      accepted: [...nodes].join(', '),
    });
  }
  if (problems.length > 0) throw new UserError(problems);
}
