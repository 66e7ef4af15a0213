/**
 * The plan: everything one Linux host does to a packet, as data.
 *
 * One plan describes one network namespace: a Kubernetes node, a pod, or the fabric between nodes.
 * What knows about Azure, Calico or kube-proxy only writes plans (dataplane/, fabric/); what
 * forwards only reads what lowering/ makes of them. Every part has a text that the real tools read
 * and write (plan/text-*.ts), so a plan can be printed, loaded into a kernel, and read back.
 *
 * A plan is never edited once built: parts are readonly, builders live in plan/builder.ts.
 * @module
 */

import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import type { EbTable } from '../netfilter/ebtables.ts';
import type { IpSet } from '../netfilter/ip-set.ts';
import type { ListedConnection } from '../netfilter/listed-connection.ts';
import type { NftRuleset } from '../netfilter/nft/ruleset.ts';
import type { Chain, Table } from '../netfilter/rule.ts';
import type { VirtualServers } from '../netfilter/virtual-server.ts';
import type { Address, Family, Prefix } from '../wire/address/address.ts';
import type { HnsState } from './hns/model.ts';

/** How well a statement is known; a verdict carries the weakest that it stands on. */
export const EVIDENCE = ['kernel', 'dump', 'source', 'documentation'] as const;
export type Evidence = (typeof EVIDENCE)[number];

/** A dummy is a place for addresses: what leaves by it is gone. */
export type InterfaceKind = 'loopback' | 'physical' | 'veth' | 'bridge' | 'dummy';

export interface InterfaceAddress {
  readonly address: Address;
  readonly length: number;
  readonly scope: 'global' | 'link' | 'host';
}

export interface Interface {
  readonly name: string;
  readonly kind: InterfaceKind;
  /** Lower-case, colon separated. */
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly InterfaceAddress[];
  /** Name of the bridge this interface is a port of. */
  readonly master?: string;
  /** Bridge ports only: may a frame leave by the port it came from. */
  readonly hairpin?: boolean;
  readonly promiscuous?: boolean;
}

export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw';

export interface Route {
  readonly family: Family;
  readonly type: RouteType;
  readonly destination: Prefix;
  /** Routing table number: 254 main, 255 local. */
  readonly table: number;
  readonly device?: string;
  readonly via?: Address;
  readonly source?: Address;
  readonly metric: number;
  readonly scope: 'global' | 'link' | 'host';
  readonly onlink?: boolean;
  /** Nobody said so: what is decided by this route is not known. */
  readonly assumed?: true;
}

/** `ip rule`: which routing table is asked, in order of preference. */
export interface RoutingRule {
  readonly family: Family;
  readonly preference: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly oif?: string;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  readonly negate?: boolean;
}

export interface Neighbor {
  readonly address: Address;
  readonly device: string;
  readonly mac: string;
  readonly state: 'permanent' | 'reachable' | 'stale' | 'probe' | 'noarp' | 'failed';
}

export interface FdbEntry {
  readonly mac: string;
  readonly bridge: string;
  readonly port: string;
  /** Permanent (the port's own address), static, or learned. */
  readonly kind: 'permanent' | 'static' | 'learned';
}

/**
 * A part of a host that nobody described, so that what it would decide is not known (dumps of real
 * nodes are often partial). Rendered plans have none.
 */
export type PlanGap =
  | 'iptables'
  | 'ip6tables'
  | 'ebtables'
  | 'addresses'
  | 'routes'
  | 'sysctls'
  | 'virtualServers';

export interface Plan {
  /** Host name; unique in a network. */
  readonly host: string;
  readonly role: 'node' | 'pod' | 'fabric';
  readonly evidence: Evidence;
  readonly kernel: string;
  readonly interfaces: readonly Interface[];
  readonly routes: readonly Route[];
  readonly routingRules: readonly RoutingRule[];
  readonly neighbors: readonly Neighbor[];
  readonly fdb: readonly FdbEntry[];
  readonly tables: readonly Table[];
  readonly ebtables: readonly EbTable[];
  readonly ipsets: readonly IpSet[];
  /** Tables of nft's own, beside those of iptables. */
  readonly nft?: NftRuleset;
  /** Of a Windows host: what its Host Networking Service holds; tables stand in for its switch. */
  readonly hns?: HnsState;
  /** Virtual servers (IPVS). */
  readonly virtualServers?: VirtualServers;
  /** Keys as sysctl(8) prints them (`net.ipv4.ip_forward`); absent keys have Linux's default. */
  readonly sysctls: Readonly<Record<string, string>>;
  /**
   * A refused TCP connection stays as long as a closed one; on Linux it is gone at once. Of hosts
   * that are no Linux hosts.
   */
  readonly keepsRefused?: true;
  readonly gaps?: readonly PlanGap[];
  /** Connections open when the host was described; only what was read from a real one has any. */
  readonly connections?: readonly ListedConnection[];
}

/** One end of a cable or of a veth pair. */
export interface Attachment {
  readonly host: string;
  readonly device: string;
}

/** Two attachments that see each other's frames. */
export type Link = readonly [Attachment, Attachment];

/** A load balancer asks one backend whether it lives. */
export interface HealthProbe {
  /** What `RenderInput.unhealthy` calls the backend: one probe may stand for several rules. */
  readonly keys: readonly string[];
  /** `shop/web`. */
  readonly service: string;
  readonly node: string;
  /** Behind the fabric's first edge. */
  readonly source: Address;
  readonly destination: Address;
  readonly port: number;
  /** `http` wants an answer of the node's health server or of the application; both are TCP. */
  readonly kind: 'tcp' | 'http';
}

/**
 * All hosts of one emulated cluster and how they are wired. Pods are many and small, so their plans
 * are made when first asked for.
 */
export interface Network {
  /** `azure-bridge+npm`, as the user named it. */
  readonly stack: string;
  readonly nodes: readonly Plan[];
  readonly fabric: Plan;
  /** Hosts of the network itself besides the fabric: firewalls. */
  readonly appliances?: readonly Plan[];
  /** What load balancers ask before they send anybody's packets. */
  readonly healthProbes?: readonly HealthProbe[];
  /** Devices of the fabric that lead out of the emulation. */
  readonly edges: readonly Attachment[];
  readonly links: readonly Link[];
  /** What a device's cable leads to, as `links` say; where `links` are millions, faster. */
  readonly farEnd?: (host: string, device: string) => Attachment | undefined;
  /**
   * Hosts around which every neighbour answers that the plan does not list: what stands there is
   * not emulated.
   */
  readonly answered?: readonly string[];
  /** Host names of all pods, whether a host is one, and the plan of one. */
  readonly pods: readonly string[];
  isPod?(host: string): boolean;
  podPlan(host: string): Plan;
  /** What the products do otherwise than the user's files ask, and that verdicts will show. */
  readonly warnings?: readonly Diagnostic[];
}

/** The weakest evidence that any of the plans stands on. */
export function weakestEvidence(plans: readonly Pick<Plan, 'evidence'>[]): Evidence {
  const ranks = plans.map((plan) => EVIDENCE.indexOf(plan.evidence));
  return EVIDENCE[Math.max(0, ...ranks)] ?? 'documentation';
}

export const MAIN_TABLE = 254;
export const LOCAL_TABLE = 255;

export function findTable(plan: Plan, family: Family, name: Table['name']): Table | undefined {
  return plan.tables.find((t) => t.family === family && t.name === name);
}

export function findChain(table: Table | undefined, name: string): Chain | undefined {
  return table?.chains.find((c) => c.name === name);
}
