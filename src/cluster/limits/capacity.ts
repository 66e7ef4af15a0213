/**
 * How far a cluster can grow before Azure has nothing left for it: each range and each limit, what
 * is taken of it, and how many more nodes that lets in.
 *
 * - A subnet keeps five addresses for Azure. With Azure CNI's node subnet a node takes one and one
 *   for each of its `maxPods`, whether or not there are such pods; with pod subnets CNS takes
 *   addresses for a node sixteen at a time; else a node takes one.
 * - With pod ranges of their own a node takes a /24 (IPv6: /80), whatever runs on it.
 * - 400 nodes with kubenet (routes of a table; half in two families), else 5,000; Azure NPM
 *   is supported up to 250 nodes and 20,000 pods.
 * - AKS recommends 110 pods at most for a Windows node of an overlay, whatever its `maxPods`.
 *
 * Sources: AKS docs "Azure CNI Overlay", "Use kubenet", "Dynamic allocation of IPs" (batches of
 * 16), "Plan IP addressing", "Use network policies" (NPM's limits); Virtual Network FAQ (five).
 * @module
 */
import type { Prefix } from '../../wire/address/address.ts';
import { contains, formatPrefix } from '../../wire/address/address.ts';
import { hasNetwork } from '../address/address-plan.ts';
import { sizeOf } from '../address/ipam.ts';
import { poolOf } from '../address/pod-subnets.ts';
import { hasPodRanges } from '../infer-wiring.ts';
import type { Cluster, Node, Pod } from '../model.ts';

/** Addresses that Azure keeps in every subnet. */
const KEPT = 5;
/** Addresses that CNS asks for at a time. */
const BATCH = 16;
/** What Azure NPM is supported with. */
export const NPM_NODES = 250;
export const NPM_PODS = 20_000;
/** What AKS recommends at most for a Windows node of an overlay. */
const WINDOWS_PODS = 110;
/** The most that AKS takes as `maxPods`. */
export const MOST_PODS = 250;

/** One thing that can run out. */
export interface Supply {
  readonly what: string;
  /** The range it is of; null for a limit. */
  readonly range: string | null;
  readonly size: number;
  readonly used: number;
  readonly left: number;
  /** What one more node takes; 0 when nodes take none of it. */
  readonly perNode: number;
  /** Nodes that still fit; null when nodes take none of it. */
  readonly moreNodes: number | null;
}

export interface Capacity {
  readonly supplies: readonly Supply[];
  /** What ends first as nodes are added; null where nothing does. */
  readonly first: Supply | null;
  /** The node with the least room for pods. */
  readonly fullest: {
    readonly node: string;
    readonly pods: number;
    readonly maxPods: number;
  } | null;
}

/** Nodes that a cluster may have: with kubenet as many as a table has routes, one a family. */
export function mostNodes(wiring: Pick<Cluster['wiring'], 'networkPlugin' | 'podCidrs'>): number {
  if (wiring.networkPlugin !== 'kubenet') return 5000;
  const families = new Set(wiring.podCidrs.map((p) => p.address.family)).size;
  return 400 / Math.max(1, families);
}

/** `maxPods` of a node: its pool's, else the default of the network. */
export function maxPodsOf(wiring: Cluster['wiring'], node: string): number {
  const pool = poolOf(wiring, node);
  if (pool?.maxPods != null) return pool.maxPods;
  if (wiring.networkPlugin !== 'azure') return 110;
  if (wiring.networkPluginMode === 'overlay') return MOST_PODS;
  return wiring.podSubnets ? 110 : 30;
}

/** Work out what is left. */
export function capacityOf(cluster: Cluster): Capacity {
  const pods = cluster.pods.filter(hasNetwork);
  const supplies = [
    ...subnetSupplies(cluster, pods),
    ...blockSupplies(cluster),
    ...serviceSupplies(cluster),
    ...limits(cluster, pods),
  ];
  const bounded = supplies.filter((s) => s.moreNodes !== null);
  const first = bounded.toSorted((a, b) => (a.moreNodes ?? 0) - (b.moreNodes ?? 0))[0] ?? null;
  return { supplies, first, fullest: fullestNode(cluster, pods) };
}

function supply(
  what: string,
  range: Prefix | null,
  amounts: { readonly size: number; readonly used: number; readonly perNode: number },
): Supply {
  const { size, used, perNode } = amounts;
  const left = Math.max(0, size - used);
  const moreNodes = perNode === 0 ? null : Math.floor(left / perNode);
  return { what, range: range && formatPrefix(range), size, used, left, perNode, moreNodes };
}

