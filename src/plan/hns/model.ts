/**
 * What the Host Networking Service of a Windows host holds, as data: the policies of its endpoints,
 * the sets that access rules name, and its load balancers.
 *
 * Fields and values are those of HCN's schema version 2 (microsoft/hcsshim `hcn/hcnpolicy.go`,
 * `hcn/hcnloadbalancer.go`). An access rule says source and destination here; HNS' own Local and
 * Remote change their meaning with direction and kind of term, which text.ts writes.
 * @module
 */
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { PortRange } from '../../netfilter/match.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import type { Address, Prefix } from '../../wire/address/address.ts';

/** One end of an access rule. */
export type AclTerm =
  /** In every one of these sets; HNS is given their names. */
  | { readonly kind: 'sets'; readonly sets: readonly IpSet[] }
  /** In the set; HNS is given its addresses. */
  | { readonly kind: 'members'; readonly set: IpSet }
  /** In any of these networks. */
  | { readonly kind: 'nets'; readonly nets: readonly Prefix[] };

/** An access rule of an endpoint (`AclPolicySetting`); a smaller priority is asked first. */
export interface HnsAcl {
  /** Empty when whoever wrote it gave it none. */
  readonly id: string;
  readonly action: 'Allow' | 'Block';
  /** As the pod sees it. */
  readonly direction: 'In' | 'Out';
  readonly priority: number;
  /** `Switch` rules are the switch's, `Host` rules the firewall's; null: left out, the switch's. */
  readonly ruleType: 'Switch' | 'Host' | null;
  /** IP protocol; null: any. */
  readonly protocol: number | null;
  readonly source: AclTerm | null;
  readonly destination: AclTerm | null;
  /** Destination ports; empty: any. */
  readonly ports: readonly PortRange[];
  readonly origin: readonly Provenance[];
  /** What is known of it otherwise than of its neighbours: its effect is documented nowhere. */
  readonly unsure?: string;
}

/** Source translation of what leaves an endpoint (`OutboundNatPolicySetting`). */
export interface HnsOutboundNat {
  /** Destinations that are left alone. */
  readonly exceptions: readonly Prefix[];
  /** Only these destinations; empty: all but the exceptions. */
  readonly destinations: readonly Address[];
}

export interface HnsEndpoint {
  readonly id: string;
  /** `NAMESPACE/NAME` of the pod. */
  readonly name: string;
  /** The device of the emulated host that stands for the endpoint's port of the switch. */
  readonly device: string;
  readonly mac: string;
  readonly addresses: readonly Address[];
  readonly acls: readonly HnsAcl[];
  readonly outboundNats: readonly HnsOutboundNat[];
}

/** `LoadBalancerFlags` and `LoadBalancerPortMappingFlags`. */
export const BalancerFlag = { directServerReturn: 1, ipv6: 2 } as const;
export const MappingFlag = {
  localRoutedVip: 2,
  useMux: 4,
  preserveDip: 8,
  vipExternalIp: 16,
} as const;

/** A load balancer (`HostComputeLoadBalancer`) of one port mapping. */
export interface HnsLoadBalancer {
  readonly id: string;
  /** Which of a Service's addresses it serves. */
  readonly role: 'clusterIp' | 'nodePort' | 'externalIp' | 'ingress';
  /** Empty for a node port: the host's own addresses. */
  readonly vips: readonly Address[];
  readonly sourceVip: string;
  readonly flags: number;
  readonly mappingFlags: number;
  readonly protocol: number;
  readonly externalPort: number;
  /** Of every endpoint: HNS knows one number only. */
  readonly internalPort: number;
  /** By the client's address alone (session affinity), or by all five parts of the flow. */
  readonly distribution: 'SourceIP' | 'None';
  readonly endpoints: readonly Address[];
  readonly origin: readonly Provenance[];
}

export interface HnsState {
  /** Name of the HNS network. */
  readonly network: string;
  /** Windows build and update, `20348.1668`. */
  readonly build: string;
  readonly endpoints: readonly HnsEndpoint[];
  /** Sets that access rules name, and those inside them. */
  readonly sets: readonly IpSet[];
  readonly loadBalancers: readonly HnsLoadBalancer[];
}
