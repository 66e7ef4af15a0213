/**
 * Which kinds of object bear on packets: those we load, those that would change verdicts and are
 * not emulated (refused by name), those that do not matter here (counted).
 * @module
 */
import { nearest } from '../nearest.ts';
import type { Shape } from './schema.ts';
import {
  CONFIG_MAP,
  ENDPOINT_SLICE,
  ENDPOINTS,
  IP_POOL,
  KUBE_PROXY,
  KUBELET,
  NAMESPACE,
  NODE,
  POD,
  SERVICE,
  WORKLOADS,
} from './schema-core.ts';
import { INGRESS, INGRESS_CLASS } from './schema-ingress.ts';

export interface KnownKind {
  readonly namespaced: boolean;
  /** Null for NetworkPolicy, whose fields the policy room knows. */
  readonly shape: Shape | null;
  readonly versions: readonly string[];
}

function workload(kind: string, ...versions: readonly string[]): [string, KnownKind] {
  return [kind, { namespaced: true, shape: WORKLOADS[kind] ?? null, versions }];
}

/** Kinds that are loaded. */
export const KNOWN_KINDS: ReadonlyMap<string, KnownKind> = new Map<string, KnownKind>([
  ['Node', { namespaced: false, shape: NODE, versions: ['v1'] }],
  ['Namespace', { namespaced: false, shape: NAMESPACE, versions: ['v1'] }],
  ['Pod', { namespaced: true, shape: POD, versions: ['v1'] }],
  ['Service', { namespaced: true, shape: SERVICE, versions: ['v1'] }],
  ['Endpoints', { namespaced: true, shape: ENDPOINTS, versions: ['v1'] }],
  [
    'EndpointSlice',
    {
      namespaced: true,
      shape: ENDPOINT_SLICE,
      versions: ['discovery.k8s.io/v1', 'discovery.k8s.io/v1beta1'],
    },
  ],
  ['NetworkPolicy', { namespaced: true, shape: null, versions: ['networking.k8s.io/v1'] }],
  ['Ingress', { namespaced: true, shape: INGRESS, versions: ['networking.k8s.io/v1'] }],
  ['IngressClass', { namespaced: false, shape: INGRESS_CLASS, versions: ['networking.k8s.io/v1'] }],
  [
    'IPPool',
    {
      namespaced: false,
      shape: IP_POOL,
      versions: ['crd.projectcalico.org/v1', 'projectcalico.org/v3'],
    },
  ],
  ['ConfigMap', { namespaced: true, shape: CONFIG_MAP, versions: ['v1'] }],
  [
    'KubeProxyConfiguration',
    { namespaced: false, shape: KUBE_PROXY, versions: ['kubeproxy.config.k8s.io/v1alpha1'] },
  ],
  [
    'KubeletConfiguration',
    { namespaced: false, shape: KUBELET, versions: ['kubelet.config.k8s.io/v1beta1'] },
  ],
  workload('Deployment', 'apps/v1'),
  workload('StatefulSet', 'apps/v1'),
  workload('DaemonSet', 'apps/v1'),
  workload('ReplicaSet', 'apps/v1'),
  workload('ReplicationController', 'v1'),
  workload('Job', 'batch/v1'),
  workload('CronJob', 'batch/v1', 'batch/v1beta1'),
]);

/** ConfigMaps of the masquerade agents, kube-proxy, kubelet and CoreDNS; others are ignored. */
export const CONFIG_MAP_NAMES =
  /^(azure-ip-masq-agent-config.*|ip-masq-agent|kube-proxy|kubelet-config.*|coredns(-custom)?)$/;

const OWN_GROUP = 'wiretrial';
export const WIRING_VERSION = `${OWN_GROUP}/v1`;

/**
 * Every kind of the API server's groups that hold something we load (kubernetes/kubernetes
 * staging/src/k8s.io/api at v1.35: register.go of each group). A word that is none of them was
 * mistyped: taken for a kind that does not matter, a policy would be lost without a sound.
 */
const SERVED_KINDS: ReadonlyMap<string, readonly string[]> = new Map([
  [
    '',
    [
      ...['Binding', 'ComponentStatus', 'ConfigMap', 'Endpoints', 'Event', 'LimitRange'],
      ...['Namespace', 'Node', 'PersistentVolume', 'PersistentVolumeClaim', 'Pod', 'PodTemplate'],
      ...['ReplicationController', 'ResourceQuota', 'Secret', 'Service', 'ServiceAccount'],
    ],
  ],
  ['apps', ['ControllerRevision', 'DaemonSet', 'Deployment', 'ReplicaSet', 'StatefulSet']],
  ['batch', ['CronJob', 'Job']],
  ['discovery.k8s.io', ['EndpointSlice']],
  ['networking.k8s.io', ['Ingress', 'IngressClass', 'IPAddress', 'NetworkPolicy', 'ServiceCIDR']],
  [OWN_GROUP, ['Wiring']],
]);

