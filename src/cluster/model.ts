/**
 * What exists in a cluster: the Kubernetes objects that decide where packets go, and how the
 * cluster is wired, after validation and defaulting. Everything here has been checked; nothing is
 * optional that the platform would have filled.
 * @module
 */

import type { Address, Family, Prefix } from '../wire/address/address.ts';
import type { AzureNetwork } from './azure/network.ts';
import type {
  ApplicationGateway,
  Ingress,
  IngressClass,
  NamedController,
} from './ingress/model.ts';

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
  /** `status.capacity.cpu`, whole ones; absent where nobody told. */
  readonly cpus?: number;
  /** `status.allocatable.cpu` in thousandths; absent where nobody told. */
  readonly allocatableMilliCpu?: number;
  /** The Ready condition; absent where nobody told. */
  readonly ready?: boolean;
  /** The kubelet's version (`v1.30.3`), where the node's status has it. */
  readonly kubelet?: string;
}

export type TransportProtocol = 'TCP' | 'UDP' | 'SCTP';

export interface ContainerPort {
  readonly name?: string;
  readonly protocol: TransportProtocol;
  readonly containerPort: number;
  readonly hostPort?: number;
  /** The node's address that the host port is on; absent: all of them. */
  readonly hostIp?: Address;
  /** Named ports of init containers count for Calico and not for Azure NPM. */
  readonly init: boolean;
}

export interface Pod extends ObjectMeta {
  readonly namespace: string;
  readonly node: string;
  /** Pod addresses (the node's own for hostNetwork pods); empty while not running. */
  readonly addresses: readonly Address[];
  readonly hostNetwork: boolean;
  /** Of a Windows HostProcess container. */
  readonly hostProcess?: true;
  /** It asks for the host's network on a Windows node, which has that for HostProcess only. */
  readonly hostNetworkIgnored?: true;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly ports: readonly ContainerPort[];
  readonly serviceAccount: string;
  /** `spec.hostname` and `spec.subdomain`, by which DNS knows a pod of a headless Service. */
  readonly hostname?: string;
  readonly subdomain?: string;
  /** What the spec says about names; absent: `dnsPolicy: ClusterFirst` and nothing more. */
  readonly dns?: PodDns;
}

/** Names that stand for an address in a pod's /etc/hosts. */
export interface HostAlias {
  readonly address: Address;
  readonly names: readonly string[];
  readonly source: SourceRef;
}

export interface PodDns {
  readonly policy: 'ClusterFirst' | 'ClusterFirstWithHostNet' | 'Default' | 'None';
  /** Of `dnsConfig`: servers and domains behind those of the policy. */
  readonly nameservers: readonly Address[];
  readonly searches: readonly string[];
  readonly options: readonly { readonly name: string; readonly value: string }[];
  readonly hostAliases: readonly HostAlias[];
}

/** How names of the cluster are searched for, and answered. */
export interface ClusterDns {
  /** The domain in the search list that kubelet writes. */
  readonly domain: string;
  /** Servers that kubelet writes; empty: the DNS Service. */
  readonly servers: readonly Address[];
  /** Domains that the server answers for. */
  readonly zones: readonly string[];
  /** Whether names like `10-1-2-3.NAMESPACE.pod` have addresses. */
  readonly podNames: 'insecure' | 'verified' | 'disabled';
  /** A plugin of the server that answers otherwise, and is not emulated; null without. */
  readonly altered: string | null;
}

export interface ServicePort {
  /** Empty when the port has no name. */
  readonly name: string;
  readonly protocol: TransportProtocol;
  readonly port: number;
  readonly targetPort: number | string;
  /** Given or assigned; absent where the type has none. */
  readonly nodePort?: number;
  readonly appProtocol?: string;
  readonly source: SourceRef;
}

/** One of `status.loadBalancer.ingress`: where the load balancer answers. */
export interface LoadBalancerIngress {
  /** Null for an ingress that is a host name. */
  readonly address: Address | null;
  readonly hostname: string | null;
  /** `Proxy`: the load balancer rewrites the destination, so nodes never see this address. */
  readonly ipMode: 'VIP' | 'Proxy';
}

