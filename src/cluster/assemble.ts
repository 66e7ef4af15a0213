/**
 * From objects to a cluster: decoded, placed, addressed, and checked as a whole.
 *
 * Filled as the platform would: namespaces that are used and not given; nodes, when none are given
 * (those that pods name; else the node pools of the wiring; else three, AKS's default); nodes for
 * pods without one; addresses; EndpointSlices.
 * @module
 */
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { Address } from '../wire/address/address.ts';
import { addressKey, equalAddress, formatAddress } from '../wire/address/address.ts';
import { AddressMap } from '../wire/address/address-map.ts';
import { hasNetwork } from './address/address-plan.ts';
import type { Exhausted } from './address/ipam.ts';
import { AddressBook, assignAddresses, assignPodRanges, schedule } from './address/ipam.ts';
import { allocateServices } from './address/service-allocation.ts';
import type { ClusterReader, Decoded } from './cluster-reader.ts';
import { settleDns } from './decode/cluster-dns.ts';
import { makeEndpointSlices, type PodCondition } from './decode/object/endpoints.ts';
import { defaultKernel, namespaceLabels, nodeLabels } from './decode/object/node.ts';
import type { PodDraft } from './decode/object/pod.ts';
import type { Workload } from './decode/object/workloads.ts';
import type { GivenWiring } from './decode/wiring/wiring.ts';
import { decodeWiring } from './decode/wiring/wiring.ts';
import type { KnownAddresses } from './infer-wiring.ts';
import { clusterFamilies, settleWiring } from './infer-wiring.ts';
import { decodeControllers, decodeGateways } from './ingress/decode-controllers.ts';
import { azureProblems } from './limits/azure-rules.ts';
import type { Documents } from './manifest/load.ts';
import { placeOf } from './manifest/tree.ts';
import type {
  Cluster,
  KubeProxyConfig,
  Namespace,
  Node,
  Pod,
  Service,
  SourceRef,
} from './model.ts';
import { formatSource } from './model.ts';
import { nearest } from './nearest.ts';
import { networkOfLabels } from './node-labels.ts';
import { findPool, nodeName } from './node-pool.ts';
import { withoutHostNetwork } from './windows-pods.ts';

/** A namespace that something else is in. */
export interface NamespaceUse {
  readonly namespace: string;
  readonly source: SourceRef;
}

/**
 * Build the cluster that the documents describe; mistakes are added to `problems`. `uses` are the
 * namespaces of objects that other rooms decode.
 */
export function assembleCluster(
  reader: ClusterReader,
  documents: Documents,
  uses: readonly NamespaceUse[],
  problems: Diagnostic[],
): Cluster {
  const { decoded } = reader;
  problems.push(...reader.problems);
  const given = decodeWiring(documents.wirings, problems);
  const { nodes: named, maxPods } = settleNodes(decoded, given, problems);
  const pods = [...decoded.pods, ...podsOfWorkloads(decoded, named)];
  const drafts = withoutHostNetwork(schedule(pods, named), named);
  const known = knownAddresses(named, drafts, decoded.services);
  const wiring = settleWiring(given, known, decoded.masquerade);
  const families = clusterFamilies(given, known);
  const book = new AddressBook();
  book.claim([...known.nodes, ...known.pods]);
  const ranged = assignPodRanges(named, drafts, wiring, families, book);
  const placed = assignAddresses(ranged, drafts, wiring, families, maxPods, book);
  const services = allocateServices(decoded.services, wiring, book, problems);
  problems.push(...book.exhausted.map(exhaustedProblem));
  const used = [
    ...uses,
    ...placed.pods,
    ...services,
    ...decoded.ingresses,
    ...decoded.workloads.map(useOf),
  ];
  const sliced = new Set(decoded.slices.map((s) => `${s.namespace}/${s.service}`));
  const endpointSlices = [
    ...decoded.slices,
    ...decoded.mirrored.filter((s) => !sliced.has(`${s.namespace}/${s.service}`)),
  ];
  const made = makeEndpointSlices({
    services,
    pods: placed.pods,
    nodes: placed.nodes,
    given: endpointSlices,
    conditionOf: conditions(drafts),
  });
  duplicateAddresses(placed.nodes, placed.pods, services, problems);
  hostAddressProblems(drafts, placed.nodes, problems);
  const dns = settleDns(given, decoded.dnsParts);
  if (given) problems.push(...azureProblems(given, wiring, placed.nodes, placed.pods));
  return {
    nodes: placed.nodes,
    namespaces: fillNamespaces(decoded.namespaces, used),
    pods: placed.pods,
    services,
    endpointSlices: [...endpointSlices, ...made],
    kubeProxy: settleKubeProxy(decoded, problems),
    wiring,
    ...(dns === null ? {} : { dns }),
    ...(decoded.ipPools.length === 0 ? {} : { ipPools: decoded.ipPools }),
    ...ingressParts(decoded, given, services, problems),
  };
}