/** The API server's other groups without a dot; those of custom resources have one. */
const OTHER_GROUPS = ['autoscaling', 'extensions', 'policy'];

/** What to do with an object. */
export type KindVerdict =
  | { readonly action: 'load'; readonly known: KnownKind }
  | { readonly action: 'wiring' }
  | { readonly action: 'ignore' }
  /** Would change verdicts; `because` says how. */
  | { readonly action: 'unsupported'; readonly because: string }
  /** A kind we load in an API version that no current API server serves. */
  | { readonly action: 'version'; readonly versions: readonly string[] }
  /** No kind of that group; `accepted` says what could be meant. */
  | { readonly action: 'unknown'; readonly accepted: string };

const CALICO_GROUPS = ['projectcalico.org', 'crd.projectcalico.org'];

/** Calico's own bookkeeping, and policies that are only staged, decide nothing. */
const CALICO_HARMLESS =
  /^(Staged.*|ClusterInformation|BlockAffinity|IPAM.*|BGP.*|CalicoNodeStatus|KubeControllersConfiguration|IPReservation|CalicoNode.*)$/;
const CILIUM_HARMLESS =
  /^(CiliumEndpoint(Slice)?|CiliumIdentity|CiliumNode|CiliumBGP.*|CiliumPodIPPool|CiliumL2.*)$/;
const ISTIO_DECIDES = /^(AuthorizationPolicy|PeerAuthentication|RequestAuthentication)$/;

/** Groups whose network policies are Kubernetes' own, or a slip of the pen. */
const POLICY_GROUPS = ['networking.k8s.io', 'extensions', ''];

/** Judge an object by what it says it is. */
export function judgeKind(apiVersion: string, kind: string): KindVerdict {
  const slash = apiVersion.lastIndexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  if (group === OWN_GROUP && kind === 'Wiring') {
    if (apiVersion === WIRING_VERSION) return { action: 'wiring' };
    return { action: 'version', versions: [WIRING_VERSION] };
  }
  const known = KNOWN_KINDS.get(kind);
  if (known?.versions.includes(apiVersion)) return { action: 'load', known };
  const because = whyUnsupported(group, kind);
  if (because !== null) return { action: 'unsupported', because };
  if (known && sharesGroup(known, group)) return { action: 'version', versions: known.versions };
  const served = SERVED_KINDS.get(group);
  const mayHold = served?.includes(kind) ?? (group.includes('.') || OTHER_GROUPS.includes(group));
  return mayHold
    ? { action: 'ignore' }
    : { action: 'unknown', accepted: meant(kind, served, known) };
}

/** What may be meant by a kind that its group does not have. */
function meant(
  kind: string,
  served: readonly string[] | undefined,
  known: KnownKind | undefined,
): string {
  if (known) return known.versions.map((version) => `${kind} in ${version}`).join(', ');
  if (served === undefined) return "a group of the API server's, or a custom one (example.com/v1)";
  const near = nearest(kind, served);
  return near === null ? served.join(', ') : `did you mean ${near}?`;
}

function sharesGroup(known: KnownKind, group: string): boolean {
  const groups = known.versions.map((v) => (v.includes('/') ? v.slice(0, v.indexOf('/')) : ''));
  return groups.includes(group) || group === 'extensions';
}

function whyUnsupported(group: string, kind: string): string | null {
  if (CALICO_GROUPS.includes(group)) {
    return CALICO_HARMLESS.test(kind) ? null : 'Calico resources are not emulated yet';
  }
  if (group === 'cilium.io') {
    return CILIUM_HARMLESS.test(kind) ? null : 'Cilium resources are not emulated yet';
  }
  if (group === 'policy.networking.k8s.io') return 'admin network policies are not emulated yet';
  if (group === 'security.istio.io' && ISTIO_DECIDES.test(kind)) {
    return 'the policies of a service mesh are not emulated';
  }
  if (/NetworkPolicy$/.test(kind) && !POLICY_GROUPS.includes(group)) {
    return 'this kind of network policy is not emulated';
  }
  return null;
}
