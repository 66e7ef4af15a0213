/**
 * Generated clusters for trials: pods on a few nodes, and any number of policies on each of them, of
 * which the last one allows the traffic that is measured.
 * @module
 */
import { type Inputs, parseInputs } from '../src/policy/inputs.ts';

export interface ClusterShape {
  readonly nodes: number;
  readonly podsPerNode: number;
  /** NetworkPolicies; 0 leaves every pod open. */
  readonly policies: number;
  /** A Service of which every pod is an endpoint. */
  readonly service?: boolean;
  /** What the last policy lets in: one port among pods, or everything. */
  readonly allows?: 'port' | 'everything';
}

/** The Service's address and port. */
export const SERVICE_IP = '10.0.0.10';
export const SERVICE_PORT = 80;

/** The port that the last policy opens; the others open ports that nobody uses. */
export const OPEN_PORT = 8080;
export const FIRST_UNUSED_PORT = 20_000;
export const UNUSED_PORTS = 40_000;

/** Pods 10.240.N.P and fd00:240::N:P, all labelled app=web, and policies that select them. */
export function generateCluster(shape: ClusterShape): Inputs {
  return parseInputs('bench.json', clusterJson(shape));
}

/** The same as the text of one List. */
export function clusterJson(shape: ClusterShape): string {
  const { nodes, podsPerNode, policies, allows } = shape;
  const items: object[] = [];
  for (let n = 0; n < nodes; n++) {
    items.push(node(n));
    for (let p = 0; p < podsPerNode; p++) items.push(pod(n, p));
  }
  for (let i = 0; i < policies; i++) {
    const isLast = i === policies - 1;
    items.push(policy(i, isLast, isLast && allows === 'everything'));
  }
  if (shape.service) items.push(service());
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

function node(n: number): object {
  const addresses = [`10.240.${n * 4}.4`, `fd00:240::${n}:4`];
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `node-${n}` },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}

function pod(n: number, p: number): object {
  const host = p + 10;
  const ip = `10.240.${n * 4 + Math.floor(host / 250)}.${(host % 250) + 1}`;
  const ip6 = `fd00:240::${n}:${(host + 256).toString(16)}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${n}-${p}`, namespace: 'load', labels: { app: 'web' } },
    spec: { nodeName: `node-${n}`, containers: [{ name: 'c', image: 'x' }] },
    status: { phase: 'Running', podIP: ip, podIPs: [{ ip }, { ip: ip6 }] },
  };
}

function service(): object {
  const ports = ['TCP', 'UDP'].map((protocol) => ({
    ...{ name: protocol.toLowerCase(), protocol },
    ...{ port: SERVICE_PORT, targetPort: OPEN_PORT },
  }));
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'load' },
    spec: { clusterIP: SERVICE_IP, selector: { app: 'web' }, ports },
  };
}

function policy(i: number, isLast: boolean, isOpen: boolean): object {
  const port = isLast ? OPEN_PORT : FIRST_UNUSED_PORT + (i % UNUSED_PORTS);
  const ports = ['TCP', 'UDP'].map((protocol) => ({ protocol, port }));
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `policy-${String(i).padStart(6, '0')}`, namespace: 'load' },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: isOpen
        ? [{}]
        : [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports }],
    },
  };
}
