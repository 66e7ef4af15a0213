/**
 * The Azure network around a cluster's nodes, as the wiring document tells it, checked and with
 * Azure's defaults filled. Names are those of Microsoft.Network resources; a name that one part has
 * of another (a subnet of its route table) has been looked up.
 * @module
 */
import type { Address, Prefix } from '../../wire/address/address.ts';

export interface AzureNetwork {
  readonly outbound: Outbound;
  readonly loadBalancerSku: 'standard' | 'basic';
  /** Subnets of the cluster's virtual network. */
  readonly subnets: readonly Subnet[];
  /** Held against the nodes' NICs, besides what their subnets have. */
  readonly nodeSecurityGroup: SecurityGroup | null;
  /** Address spaces of virtual networks peered with the cluster's, and how. */
  readonly peerings: readonly Peering[];
  /** Ranges behind VPN or ExpressRoute. */
  readonly onPremises: readonly OnPremises[];
  /**
   * The wiring speaks of what is connected (on-premises ranges, perhaps none; peerings): a private
   * range that it does not name is nowhere. Otherwise nobody knows.
   */
  readonly isConnectivityKnown: boolean;
  readonly firewalls: readonly Firewall[];
  readonly apiServer: ApiServerAccess;
}

/** Who may reach the API server (AKS `apiServerAccessProfile`). */
export interface ApiServerAccess {
  readonly isPrivate: boolean;
  /** Empty: everybody. The load balancer's outbound addresses are always among them. */
  readonly authorizedRanges: readonly Prefix[];
}

export interface Subnet {
  readonly name: string;
  readonly prefix: Prefix;
  readonly routeTable: RouteTable | null;
  readonly securityGroup: SecurityGroup | null;
  readonly natGateway: NatGateway | null;
  /** Ranges of Azure services that the subnet reaches with its own addresses. */
  readonly serviceEndpoints: readonly Prefix[];
}

/** How a cluster leaves for the internet (AKS `outboundType`). */
export interface Outbound {
  readonly type:
    | 'loadBalancer'
    | 'managedNATGateway'
    | 'userAssignedNATGateway'
    | 'userDefinedRouting'
    | 'none';
  /** Public addresses of the load balancer's outbound rule. */
  readonly publicAddresses: readonly Address[];
  /** Ports a VM has on each public address; 0: by the size of the pool. */
  readonly allocatedPorts: number;
  readonly idleTimeoutMinutes: number;
  /** A cluster-wide NAT gateway (`managedNATGateway`). */
  readonly natGateway: NatGateway | null;
}

export interface NatGateway {
  readonly name: string;
  readonly publicAddresses: readonly Address[];
  readonly idleTimeoutMinutes: number;
}

export type NextHop =
  | { readonly type: 'VirtualAppliance'; readonly address: Address }
  | { readonly type: 'VirtualNetworkGateway' | 'VnetLocal' | 'Internet' | 'None' };

export interface UserRoute {
  readonly name: string;
  readonly prefix: Prefix;
  readonly nextHop: NextHop;
}

export interface RouteTable {
  readonly name: string;
  /** `disableBgpRoutePropagation`: what gateways learned is not in this table. */
  readonly ignoresGateways: boolean;
  readonly routes: readonly UserRoute[];
}

export const SERVICE_TAGS = ['VirtualNetwork', 'AzureLoadBalancer', 'Internet'] as const;
export type ServiceTag = (typeof SERVICE_TAGS)[number];

/** NICs that rules name together: the nodes of these pools, and whoever has these addresses. */
export interface ApplicationGroup {
  readonly name: string;
  readonly nodePools: readonly string[];
  readonly addresses: readonly Address[];
}

/** One side of a security rule: everything, or any of these. */
export interface SecuritySide {
  readonly any: boolean;
  /** Absent: none. */
  readonly groups?: readonly ApplicationGroup[];
  readonly prefixes: readonly Prefix[];
  readonly tags: readonly ServiceTag[];
  /** Inclusive; empty for every port. */
  readonly ports: readonly { readonly low: number; readonly high: number }[];
}

export interface SecurityRule {
  readonly name: string;
  readonly priority: number;
  readonly direction: 'Inbound' | 'Outbound';
  readonly access: 'Allow' | 'Deny';
  readonly protocol: 'Tcp' | 'Udp' | 'Icmp' | 'Esp' | 'Ah' | '*';
  readonly source: SecuritySide;
  readonly destination: SecuritySide;
  readonly place: { readonly file: string; readonly line: number };
}

export interface SecurityGroup {
  readonly name: string;
  /** The user's and Azure's default rules of both directions, by priority. */
  readonly rules: readonly SecurityRule[];
}

/** A virtual network peered with the cluster's. */
export interface Peering {
  readonly name: string;
  readonly prefixes: readonly Prefix[];
  /** Whether the two reach each other at all (`allowVirtualNetworkAccess`). */
  readonly access: boolean;
  /** Whether packets come in that began outside of the peer (`allowForwardedTraffic`). */
  readonly forwarded: boolean;
  /** The peer's gateway is used as if it were the cluster's network's own. */
  readonly remoteGateway: boolean;
}

export interface OnPremises {
  readonly prefix: Prefix;
  readonly gateway: 'vpn' | 'expressRoute';
}

export interface FirewallSide {
  readonly any: boolean;
  readonly prefixes: readonly Prefix[];
}

export interface FirewallNetworkRule {
  readonly name: string;
  readonly protocols: readonly ('TCP' | 'UDP' | 'ICMP' | 'Any')[];
  readonly source: FirewallSide;
  readonly destination: FirewallSide;
  readonly ports: readonly { readonly low: number; readonly high: number }[];
}

/** Decides by the name that a client asks for, inside HTTP or TLS. */
export interface FirewallApplicationRule {
  readonly name: string;
  readonly source: FirewallSide;
  readonly ports: readonly number[];
  /** Whether it is about every name. */
  readonly anyName: boolean;
}

export interface FirewallNatRule {
  readonly name: string;
  readonly protocols: readonly ('TCP' | 'UDP')[];
  readonly source: FirewallSide;
  readonly publicAddress: Address;
  readonly port: number;
  readonly translatedAddress: Address;
  readonly translatedPort: number;
}

export interface FirewallCollection<Rule> {
  readonly name: string;
  readonly priority: number;
  readonly action: 'Allow' | 'Deny' | 'Dnat';
  readonly rules: readonly Rule[];
  readonly place: { readonly file: string; readonly line: number };
}

export interface Firewall {
  readonly name: string;
  readonly privateAddress: Address;
  readonly publicAddresses: readonly Address[];
  /** Destinations towards which sources are kept (`snat.privateRanges`). */
  readonly privateRanges: readonly Prefix[];
  readonly natCollections: readonly FirewallCollection<FirewallNatRule>[];
  readonly networkCollections: readonly FirewallCollection<FirewallNetworkRule>[];
  readonly applicationCollections: readonly FirewallCollection<FirewallApplicationRule>[];
}
