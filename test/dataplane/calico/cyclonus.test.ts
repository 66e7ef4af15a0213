/**
 * The cyclonus suite (230 clusters and policy sets, 123,669 flows with the API's own answer) walked
 * through the filter tables that Calico renders.
 *
 * A flow is allowed when FORWARD of the sender's node and FORWARD of the receiver's node accept its
 * first packet (one walk when they share a node). The walk is the engine's; networks, services and
 * connections are other tests' business.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Cluster, Pod, TransportProtocol } from '../../../src/cluster/model.ts';
import { calico } from '../../../src/dataplane/calico/render.ts';
import type { HostImage } from '../../../src/image/image.ts';
import { lower } from '../../../src/lowering/link.ts';
import { RuleCounters } from '../../../src/node/counters.ts';
import { runTable, type WalkContext } from '../../../src/node/walk.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import type { Interface } from '../../../src/plan/model.ts';
import type { LabelSelector, NetworkPolicy, Peer, PolicyRule } from '../../../src/policy/model.ts';
import { formatAddress, parseAddress, parsePrefix } from '../../../src/wire/address.ts';
import { parsedIp, sctp, tcp, udp } from '../../support/packets.ts';
import { sharedPath } from '../../support/shared.ts';
import { namingNetwork, stack } from './cluster.ts';

// biome-ignore lint/suspicious/noExplicitAny: the suite's JSON, checked by its own README
type Json = any;

const suite = sharedPath('suites/cyclonus');
const source = { file: 'case.json', line: 1, column: 1 };
const network = namingNetwork('azv');

function readCluster(json: Json): Cluster {
  const pods = json.pods.map(
    (p: Json): Pod => ({
      name: p.name,
      namespace: p.namespace,
      labels: p.labels ?? {},
      source,
      node: p.node,
      addresses: [parseAddress(p.ip)!],
      hostNetwork: p.hostNetwork ?? false,
      phase: 'Running',
      ports: p.ports.map((one: Json) => ({ ...one, init: false })),
      serviceAccount: 'default',
    }),
  );
  const named = { labels: {}, source };
  return {
    nodes: json.nodes.map((n: Json) => ({
      ...named,
      name: n.name,
      addresses: [parseAddress(n.ip)!],
      podCidrs: [],
      os: 'linux',
      kernel: '6.18',
    })),
    namespaces: json.namespaces.map((n: Json) => ({ ...n, labels: n.labels ?? {}, source })),
    pods,
    services: [],
    endpointSlices: [],
    wiring: {
      networkPlugin: 'azure',
      networkPluginMode: 'none',
      networkPolicy: 'calico',
      podCidrs: [],
      serviceCidrs: [],
      dnsServiceIp: null,
      vnet: [],
      subnets: [],
      nonMasqueradeCidrs: [],
      inferred: false,
    },
  };
}

function readPolicy({ metadata, spec }: Json): NetworkPolicy {
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    labels: {},
    source,
    podSelector: readSelector(spec.podSelector ?? {}),
    ingress: (spec.ingress ?? []).map((r: Json) => readRule(r, r.from)),
    egress: (spec.egress ?? []).map((r: Json) => readRule(r, r.to)),
    policyTypes: spec.policyTypes ?? (spec.egress ? ['Ingress', 'Egress'] : ['Ingress']),
  };
}

function readRule(json: Json, peers: Json[] | undefined): PolicyRule {
  const ports = (json.ports ?? []).map((p: Json) => ({
    protocol: p.protocol ?? 'TCP',
    port: p.port ?? null,
    endPort: p.endPort ?? null,
  }));
  return { peers: (peers ?? []).map(readPeer), ports, source };
}

function readPeer(json: Json): Peer {
  if (json.ipBlock) {
    const except = (json.ipBlock.except ?? []).map((text: string) => parsePrefix(text)!);
    return { kind: 'ipBlock', cidr: parsePrefix(json.ipBlock.cidr)!, except, source };
  }
  return {
    kind: 'selector',
    podSelector: json.podSelector ? readSelector(json.podSelector) : null,
    namespaceSelector: json.namespaceSelector ? readSelector(json.namespaceSelector) : null,
    source,
  };
}

function readSelector(json: Json): LabelSelector {
  const matchExpressions = (json.matchExpressions ?? []).map((e: Json) => ({
    key: e.key,
    operator: e.operator,
    values: e.values ?? [],
  }));
  return { matchLabels: json.matchLabels ?? {}, matchExpressions };
}

/** Every node as the walk sees it. */
function renderNodes(
  cluster: Cluster,
  policies: readonly NetworkPolicy[],
): Map<string, WalkContext> {
  const input = { cluster, policies, stack: stack() };
  return new Map(
    cluster.nodes.map((node) => {
      const builder = new PlanBuilder(node.name, 'node');
      const devices = cluster.pods.filter((p) => p.node === node.name).map(network.hostDevice);
      builder.interfaces.push(...['eth0', ...devices].map(device));
      calico.node(input, node, network, builder);
      return [node.name, context(lower(builder.build()))];
    }),
  );
}

