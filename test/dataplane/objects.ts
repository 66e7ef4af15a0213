/**
 * Clusters for tests of plans, written with as few words as the model allows.
 * @module
 */
import type { Cluster, ContainerPort, Labels, Node, Pod } from '../../src/cluster/model.ts';
import type { RenderInput } from '../../src/dataplane/dataplane.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type {
  LabelExpression,
  LabelSelector,
  NetworkPolicy,
  Peer,
  PolicyPort,
  PolicyRule,
} from '../../src/policy/model.ts';
import {
  type Address,
  formatAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../src/wire/address/address.ts';

export const SOURCE = { file: 'test.yaml', line: 7, column: 1 };

/** An address that a test wrote itself. */
export function ip(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new Error(`not an address: ${text}`);
  return address;
}

/** An address as text; the empty string for none. */
export function text(address: Address | undefined): string {
  return address === undefined ? '' : formatAddress(address);
}

/** A prefix that a test wrote itself. */
export function net(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new Error(`not a prefix: ${text}`);
  return prefix;
}

export function node(name: string, ...addresses: string[]): Node {
  return {
    name,
    labels: {},
    source: SOURCE,
    addresses: addresses.map(ip),
    podCidrs: [],
    os: 'linux',
    kernel: '6.18',
  };
}

/** A running pod: `pod('x/a', 'node-a', '10.0.0.5', { pod: 'a' })`. */
export function pod(
  key: string,
  onNode: string,
  addresses: string | readonly string[],
  labels: Labels = {},
  more: Partial<Pod> = {},
): Pod {
  const [namespace = '', name = ''] = key.split('/');
  return {
    name,
    namespace,
    labels,
    source: SOURCE,
    node: onNode,
    addresses: (typeof addresses === 'string' ? [addresses] : addresses).map(ip),
    hostNetwork: false,
    phase: 'Running',
    ports: [],
    serviceAccount: 'default',
    ...more,
  };
}

export function port(name: string, containerPort: number, more: Partial<ContainerPort> = {}) {
  return { name, containerPort, protocol: 'TCP' as const, init: false, ...more };
}

export interface ClusterParts {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** Labels by namespace; namespaces of pods are there anyway. */
  readonly namespaces?: Readonly<Record<string, Labels>>;
  readonly subnets?: readonly string[];
  readonly podCidrs?: readonly string[];
  readonly serviceCidrs?: readonly string[];
}

export function cluster(parts: ClusterParts): Cluster {
  const namespaces = { ...parts.namespaces };
  for (const { namespace } of parts.pods) namespaces[namespace] ??= {};
  const subnets = (parts.subnets ?? []).map(net);
  return {
    nodes: parts.nodes,
    pods: parts.pods,
    namespaces: Object.entries(namespaces).map(([name, labels]) => ({
      name,
      labels,
      source: SOURCE,
    })),
    services: [],
    endpointSlices: [],
    wiring: {
      networkPlugin: 'azure',
      networkPluginMode: 'none',
      networkPolicy: 'azure',
      podCidrs: (parts.podCidrs ?? []).map(net),
      serviceCidrs: (parts.serviceCidrs ?? ['10.0.0.0/16']).map(net),
      dnsServiceIp: null,
      vnet: subnets,
      subnets,
      nonMasqueradeCidrs: [],
      inferred: false,
    },
  };
}

export function selector(
  matchLabels: Labels = {},
  matchExpressions: readonly LabelExpression[] = [],
): LabelSelector {
  return { matchLabels, matchExpressions };
}

/** `where('app', 'In', 'a', 'b')`. */
export function where(
  key: string,
  operator: LabelExpression['operator'],
  ...values: string[]
): LabelExpression {
  return { key, operator, values };
}

export function peer(
  podSelector: LabelSelector | null,
  namespaceSelector: LabelSelector | null = null,
): Peer {
  return { kind: 'selector', podSelector, namespaceSelector, source: SOURCE };
}

export function block(cidr: string, ...except: string[]): Peer {
  return { kind: 'ipBlock', cidr: net(cidr), except: except.map(net), source: SOURCE };
}

export function on(
  protocol: PolicyPort['protocol'],
  number: PolicyPort['port'] = null,
  endPort: number | null = null,
): PolicyPort {
  return { protocol, port: number, endPort };
}

export function rule(peers: readonly Peer[], ports: readonly PolicyPort[] = []): PolicyRule {
  return { peers, ports, source: SOURCE };
}

/** A policy with the types that its lists and `types` ask for. */
export function policy(
  key: string,
  podSelector: LabelSelector,
  parts: {
    readonly ingress?: readonly PolicyRule[];
    readonly egress?: readonly PolicyRule[];
  },
): NetworkPolicy {
  const [namespace = '', name = ''] = key.split('/');
  return {
    name,
    namespace,
    labels: {},
    source: SOURCE,
    podSelector,
    ingress: parts.ingress ?? [],
    egress: parts.egress ?? [],
    policyTypes: [
      ...(parts.ingress ? (['Ingress'] as const) : []),
      ...(parts.egress ? (['Egress'] as const) : []),
    ],
  };
}

export function input(
  of: Cluster,
  stack: string,
  policies: readonly NetworkPolicy[] = [],
): RenderInput {
  return { cluster: of, policies, stack: parseStack(stack) };
}
