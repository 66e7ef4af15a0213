/**
 * The oracle: what NetworkPolicy's API text says about one connection, and nothing about how any
 * product enforces it (facts: kubernetes.io API reference NetworkPolicySpec; Network Policies
 * concept page). Only tests may import this file: verdicts come from walking rules.
 *
 * Judged as the API text leaves it: a pod on the host network is the node (its policies are not
 * applied, only ipBlock matches it); traffic between a pod and its own node, and loopback, are not
 * exempted here: the caller knows which probes those are.
 * @module
 */
import type { Cluster, Labels, Pod, TransportProtocol } from '../cluster/model.ts';
import type { Address } from '../wire/address/address.ts';
import { contains, formatAddress } from '../wire/address/address.ts';
import type { NetworkPolicy, Peer, PolicyPort, PolicyRule } from './model.ts';
import { selects } from './select.ts';

/** One end of a connection: a pod of the cluster, or any other address. */
export type End =
  | { readonly kind: 'pod'; readonly pod: Pod; readonly address?: Address }
  | { readonly kind: 'address'; readonly address: Address };

/** A connection to judge; `port` is the destination's, after translation. */
export interface Flow {
  readonly from: End;
  readonly to: End;
  readonly protocol: TransportProtocol;
  readonly port: number;
}

/** One rule that allowed: `policy.ingress[index]`. */
export interface AllowingRule {
  readonly policy: NetworkPolicy;
  readonly index: number;
  readonly rule: PolicyRule;
}

export interface DirectionVerdict {
  readonly allowed: boolean;
  /** Policies that isolate the pod in this direction; empty: everything is allowed. */
  readonly isolatedBy: readonly NetworkPolicy[];
  readonly allowedBy: readonly AllowingRule[];
}

export interface FlowVerdict {
  readonly allowed: boolean;
  readonly ingress: DirectionVerdict;
  readonly egress: DirectionVerdict;
}

/** Judge `flow` under `policies`, which hold as a set: their order does not matter. */
export function evaluate(
  cluster: Pick<Cluster, 'namespaces'>,
  policies: readonly NetworkPolicy[],
  flow: Flow,
): FlowVerdict {
  const egress = judge(cluster, policies, 'Egress', flow.from, flow.to, flow);
  const ingress = judge(cluster, policies, 'Ingress', flow.to, flow.from, flow);
  return { allowed: egress.allowed && ingress.allowed, ingress, egress };
}

function judge(
  cluster: Pick<Cluster, 'namespaces'>,
  policies: readonly NetworkPolicy[],
  direction: 'Ingress' | 'Egress',
  subject: End,
  other: End,
  flow: Flow,
): DirectionVerdict {
  const isolatedBy = policies.filter((p) => isolates(p, direction, subject));
  const allowedBy: AllowingRule[] = [];
  for (const policy of isolatedBy) {
    const rules = direction === 'Ingress' ? policy.ingress : policy.egress;
    rules.forEach((rule, index) => {
      const peerOk =
        rule.peers.length === 0 || rule.peers.some((p) => isPeer(cluster, policy, p, other, flow));
      if (peerOk && portAllowed(rule.ports, flow.to, flow.protocol, flow.port)) {
        allowedBy.push({ policy, index, rule });
      }
    });
  }
  return { allowed: isolatedBy.length === 0 || allowedBy.length > 0, isolatedBy, allowedBy };
}

function isolates(policy: NetworkPolicy, direction: 'Ingress' | 'Egress', subject: End): boolean {
  if (subject.kind !== 'pod' || subject.pod.hostNetwork) return false;
  return (
    policy.policyTypes.includes(direction) &&
    policy.namespace === subject.pod.namespace &&
    selects(policy.podSelector, subject.pod.labels)
  );
}

function isPeer(
  cluster: Pick<Cluster, 'namespaces'>,
  policy: NetworkPolicy,
  peer: Peer,
  end: End,
  flow: Flow,
): boolean {
  if (peer.kind === 'ipBlock') return addressesOf(end, flow).some((a) => inBlock(peer, a));
  if (end.kind !== 'pod' || end.pod.hostNetwork) return false;
  const { pod } = end;
  if (peer.namespaceSelector === null) {
    if (pod.namespace !== policy.namespace) return false;
  } else {
    const labels = namespaceLabels(cluster, pod.namespace);
    if (labels === undefined || !selects(peer.namespaceSelector, labels)) return false;
  }
  return peer.podSelector === null || selects(peer.podSelector, pod.labels);
}

/** Whether an ipBlock peer holds the address: in `cidr` and in none of `except`. */
export function inBlock(
  block: Pick<Extract<Peer, { kind: 'ipBlock' }>, 'cidr' | 'except'>,
  address: Address,
): boolean {
  return contains(block.cidr, address) && !block.except.some((e) => contains(e, address));
}

function namespaceLabels(cluster: Pick<Cluster, 'namespaces'>, name: string): Labels | undefined {
  return cluster.namespaces.find((n) => n.name === name)?.labels;
}

/** The end's address in this connection: the one named, else the first of a family both have. */
function addressesOf(end: End, flow: Flow): readonly Address[] {
  if (end.kind === 'address') return [end.address];
  if (end.address !== undefined) return [end.address];
  const other = end === flow.from ? flow.to : flow.from;
  const theirs =
    other.address !== undefined ? [other.address] : other.kind === 'pod' ? other.pod.addresses : [];
  return end.pod.addresses.filter((a) => theirs.some((o) => o.family === a.family)).slice(0, 1);
}

/**
 * Whether a rule's port list admits the destination. A named port is what the destination pod's
 * containers call so, with the same protocol; nothing else resolves it.
 */
export function portAllowed(
  ports: readonly PolicyPort[],
  to: End,
  protocol: TransportProtocol,
  port: number,
): boolean {
  if (ports.length === 0) return true;
  return ports.some((p) => {
    if (p.protocol !== protocol) return false;
    if (p.port === null) return true;
    if (typeof p.port === 'string') return namedPorts(to, p.port, protocol).includes(port);
    return port >= p.port && port <= (p.endPort ?? p.port);
  });
}

function namedPorts(to: End, name: string, protocol: TransportProtocol): readonly number[] {
  if (to.kind !== 'pod') return [];
  return to.pod.ports
    .filter((p) => !p.init && p.name === name && p.protocol === protocol)
    .map((p) => p.containerPort);
}

/** `pod/NAMESPACE/NAME` or the address, for messages. */
export function formatEnd(end: End): string {
  return end.kind === 'pod'
    ? `pod/${end.pod.namespace}/${end.pod.name}`
    : formatAddress(end.address);
}