function device(name: string): Interface {
  const kind = name === 'eth0' ? 'physical' : 'veth';
  return { name, kind, mac: '02:00:00:00:00:09', mtu: 1500, up: true, addresses: [] };
}

function context(image: HostImage): WalkContext {
  const none = () => {
    throw new Error('no connection is asked about');
  };
  return {
    image,
    counters: new RuleCounters(image.program),
    connections: {
      mark: none,
      setMark: none,
      isSourceTranslated: none,
      isDestinationTranslated: none,
    },
    recorder: { tracing: false, matched() {}, missed() {} },
    nowNs: 0,
    seed: 0,
  };
}

const OPENING = { TCP: tcp, UDP: udp, SCTP: sctp };

function allowed(
  nodes: ReadonlyMap<string, WalkContext>,
  flow: { from: Pod; to: Pod; protocol: TransportProtocol; port: number },
): boolean {
  const { from, to, protocol, port } = flow;
  const local = from.node === to.node;
  const passes = (node: string, inDevice: string, outDevice: string): boolean => {
    const opening = OPENING[protocol]()
      .from(formatAddress(from.addresses[0]!), 40000)
      .to(formatAddress(to.addresses[0]!), port);
    const packet = parsedIp(opening.packet());
    Object.assign(packet, { inDevice, outDevice, ctState: 'new' });
    return runTable(nodes.get(node)!, 'filter', 'forward', packet).kind === 'accept';
  };
  const [out, back] = [network.hostDevice(from), network.hostDevice(to)];
  if (local) return passes(from.node, out, back);
  return passes(from.node, out, 'eth0') && passes(to.node, 'eth0', back);
}

t.test('every flow of cyclonus gets the answer of the API', async (t) => {
  if (suite === null) {
    t.plan(0, 'needs ../shared');
    return;
  }
  const start = JSON.parse(readFileSync(join(suite, 'cluster.json'), 'utf8'));
  const differences: string[] = [];
  let flows = 0;
  for (const file of readdirSync(join(suite, 'cases')).sort()) {
    const one = JSON.parse(readFileSync(join(suite, 'cases', file), 'utf8'));
    for (const [s, step] of one.steps.entries()) {
      const cluster = readCluster(step.cluster ?? start);
      const pods = new Map(cluster.pods.map((p) => [`${p.namespace}/${p.name}`, p]));
      const nodes = renderNodes(cluster, step.policies.map(readPolicy));
      for (const { protocol, port, combined } of step.tables) {
        for (const [i, row] of combined.entries()) {
          for (const [j, expected] of [...row].entries()) {
            if (expected === '?') continue;
            const [from, to] = [pods.get(step.podOrder[i])!, pods.get(step.podOrder[j])!];
            flows += 1;
            if (allowed(nodes, { from, to, protocol, port }) === (expected === '.')) continue;
            differences.push(
              `${one.id}[${s}] ${step.podOrder[i]} to ${step.podOrder[j]} ${protocol}/${port}`,
            );
          }
        }
      }
    }
  }
  t.same(differences, []);
  t.equal(flows, 123_669);
});
