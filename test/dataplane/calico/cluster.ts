/**
 * A small cluster on one node, and Calico's plan of that node with nothing else in it.
 * @module
 */
import type { Cluster, Labels, Pod } from '../../../src/cluster/model.ts';
import { workloadInterface } from '../../../src/dataplane/calico/names.ts';
import { calico } from '../../../src/dataplane/calico/render.ts';
import type { NetworkRenderer, RenderInput, Stack } from '../../../src/dataplane/dataplane.ts';
import type { Table } from '../../../src/netfilter/rule.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import { findChain, findTable, type Plan } from '../../../src/plan/model.ts';
import { formatRule } from '../../../src/plan/rule/rule-text.ts';
import type {
  LabelSelector,
  NetworkPolicy,
  Peer,
  PolicyPort,
  PolicyRule,
} from '../../../src/policy/model.ts';
import { type Family, parseAddress, parsePrefix } from '../../../src/wire/address/address.ts';

export const NODE = 'node-a';
const source = (line: number) => ({ file: 'policies.yaml', line, column: 1 });

export function pod(
  namespace: string,
  name: string,
  more: Partial<Pod> & { ip?: string } = {},
): Pod {
  const { ip, ...rest } = more;
  return {
    name,
    namespace,
    labels: {},
    source: source(1),
    node: NODE,
    addresses: ip === undefined ? [] : ip.split(',').map((text) => parseAddress(text)!),
    hostNetwork: false,
    phase: 'Running',
    ports: [],
    serviceAccount: 'default',
    ...rest,
  };
}

export function cluster(
  pods: readonly Pod[],
  namespaceLabels: Record<string, Labels> = {},
): Cluster {
  const names = [...new Set(pods.map((p) => p.namespace))];
  const node = { name: NODE, labels: {}, source: source(1), podCidrs: [], kernel: '6.18' };
  return {
    nodes: [{ ...node, os: 'linux', addresses: [parseAddress('10.224.0.4')!] }],
    namespaces: names.map((name) => ({
      name,
      labels: { 'kubernetes.io/metadata.name': name, ...namespaceLabels[name] },
      source: source(1),
    })),
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

export function labels(matchLabels: Labels): LabelSelector {
  return { matchLabels, matchExpressions: [] };
}

export function from(peer: {
  pods?: LabelSelector;
  namespaces?: LabelSelector;
  cidr?: string;
  except?: string[];
  line?: number;
}): Peer {
  const at = source(peer.line ?? 9);
  if (peer.cidr !== undefined) {
    const except = (peer.except ?? []).map((text) => parsePrefix(text)!);
    return { kind: 'ipBlock', cidr: parsePrefix(peer.cidr)!, except, source: at };
  }
  const { pods = null, namespaces = null } = peer;
  return { kind: 'selector', podSelector: pods, namespaceSelector: namespaces, source: at };
}

export function port(number: number | string | null, more: Partial<PolicyPort> = {}): PolicyPort {
  return { protocol: 'TCP', port: number, endPort: null, ...more };
}

export function rule(peers: readonly Peer[], ports: readonly PolicyPort[] = []): PolicyRule {
  return { peers, ports, source: source(7) };
}

export function policy(
  namespace: string,
  name: string,
  more: Partial<NetworkPolicy> = {},
): NetworkPolicy {
  return {
    name,
    namespace,
    labels: {},
    source: source(3),
    podSelector: labels({}),
    ingress: [],
    egress: [],
    policyTypes: ['Ingress'],
    ...more,
  };
}

/** Names every interface as Calico and Azure CNI do. */
export function namingNetwork(prefix: string): NetworkRenderer {
  return {
    name: 'azure-transparent',
    node() {},
    pod() {
      throw new Error('no pod plan is asked for');
    },
    hostDevice: (p) => workloadInterface(prefix, p.namespace, p.name),
  };
}

export function stack(options: Record<string, string> = {}): Stack {
  const network = 'azure-transparent';
  return { text: `${network}+calico`, network, policy: 'calico', options };
}

/** The plan of the cluster's first node. */
export function render(input: {
  cluster: Cluster;
  policies?: readonly NetworkPolicy[];
  options?: Record<string, string>;
}): Plan {
  const chosen = stack(input.options);
  const whole: RenderInput = {
    cluster: input.cluster,
    policies: input.policies ?? [],
    stack: chosen,
  };
  const builder = new PlanBuilder(NODE, 'node');
  const prefix = input.options?.['interfacePrefix'] ?? 'azv';
  calico.node(whole, input.cluster.nodes[0]!, namingNetwork(prefix), builder);
  return builder.build();
}

/** A table as iptables-save lines, chains in the plan's order. */
export function lines(table: Table | undefined): string[] {
  return (table?.chains ?? []).flatMap((chain) =>
    chain.rules.map((r) => formatRule(r, chain.name, table?.family)),
  );
}

/** A chain's rules without their labels: what they do, to be read in a test. */
export function chain(plan: Plan, name: string, family: Family = 4): string[] {
  const found = findChain(findTable(plan, family, 'filter'), name);
  return (found?.rules ?? []).map((r) =>
    formatRule(r, name, family)
      .replace(`-A ${name} `, '')
      .replace(/-m comment --comment "cali:[^"]*" /, '')
      .replace(/-m comment --comment ("[^"]*"|\S+) ?/g, ''),
  );
}
