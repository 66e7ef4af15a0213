/**
 * What exists in a cluster: the Kubernetes objects that decide where packets go, and how the
 * cluster is wired, after validation and defaulting. Everything here has been checked; nothing is
 * optional that the platform would have filled.
 * @module
 */
import type { Address, Prefix } from '../wire/address.ts';

/** Where an object, or a part of one, stands in the user's files. Lines and columns from 1. */
export interface SourceRef {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export function formatSource(s: SourceRef): string {
  return `${s.file}:${s.line}`;
}

export type Labels = Readonly<Record<string, string>>;

export interface ObjectMeta {
  readonly name: string;
  readonly labels: Labels;
  readonly source: SourceRef;
}

export interface Namespace extends ObjectMeta {}

export interface Node extends ObjectMeta {
  /** InternalIP addresses, primary family first; never empty. */
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Prefix[];
  readonly os: 'linux' | 'windows';
  readonly kernel: string;
}

export type TransportProtocol = 'TCP' | 'UDP' | 'SCTP';

export interface ContainerPort {
  readonly name?: string;
  readonly protocol: TransportProtocol;
  readonly containerPort: number;
  readonly hostPort?: number;
  /** Named ports of init containers count for Calico and not for Azure NPM. */
  readonly init: boolean;
}

export interface Pod extends ObjectMeta {
  readonly namespace: string;
  readonly node: string;
  /** Pod addresses (the node's own for hostNetwork pods); empty while not running. */
  readonly addresses: readonly Address[];
  readonly hostNetwork: boolean;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly ports: readonly ContainerPort[];
  readonly serviceAccount: string;
}

export interface ServicePort {
  readonly name: string;
  readonly protocol: TransportProtocol;
  readonly port: number;
  readonly targetPort: number | string;
  readonly nodePort?: number;
}

export interface Service extends ObjectMeta {
  readonly namespace: string;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly clusterIps: readonly Address[];
  readonly headless: boolean;
  readonly externalIps: readonly Address[];
  readonly loadBalancerIps: readonly Address[];
  readonly selector: Labels | null;
  readonly ports: readonly ServicePort[];
  readonly externalTrafficPolicy: 'Cluster' | 'Local';
}

export interface EndpointSlice extends ObjectMeta {
  readonly namespace: string;
  readonly service: string;
  readonly endpoints: readonly {
    readonly address: Address;
    readonly ready: boolean;
    readonly pod?: string;
  }[];
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: TransportProtocol;
    readonly port: number;
  }[];
}

/** How the cluster is wired, in AKS's own words; defaults filled (facts: AKS networking). */
export interface Wiring {
  readonly networkPlugin: 'azure' | 'kubenet' | 'none';
  readonly networkPluginMode: 'none' | 'overlay';
  readonly networkPolicy: 'none' | 'azure' | 'calico' | 'cilium';
  readonly podCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
  readonly dnsServiceIp: Address | null;
  /** Address space of the virtual network the nodes are in. */
  readonly vnet: readonly Prefix[];
  /** The subnet the nodes' (and, without overlay, the pods') addresses are taken from. */
  readonly subnets: readonly Prefix[];
  /** Destinations that ip-masq-agent does not masquerade. */
  readonly nonMasqueradeCidrs: readonly Prefix[];
  /** True when no wiring document was given and the address ranges are guessed from the objects. */
  readonly inferred: boolean;
}

export interface Cluster {
  readonly nodes: readonly Node[];
  readonly namespaces: readonly Namespace[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly wiring: Wiring;
}