/** Ingresses and what serves them, where there are any. */
function ingressParts(
  { ingresses, ingressClasses }: Decoded,
  given: GivenWiring | null,
  services: readonly Service[],
  problems: Diagnostic[],
): Partial<Cluster> {
  const ingressControllers = given ? decodeControllers(given.tree, services, problems) : [];
  const applicationGateways = given ? decodeGateways(given.tree, problems) : [];
  return {
    ...(ingresses.length === 0 ? {} : { ingresses }),
    ...(ingressClasses.length === 0 ? {} : { ingressClasses }),
    ...(ingressControllers.length === 0 ? {} : { ingressControllers }),
    ...(applicationGateways.length === 0 ? {} : { applicationGateways }),
  };
}

/** What the drafts say about the pods that they became. */
function conditions(drafts: readonly PodDraft[]): (pod: Pod) => PodCondition {
  let byName: Map<string, PodDraft> | undefined;
  return (pod) => {
    // Made when a Service first asks: most pods are never asked about.
    byName ??= new Map(drafts.map((d) => [`${d.pod.namespace}/${d.pod.name}`, d]));
    const draft = byName.get(`${pod.namespace}/${pod.name}`);
    return { ready: draft?.ready === true, terminating: draft?.terminating === true };
  };
}

function useOf(workload: Workload): NamespaceUse {
  const { object } = workload;
  return { namespace: object.namespace, source: placeOf(object.tree) };
}

/** The one configuration of kube-proxy; a second one is a mistake. */
function settleKubeProxy(d: Decoded, problems: Diagnostic[]): KubeProxyConfig | null {
  const [first, ...others] = d.kubeProxies;
  for (const { object } of first ? others : []) {
    const place = first ? formatSource(placeOf(first.object.tree)) : '';
    const message = `kube-proxy has one configuration: another is at ${place}`;
    problems.push({
      code: 'DUPLICATE_OBJECT',
      ...placeOf(object.tree),
      object: object.id,
      message,
    });
  }
  return first?.config ?? null;
}

/** Pods of the workloads that have none among the given ones. */
function podsOfWorkloads(d: Decoded, nodes: readonly Node[]): readonly PodDraft[] {
  if (d.pods.some((p) => p.live)) return [];
  return d.workloads.flatMap((w) => {
    const wanted = Object.entries(w.templateLabels);
    const has = d.pods.some(
      ({ pod }) =>
        pod.namespace === w.object.namespace &&
        wanted.length > 0 &&
        wanted.every(([key, value]) => pod.labels[key] === value),
    );
    return w.owned || has ? [] : w.pods(nodes);
  });
}

interface SettledNodes {
  readonly nodes: readonly Node[];
  readonly maxPods: ReadonlyMap<string, number>;
}

function settleNodes(d: Decoded, given: GivenWiring | null, problems: Diagnostic[]): SettledNodes {
  if (d.nodes.length > 0) {
    const known = new Set(d.nodes.map((n) => n.name));
    for (const { pod, nodeSource } of d.pods) {
      if (pod.node === '' || known.has(pod.node)) continue;
      const names = [...known];
      const guess = nearest(pod.node, names);
      problems.push({
        code: 'POD_NODE_UNKNOWN',
        ...nodeSource,
        object: `${pod.namespace}/Pod/${pod.name}`,
        field: 'spec.nodeName',
        message: `no such node${guess === null ? '' : `, did you mean "${guess}"?`}`,
        found: JSON.stringify(pod.node),
        accepted: names.slice(0, 10).join(', ') + (names.length > 10 ? ', …' : ''),
      });
    }
    const told = hostAddresses(d.pods);
    return { nodes: d.nodes.map((n) => withHostAddresses(n, told)), maxPods: new Map() };
  }
  const named = new Map(
    d.pods.filter((p) => p.pod.node !== '').map((p) => [p.pod.node, p.pod.source]),
  );
  if (named.size > 0) {
    const told = hostAddresses(d.pods);
    const nodes = [...named].map(([name, source]) => {
      const pool = findPool(given?.nodePools ?? [], name);
      return withHostAddresses(makeNode(name, pool?.os ?? 'linux', source, pool?.osSku), told);
    });
    return { nodes, maxPods: new Map() };
  }
  return nodesOfPools(given);
}

function nodesOfPools(given: GivenWiring | null): SettledNodes {
  const source = given ? placeOf(given.tree) : { file: '(default nodes)', line: 1, column: 1 };
  const pools =
    given && given.nodePools.length > 0
      ? given.nodePools
      : [{ name: 'nodepool1', count: 3, maxPods: null, os: 'linux' as const }];
  const nodes: Node[] = [];
  const maxPods = new Map<string, number>();
  for (const pool of pools) {
    for (let i = 0; i < pool.count; i++) {
      const name = nodeName(pool, i);
      nodes.push(makeNode(name, pool.os, source, pool.osSku));
      if (pool.maxPods !== null) maxPods.set(name, pool.maxPods);
    }
  }
  return { nodes, maxPods };
}

