/**
 * What would change for a cluster's policies under Azure CNI powered by Cilium, which is not
 * emulated: the differences that Azure itself names, held against the policies, pods and Services
 * at hand. Nothing here is a verdict.
 *
 * Source: AKS docs "Migrate from Network Policy Manager (NPM) to Cilium Network Policy"
 * (`migrate-from-npm-to-cilium-network-policy.md`, 2c907477; cilium issue 30003 for named ports)
 * and "Update Azure CNI IPAM mode and data plane technology" (`update-azure-cni.md`, 093a522a).
 * @module
 */
import type { Cluster, Pod, Service } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { type NetworkPolicy, type PolicyRule, policyId } from '../../policy/model.ts';
import { selects } from '../../policy/select.ts';
import { type Address, contains, formatPrefix, type Prefix } from '../../wire/address/address.ts';
import { isAttached, type Stack } from '../dataplane.ts';

interface Change {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  /** The stack that the cluster has now. */
  readonly from: Stack;
}

const CODE = 'CILIUM_CHANGES';

/** Each change at its place: the cluster's, then the policies', in their order. */
export function ciliumChanges(change: Change): readonly Diagnostic[] {
  const { cluster, policies, from } = change;
  return [
    ...clusterChanges(cluster, from),
    ...policies.flatMap((policy) => [
      ...blockChanges(cluster, policy),
      ...portChanges(cluster, policy),
      ...(from.policy === 'npm' ? ownNodeChanges(policy) : []),
    ]),
    ...(from.policy === 'npm' ? serviceChanges(cluster, policies) : []),
  ];
}

function clusterChanges({ nodes }: Cluster, { network, policy }: Stack): readonly Diagnostic[] {
  const say = (message: string): Diagnostic => ({ code: CODE, object: 'cluster', message });
  const windows = nodes.find((n) => n.os === 'windows');
  const uninstalls = policy === 'none' ? '' : `uninstalls ${policy}, `;
  return [
    say(
      `the move to Cilium ${uninstalls}reimages all node pools at once, and enforces policies ` +
        'only after the last node',
    ),
    ...(network === 'kubenet'
      ? [say('kubenet has no move to Cilium: the network is updated to Azure CNI Overlay first')]
      : []),
    ...(windows ? [say(`Cilium is not for clusters with Windows nodes: ${windows.name}`)] : []),
  ];
}

function rulesOf(policy: NetworkPolicy): readonly PolicyRule[] {
  return [...policy.ingress, ...policy.egress];
}

/** A range lets no pod and no node through, whatever addresses it has. */
function blockChanges(cluster: Cluster, policy: NetworkPolicy): readonly Diagnostic[] {
  return policy.egress.flatMap((rule) =>
    rule.peers.flatMap((peer) => {
      if (peer.kind !== 'ipBlock') return [];
      const { cidr, except } = peer;
      const pods = cluster.pods.filter((p) => isAttached(p) && isIn(p.addresses, cidr, except));
      const nodes = cluster.nodes.filter((n) => isIn(n.addresses, cidr, except));
      if (pods.length + nodes.length === 0) return [];
      const message =
        `ipBlock ${formatPrefix(cidr)} would not let pods reach the ${pods.length} pods and ` +
        `${nodes.length} nodes in it: with Cilium a range means neither (selectors reach pods; ` +
        'only a CiliumNetworkPolicy reaches nodes)';
      return [{ code: CODE, ...peer.source, object: policyId(policy), message }];
    }),
  );
}

function isIn(addresses: readonly Address[], cidr: Prefix, except: readonly Prefix[]): boolean {
  return addresses.some((a) => contains(cidr, a) && !except.some((e) => contains(e, a)));
}

function portChanges(cluster: Cluster, policy: NetworkPolicy): readonly Diagnostic[] {
  const at = { code: CODE, object: policyId(policy) };
  return rulesOf(policy).flatMap((rule) => {
    const ranges = rule.ports.filter((p) => p.endPort !== null);
    const names = new Set(rule.ports.flatMap((p) => (typeof p.port === 'string' ? [p.port] : [])));
    return [
      ...(ranges.length === 0
        ? []
        : [{ ...at, ...rule.source, message: 'endPort is ignored by Cilium before 1.17' }]),
      ...[...names].flatMap((name) => {
        const numbers = numbersOf(cluster.pods, name);
        if (numbers.length < 2) return [];
        const message =
          `port ${name} is ${numbers.join(' and ')} on different pods: Cilium may take one for ` +
          'the other and drop what the policy allows; numbers are safe';
        return [{ ...at, ...rule.source, message }];
      }),
    ];
  });
}

/** The numbers that pods give a named port, ascending. */
function numbersOf(pods: readonly Pod[], name: string): readonly number[] {
  const found = new Set(
    pods.flatMap((p) => p.ports.filter((q) => q.name === name).map((q) => q.containerPort)),
  );
  return [...found].toSorted((a, b) => a - b);
}

/** NPM polices FORWARD only, so pods reach their own node whatever their policies say. */
function ownNodeChanges(policy: NetworkPolicy): readonly Diagnostic[] {
  const opensAll = policy.egress.some((r) => r.peers.length === 0 && r.ports.length === 0);
  if (!policy.policyTypes.includes('Egress') || opensAll) return [];
  const message =
    'its pods would no longer reach their own node, which Azure NPM does not keep from them, ' +
    'unless a CiliumNetworkPolicy lets them';
  return [{ code: CODE, ...policy.source, object: policyId(policy), message }];
}

/** What comes by a node port or load balancer to any node passes NPM marked for masquerade. */
function serviceChanges(
  cluster: Cluster,
  policies: readonly NetworkPolicy[],
): readonly Diagnostic[] {
  const isolating = policies.filter((p) => p.policyTypes.includes('Ingress') && !opensIngress(p));
  return cluster.services.flatMap((service) => {
    if (!isOpenToOutside(service)) return [];
    const backends = cluster.pods.filter((p) => isAttached(p) && isBackend(service, p));
    const first = isolating.find((policy) => backends.some((p) => isSelected(policy, p)));
    if (!first) return [];
    const message =
      `clients outside that come by its node port or load balancer would be held to ` +
      `${policyId(first)}, which Azure NPM does not do with externalTrafficPolicy Cluster`;
    const object = `${service.namespace}/Service/${service.name}`;
    return [{ code: CODE, ...service.source, object, message }];
  });
}

function opensIngress(policy: NetworkPolicy): boolean {
  return policy.ingress.some((r) => r.peers.length === 0 && r.ports.length === 0);
}

function isOpenToOutside(service: Service): boolean {
  const { type, externalTrafficPolicy } = service;
  return (type === 'NodePort' || type === 'LoadBalancer') && externalTrafficPolicy === 'Cluster';
}

function isBackend({ namespace, selector }: Service, pod: Pod): boolean {
  if (selector === null || pod.namespace !== namespace) return false;
  return Object.entries(selector).every(([key, value]) => pod.labels[key] === value);
}

function isSelected(policy: NetworkPolicy, pod: Pod): boolean {
  return policy.namespace === pod.namespace && selects(policy.podSelector, pod.labels);
}