function subnetSupplies(cluster: Cluster, pods: readonly Pod[]): readonly Supply[] {
  const { wiring, nodes } = cluster;
  const own = hasPodRanges(wiring);
  return wiring.subnets
    .filter((s) => s.address.family === 4)
    .flatMap((subnet) => {
      const size = Math.max(0, sizeOf(subnet) - KEPT);
      const here = nodes.filter((n) => n.addresses.some((a) => contains(subnet, a)));
      const inside = pods.filter(
        (p) => !p.hostNetwork && p.addresses.some((a) => contains(subnet, a)),
      );
      if (here.length === 0) {
        if (inside.length === 0) return [];
        const used = batches(nodes, inside) * BATCH;
        return [supply('pod subnet, addresses', subnet, { size, used, perNode: BATCH })];
      }
      const shared = !own && !wiring.podSubnets;
      const reserve = (node: Node) => 1 + (shared ? maxPodsOf(wiring, node.name) : 0);
      const used = here.reduce((sum, node) => sum + reserve(node), 0);
      const [last] = here.slice(-1);
      const perNode = last ? reserve(last) : 1;
      return [supply('node subnet, addresses', subnet, { size, used, perNode })];
    });
}

/** Batches of addresses that nodes hold for their pods. */
function batches(nodes: readonly Node[], pods: readonly Pod[]): number {
  const byNode = new Map<string, number>();
  for (const { node } of pods) byNode.set(node, (byNode.get(node) ?? 0) + 1);
  return nodes.reduce(
    (sum, n) => sum + Math.max(1, Math.ceil((byNode.get(n.name) ?? 0) / BATCH)),
    0,
  );
}

function blockSupplies({ wiring, nodes }: Cluster): readonly Supply[] {
  if (!hasPodRanges(wiring)) return [];
  return wiring.podCidrs.map((range) => {
    const block = range.address.family === 4 ? 24 : 80;
    const size = 2 ** Math.min(31, Math.max(0, block - range.length));
    const used = nodes.reduce((sum, n) => {
      const own = n.podCidrs.filter((p) => contains(range, p.address));
      return sum + own.reduce((s, p) => s + 2 ** Math.max(0, block - p.length), 0);
    }, 0);
    return supply(`pod range, /${block} a node`, range, { size, used, perNode: 1 });
  });
}

function serviceSupplies({ wiring, services }: Cluster): readonly Supply[] {
  return wiring.serviceCidrs.map((range) => {
    const inside = services.flatMap((s) => s.clusterIps.filter((a) => contains(range, a)));
    // Neither the network's address nor the last one of a range is given to a Service.
    const size = Math.max(0, sizeOf(range) - 2);
    return supply('service range, addresses', range, { size, used: inside.length, perNode: 0 });
  });
}

function limits({ wiring, nodes }: Cluster, pods: readonly Pod[]): readonly Supply[] {
  if (wiring.networkPlugin === 'none') return [];
  const used = nodes.length;
  const found = [supply('nodes of a cluster', null, { size: mostNodes(wiring), used, perNode: 1 })];
  if (wiring.networkPolicy === 'azure') {
    found.push(supply('nodes with Azure NPM', null, { size: NPM_NODES, used, perNode: 1 }));
    const running = { size: NPM_PODS, used: pods.length, perNode: 0 };
    found.push(supply('pods with Azure NPM', null, running));
  }
  const crowd = windowsCrowd(nodes, pods);
  if (crowd !== null && wiring.networkPluginMode === 'overlay') {
    const amounts = { size: WINDOWS_PODS, used: crowd, perNode: 0 };
    found.push(supply('pods of a Windows node in an overlay, recommended', null, amounts));
  }
  return found;
}

/** Pods of the Windows node that has most; null without Windows nodes. */
function windowsCrowd(nodes: readonly Node[], pods: readonly Pod[]): number | null {
  const counts = new Map(nodes.filter((n) => n.os === 'windows').map((n) => [n.name, 0]));
  if (counts.size === 0) return null;
  for (const { node } of pods) {
    const count = counts.get(node);
    if (count !== undefined) counts.set(node, count + 1);
  }
  return Math.max(...counts.values());
}

function fullestNode({ wiring, nodes }: Cluster, pods: readonly Pod[]): Capacity['fullest'] {
  const byNode = new Map<string, number>();
  for (const { node } of pods) byNode.set(node, (byNode.get(node) ?? 0) + 1);
  const rooms = nodes.map((n) => {
    const maxPods = maxPodsOf(wiring, n.name);
    return { node: n.name, pods: byNode.get(n.name) ?? 0, maxPods };
  });
  return rooms.toSorted((a, b) => a.maxPods - a.pods - (b.maxPods - b.pods))[0] ?? null;
}
