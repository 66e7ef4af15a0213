/**
 * The emulated nodes of `--dump`: dumped nodes put together, and named by the cluster objects that
 * may be given beside them.
 *
 * Objects name what dumps show. Only where a dump does not say how its node reaches anybody do they
 * add something: that a pod of this node is behind some device, and everybody else outside.
 * @module
 */
import type { Cluster, Node } from '../cluster/model.ts';
import { isAttached, type Stack } from '../dataplane/dataplane.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { namedMac } from '../dump/devices.ts';
import { dumpNetwork } from '../dump/network.ts';
import type { DumpNode } from '../dump/read-dump.ts';
import { ASSUMED_MARK } from '../image/gaps.ts';
import { type Interface, MAIN_TABLE, type Network, type Plan, type Route } from '../plan/model.ts';
import { type Address, hostPrefix } from '../wire/address/address.ts';

/** What stands for a stack when the dumps are what was installed. */
export const DUMP_STACK: Stack = { text: 'dump', network: 'byo', policy: 'none', options: {} };

export interface DumpCluster {
  readonly cluster: Cluster;
  readonly network: Network;
}

const NO_CLUSTER: Cluster = {
  nodes: [],
  namespaces: [],
  pods: [],
  services: [],
  endpointSlices: [],
  wiring: {
    networkPlugin: 'none',
    networkPluginMode: 'none',
    networkPolicy: 'none',
    podCidrs: [],
    serviceCidrs: [],
    dnsServiceIp: null,
    vnet: [],
    subnets: [],
    nonMasqueradeCidrs: [],
    inferred: true,
  },
};

/** Put dumped nodes and cluster objects together. */
export function dumpCluster(nodes: readonly DumpNode[], given: Cluster | null): DumpCluster {
  const cluster = given ?? NO_CLUSTER;
  const hosts = new Set(nodes.map(({ plan }) => plan.host));
  const named = nodes.map((node) => withNamed(node, cluster));
  const network = dumpNetwork(named);
  const others = cluster.nodes.filter(({ name }) => !hosts.has(name));
  const own = named.map((node) => {
    return nodeObject(
      node,
      cluster.nodes.find(({ name }) => name === node.plan.host),
    );
  });
  const strangers = given === null ? [] : unplacedPods(given, hosts);
  const warnings = [...(network.warnings ?? []), ...strangers];
  return {
    cluster: { ...cluster, nodes: [...own, ...others] },
    network: { ...network, warnings },
  };
}

function nodeObject({ plan, uplink }: DumpNode, given: Node | undefined): Node {
  const found = ownAddresses(plan, uplink);
  const source = given?.source ?? { file: plan.host, line: 1, column: 1 };
  return {
    name: plan.host,
    labels: given?.labels ?? {},
    source,
    addresses: found.length > 0 ? found : (given?.addresses ?? []),
    podCidrs: given?.podCidrs ?? [],
    os: 'linux',
    kernel: plan.kernel,
  };
}

/** The uplink's addresses (its bridge's, when it is a port), else those of any device. */
function ownAddresses(plan: Plan, uplink: string): readonly Address[] {
  const master = plan.interfaces.find(({ name }) => name === uplink)?.master;
  const usable = ({ addresses, kind }: Interface) =>
    kind === 'loopback'
      ? []
      : addresses.flatMap(({ address, scope }) => (scope === 'global' ? [address] : []));
  const at = plan.interfaces.filter(({ name }) => name === uplink || name === master);
  const near = at.flatMap(usable);
  return near.length > 0 ? near : plan.interfaces.flatMap(usable);
}

/** Say of a node that does not know its ways what the objects know of them. */
function withNamed(node: DumpNode, cluster: Cluster): DumpNode {
  const { plan, uplink } = node;
  if (plan.gaps?.includes('routes') !== true) return node;
  const interfaces: Interface[] = [];
  const routes: Route[] = [];
  const own = cluster.nodes.find(({ name }) => name === plan.host)?.addresses ?? [];
  for (const other of cluster.nodes) {
    if (other.name === plan.host) continue;
    routes.push(...other.addresses.map((address) => toHost(address, uplink)));
  }
  for (const pod of cluster.pods.filter(isAttached)) {
    const device = pod.node === plan.host ? `pod${interfaces.length}${ASSUMED_MARK}` : uplink;
    if (device !== uplink) interfaces.push(podDevice(device));
    routes.push(...pod.addresses.map((address) => toHost(address, device)));
  }
  const withOwn = plan.interfaces.map((device): Interface => {
    if (device.name !== uplink || device.addresses.length > 0) return device;
    const addresses = own.map((address) => {
      return { address, length: hostPrefix(address).length, scope: 'global' } as const;
    });
    return { ...device, addresses };
  });
  const all = [...withOwn, ...interfaces];
  return { ...node, plan: { ...plan, interfaces: all, routes: [...plan.routes, ...routes] } };
}

function podDevice(name: string): Interface {
  return { name, kind: 'veth', mac: namedMac(name), mtu: 1500, up: true, addresses: [] };
}

function toHost(address: Address, device: string): Route {
  const destination = hostPrefix(address);
  const { family } = address;
  const rest = { table: MAIN_TABLE, metric: 0, scope: 'link', device } as const;
  return { family, type: 'unicast', destination, ...rest };
}

/** Pods of nodes that nobody dumped are outside; said once when that is all of them. */
function unplacedPods(cluster: Cluster, hosts: ReadonlySet<string>): readonly Diagnostic[] {
  const pods = cluster.pods.filter(isAttached);
  if (pods.length === 0 || pods.some(({ node }) => hosts.has(node))) return [];
  const message = 'no pod of the cluster objects is on a node that was dumped: all are outside';
  return [
    {
      code: 'DUMP_NODE_UNKNOWN',
      message,
      found: [...hosts].join(', '),
      accepted: `--dump NODE=DIR with ${[...new Set(pods.map(({ node }) => node))].slice(0, 5).join(', ')}`,
    },
  ];
}