export interface Service extends ObjectMeta {
  readonly namespace: string;
  /** As written: cloud providers read their instructions here. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  /** Empty for headless and ExternalName Services; at most one a family, the primary one first. */
  readonly clusterIps: readonly Address[];
  readonly headless: boolean;
  /** Families the Service has addresses and endpoints of, the primary one first. */
  readonly ipFamilies: readonly Family[];
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  readonly externalIps: readonly Address[];
  /** `status.loadBalancer.ingress` as given: empty when the objects come without status. */
  readonly loadBalancerIngress: readonly LoadBalancerIngress[];
  /**
   * Addresses of the ingress, whatever their mode; while there is no ingress, those that the cloud
   * is asked for (Azure's annotations, `spec.loadBalancerIP`).
   */
  readonly loadBalancerIps: readonly Address[];
  readonly loadBalancerClass: string | null;
  /** From the field (clouds read an annotation too); empty: everybody. Host bits as written. */
  readonly loadBalancerSourceRanges: readonly Prefix[];
  /** Whether a LoadBalancer Service has node ports. */
  readonly allocateLoadBalancerNodePorts: boolean;
  /** Null when a selector chooses no endpoints: somebody else writes them, or nobody does. */
  readonly selector: Labels | null;
  readonly ports: readonly ServicePort[];
  readonly externalTrafficPolicy: 'Cluster' | 'Local';
  readonly internalTrafficPolicy: 'Cluster' | 'Local';
  /** Given or assigned, for LoadBalancer Services with externalTrafficPolicy Local; else null. */
  readonly healthCheckNodePort: number | null;
  /** Seconds that a client keeps its endpoint (sessionAffinity ClientIP); null: it does not. */
  readonly sessionAffinitySeconds: number | null;
  readonly publishNotReadyAddresses: boolean;
  /** PreferClose, PreferSameZone, PreferSameNode. */
  readonly trafficDistribution: string | null;
  /** The CNAME of an ExternalName Service. */
  readonly externalName: string | null;
}

/** One endpoint of a slice, its conditions defaulted. */
export interface Endpoint {
  /** All of the slice's family, and interchangeable; kube-proxy takes the first. Never empty. */
  readonly addresses: readonly Address[];
  readonly ready: boolean;
  /** Ready, whether or not it is being deleted. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Node it is on; absent when it is none of the cluster's. */
  readonly node?: string;
  readonly zone?: string;
  /** Host name for DNS. */
  readonly hostname?: string;
  /** `hints.forZones`, `hints.forNodes`: whose traffic it should take; empty: no hint. */
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
  /** Name of the pod (in the slice's namespace) that it stands for. */
  readonly pod?: string;
  /** The endpoint in its file; the pod, for slices that no file has. */
  readonly source: SourceRef;
}

export interface EndpointPort {
  readonly name: string;
  readonly protocol: TransportProtocol;
  /** Null: every port (kube-proxy leaves such ports out). */
  readonly port: number | null;
  readonly appProtocol?: string;
}

/**
 * What hints by the zones' CPUs (`topology-mode: Auto`) came to: every endpoint its own zone's;
 * none; or some of the giving zones' endpoints take traffic of the receiving ones, nobody knows
 * which, so all of them have the hints of both.
 */
export type HintOutcome =
  | { readonly kind: 'own' }
  | { readonly kind: 'none'; readonly why: string }
  | {
      readonly kind: 'shared';
      readonly giving: readonly string[];
      readonly receiving: readonly string[];
    };

export interface EndpointSlice extends ObjectMeta {
  readonly namespace: string;
  /** Name of the Service, from the label `kubernetes.io/service-name`; empty without. */
  readonly service: string;
  readonly family: Family;
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly EndpointPort[];
  /** On slices that no file has, for Services that ask for hints by the zones' CPUs. */
  readonly hints?: HintOutcome;
}

/** How kube-proxy tells traffic of this node's, or the cluster's, own pods. */
export type LocalDetector =
  | { readonly mode: 'ClusterCIDR'; readonly cidrs: readonly Prefix[] }
  /** By the pod ranges of the node it runs on. */
  | { readonly mode: 'NodeCIDR' }
  | { readonly mode: 'BridgeInterface'; readonly name: string }
  | { readonly mode: 'InterfaceNamePrefix'; readonly prefix: string }
  | { readonly mode: 'none' };

/** Schedulers of IPVS mode (pkg/proxy/apis/config `IPVSSchedulerMethod`), and mh. */
export const IPVS_SCHEDULERS = [
  ...(['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq', 'mh'] as const),
] as const;