function makeNode(name: string, os: Node['os'], source: SourceRef, osSku?: string): Node {
  const labels = nodeLabels(name, os, {});
  const kernel = defaultKernel(os, osSku);
  return { name, labels, source, addresses: [], podCidrs: [], os, kernel };
}

/** Node addresses as the pods' status tells them, by node name. */
function hostAddresses(pods: readonly PodDraft[]): ReadonlyMap<string, readonly Address[]> {
  const told = new Map<string, Address[]>();
  for (const { pod, hostAddresses: hosts } of pods) {
    const found = told.get(pod.node) ?? [];
    told.set(pod.node, found);
    for (const a of [...hosts, ...(pod.hostNetwork ? pod.addresses : [])]) {
      if (!found.some((f) => equalAddress(f, a))) found.push(a);
    }
  }
  return told;
}

/** A node without addresses has those that its pods' status tells. */
function withHostAddresses(node: Node, told: ReadonlyMap<string, readonly Address[]>): Node {
  return node.addresses.length > 0 ? node : { ...node, addresses: told.get(node.name) ?? [] };
}

function knownAddresses(
  nodes: readonly Node[],
  drafts: readonly PodDraft[],
  services: readonly Service[],
): KnownAddresses {
  const dns = services.find((s) => s.namespace === 'kube-system' && s.name === 'kube-dns');
  return {
    nodes: nodes.flatMap((n) => n.addresses),
    pods: drafts.flatMap((d) => (d.pod.hostNetwork || !hasNetwork(d.pod) ? [] : d.pod.addresses)),
    clusterIps: services.flatMap((s) => s.clusterIps),
    dns: dns?.clusterIps[0] ?? null,
    labelled: networkOfLabels(nodes),
  };
}

function exhaustedProblem(e: Exhausted): Diagnostic {
  const message = `no address left for it in the ${e.range}`;
  return { code: 'ADDRESS_EXHAUSTED', ...e.source, object: e.what, message };
}

function fillNamespaces(
  given: readonly Namespace[],
  uses: readonly NamespaceUse[],
): readonly Namespace[] {
  const byName = new Map(given.map((n) => [n.name, n]));
  for (const { namespace: name, source } of uses) {
    if (byName.has(name)) continue;
    byName.set(name, { name, labels: namespaceLabels(name, {}), source });
  }
  return [...byName.values()];
}

/** A hostNetwork pod whose status shows an address that its node does not have. */
function hostAddressProblems(
  drafts: readonly PodDraft[],
  nodes: readonly Node[],
  problems: Diagnostic[],
): void {
  const byName = new Map(nodes.map((n) => [n.name, n.addresses]));
  for (const { pod, running } of drafts) {
    const own = byName.get(pod.node);
    if (!pod.hostNetwork || !running || !own) continue;
    const odd = pod.addresses.find((a) => !own.some((o) => equalAddress(o, a)));
    if (!odd) continue;
    problems.push({
      code: 'POD_HOST_ADDRESS',
      ...pod.source,
      object: `${pod.namespace}/Pod/${pod.name}`,
      field: 'status.podIPs',
      message: `a pod on the host network has the addresses of its node ${pod.node}`,
      found: formatAddress(odd),
      accepted: own.map(formatAddress).join(', '),
    });
  }
}

type Owned = Node | Pod | Service;

/** One address, one owner: nodes, running pods off the host network, ClusterIPs. */
function duplicateAddresses(
  nodes: readonly Node[],
  pods: readonly Pod[],
  services: readonly Service[],
  problems: Diagnostic[],
): void {
  const owners = new AddressMap<Owned>();
  const own = (address: Address, owner: Owned) => {
    const first = owners.get(address);
    if (!first) {
      owners.set(address, owner);
      return;
    }
    const other = `${idOf(first)} (${formatSource(first.source)})`;
    const message = `has the address ${formatAddress(address)}, as has ${other}`;
    problems.push({ code: 'ADDRESS_DUPLICATE', ...owner.source, object: idOf(owner), message });
  };
  for (const n of nodes) for (const a of n.addresses) own(a, n);
  for (const p of pods) {
    if (p.hostNetwork || !hasNetwork(p)) continue;
    for (const a of p.addresses) own(a, p);
  }
  // Two Services with one ClusterIP are the API server's to refuse (service-allocation.ts).
  const seen = new Set<string>();
  for (const s of services) {
    for (const a of s.clusterIps) {
      if (!seen.has(addressKey(a))) own(a, s);
      seen.add(addressKey(a));
    }
  }
}

function idOf(owned: Owned): string {
  if ('kernel' in owned) return `Node/${owned.name}`;
  const kind = 'clusterIps' in owned ? 'Service' : 'Pod';
  return `${owned.namespace}/${kind}/${owned.name}`;
}