/** `ipvs` of a KubeProxyConfiguration; seconds, 0 leaves the kernel's own. */
export interface IpvsConfig {
  readonly scheduler: (typeof IPVS_SCHEDULERS)[number];
  /** ARP is answered only for addresses of the device that is asked. */
  readonly strictArp: boolean;
  readonly tcpTimeout: number;
  readonly tcpFinTimeout: number;
  readonly udpTimeout: number;
}

/** KubeProxyConfiguration where it bears on packets, defaulted as kube-proxy does. */
export interface KubeProxyConfig {
  readonly mode: 'iptables' | 'nftables' | 'ipvs';
  /** IPVS mode only; absent: kube-proxy's own defaults. */
  readonly ipvs?: IpvsConfig;
  readonly masqueradeAll: boolean;
  /** Bit of the packet mark that asks for masquerade. */
  readonly masqueradeBit: number;
  readonly localhostNodePorts: boolean;
  /** Node ports answer on addresses in these ranges; a family without any: on all. */
  readonly nodePortAddresses: readonly Prefix[];
  readonly detectLocal: LocalDetector;
  /** Conntrack takes TCP segments outside the window, and INVALID ones are not dropped. */
  readonly tcpBeLiberal: boolean;
  /** Entries of the connection table for each CPU, 0 leaves the node's own; and at least. */
  readonly conntrackMaxPerCore: number;
  readonly conntrackMin: number;
  /** Seconds; 0 leaves the node's own. */
  readonly tcpEstablishedTimeout: number;
  readonly tcpCloseWaitTimeout: number;
  readonly udpTimeout: number;
  readonly udpStreamTimeout: number;
}

/** A Calico IPPool: pods take addresses of it. */
export interface IpPool extends ObjectMeta {
  readonly cidr: Prefix;
  /** What leaves the pools is masqueraded. */
  readonly natOutgoing: boolean;
}

/** The masquerade agent of a cluster, after defaulting and merging its files. */
export interface Masquerade {
  readonly agent: 'ip-masq-agent' | 'azure-ip-masq-agent';
  /** Destinations that are left alone, in the order of the agent's rules. */
  readonly nonMasqueradeCidrs: readonly Prefix[];
  /** 169.254.0.0/16 is masqueraded like everything else. */
  readonly linkLocal: boolean;
  /** fe80::/10 is. */
  readonly linkLocal6: boolean;
  /** What a ConfigMap of the user's own says is left alone, besides AKS's; absent without one. */
  readonly own?: readonly Prefix[];
}

/** A node pool as the wiring document has it. */
export interface WiredPool {
  readonly name: string;
  readonly maxPods: number | null;
  readonly os: Node['os'];
  /** Where its pods take their addresses, if not from their nodes' subnet. */
  readonly podSubnet?: Prefix;
  /** Windows only: what leaves a pod keeps its address (`windowsProfile.disableOutboundNat`). */
  readonly disableOutboundNat?: true;
}

/** How the cluster is wired, in AKS's own words; defaults filled (facts: AKS networking). */
export interface Wiring {
  /** The control plane's (`1.30.3`); absent where nothing says so. */
  readonly kubernetesVersion?: string;
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
  /** What masquerades on the nodes; null or absent when nothing does. */
  readonly masquerade?: Masquerade | null;
  /** Node pools as the wiring document has them; absent without. */
  readonly nodePools?: readonly WiredPool[];
  /**
   * Azure CNI's subnets that only pods are in; absent where pods are among the nodes or have ranges
   * of their own, empty where nobody says which subnets they are.
   */
  readonly podSubnets?: readonly Prefix[];
  /** True when no wiring document was given and the address ranges are guessed from the objects. */
  readonly inferred: boolean;
  /** What is around the nodes; absent when no wiring document of an Azure cluster says so. */
  readonly azure?: AzureNetwork;
}

export interface Cluster {
  readonly nodes: readonly Node[];
  readonly namespaces: readonly Namespace[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  /** As given; null or absent when the platform's own values hold. */
  readonly kubeProxy?: KubeProxyConfig | null;
  /** Absent: AKS's own (`cluster.local`, names of pods as their addresses spell them). */
  readonly dns?: ClusterDns;
  readonly wiring: Wiring;
  /** Calico's, where objects of it are given; Azure CNI clusters have none. */
  readonly ipPools?: readonly IpPool[];
  /** Absent where there is none, as the proxies that the wiring document names for them. */
  readonly ingresses?: readonly Ingress[];
  readonly ingressClasses?: readonly IngressClass[];
  readonly ingressControllers?: readonly NamedController[];
  readonly applicationGateways?: readonly ApplicationGateway[];
}
