/**
 * The Azure network between VMs as a plan: a router that is seen by nobody.
 *
 *   nic-node-a ──┐                       /32 of every node and pod ──► its VM's device
 *   nic-node-b ──┤ fabric                anything else ──► internet; of the virtual network's
 *     internet ──┘                       own ranges: dropped
 *
 * Azure's own switches are not Linux; each of their properties that decides a packet's fate is
 * written here as something that a Linux kernel loads and does:
 *
 * - it does not lower TTL: `mangle PREROUTING` raises it by one before the router lowers it;
 * - a NIC sends only from its own addresses (IP forwarding is off on AKS nodes): a `raw` reverse-
 *   path rule, strict, since the route of every address is its NIC's device;
 * - GRE and IP-in-IP between VMs are dropped: two `filter` rules;
 * - ARP is answered for every address but the VM's own: proxy_arp, and a route for everything;
 * - addresses of the virtual network that nobody has are swallowed all the same: `filter` rules.
 *
 * Sources: the room's README, with dates.
 * @module
 */
import type { AzureNetwork, Firewall, Peering, UserRoute } from '../cluster/azure/network.ts';
import type { Cluster, Wiring } from '../cluster/model.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { PlanBuilder } from '../plan/builder.ts';
import { type HealthProbe, type Link, MAIN_TABLE, type Plan, type Route } from '../plan/model.ts';
import {
  type Address,
  contains,
  containsPrefix,
  type Family,
  formatPrefix,
  hostPrefix,
  maskAddress,
  type Prefix,
} from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { fabricDevice, firewallDevice, INTERNET, NIC_PREFIX } from './devices.ts';
import { egressWarnings } from './egress.ts';
import { FIREWALL_NIC, firewallHost, firewallMac, renderFirewall } from './firewall.ts';
import { loadBalancerRules } from './frontends.ts';
import { healthProbes } from './health.ts';
import { addLoadBalancers } from './load-balancer.ts';
import { addOutbound } from './outbound.ts';
import {
  ANY,
  addNetSet,
  comment,
  ctstate,
  device,
  FABRIC_MAC,
  inSet,
  loopback,
  metric,
  OUTSIDE,
  routeVia,
  rule,
} from './parts.ts';
import { addRouting } from './routing.ts';
import { addSecurity } from './security.ts';

/** One VM as the fabric knows it: its NIC, and the addresses of its ipconfigs. */
export interface FabricNode {
  readonly name: string;
  readonly mac: string;
  /** The node's own addresses. */
  readonly addresses: readonly Address[];
  readonly podAddresses: readonly Address[];
  /** Ranges of pods that lead to this VM as a whole; their addresses are not listed above. */
  readonly podRanges?: readonly Prefix[];
}

export interface FabricInput {
  readonly host: string;
  readonly cluster: Cluster;
  /** On-link ranges of the cluster, which the wiring may not name. */
  readonly ranges: readonly Prefix[];
  readonly nodes: readonly FabricNode[];
  /**
   * How pods' ranges get from node to node: `overlay`, a routing domain that only VMs of the
   * cluster are in; `routes`, the route table of the nodes' subnets, and NICs that forward; `link`,
   * neighbours on one link. Absent or `nodes`: every pod's address is an ipconfig of its node.
   */
  readonly between?: 'nodes' | 'overlay' | 'routes' | 'link';
  /** Backends of load balancers whose health probe was not answered (health.ts). */
  readonly unhealthy?: ReadonlySet<string>;
}

/** The fabric, and what stands around it. */
export interface Fabric {
  readonly plan: Plan;
  /** Azure Firewalls. */
  readonly appliances: readonly Plan[];
  /** Cables between the fabric and the appliances. */
  readonly links: readonly Link[];
  /** Devices of the fabric that lead out of the emulation; the internet's is the first. */
  readonly edges: readonly string[];
  readonly healthProbes: readonly HealthProbe[];
  readonly warnings: readonly Diagnostic[];
}

/** Write the fabric's plan, and those of its appliances. */
export function renderFabric(input: FabricInput): Fabric {
  const { cluster, host, nodes } = input;
  const { wiring } = cluster;
  const builder = new PlanBuilder(host, 'fabric');
  builder.evidence = 'documentation';
  builder.interfaces.push(loopback(), device(INTERNET));
  for (const node of nodes) addNode(builder, node);
  const firewalls = wiring.azure?.firewalls ?? [];
  firewalls.forEach((firewall, i) => {
    addFirewall(builder, firewall, i, wiring.azure?.peerings ?? []);
  });
  for (const family of [4, 6] as const) addDefault(builder, family);
  const balanced = {
    rules: loadBalancerRules(cluster),
    nodes: cluster.nodes,
    unhealthy: input.unhealthy ?? new Set<string>(),
  };
  // Load balancers before the reverse-path rule: their answers leave with their address.
  for (const family of [4, 6] as const) addTtl(builder, family);
  addLoadBalancers(builder, balanced);
  const { between = 'nodes' } = input;
  const forwards = between === 'routes' || between === 'link';
  for (const family of [4, 6] as const) addRules(builder, family, forwards);
  const edges: string[] = [INTERNET];
  const network = between === 'overlay' ? withPodDomain(wiring) : wiring.azure;
  if (network) {
    if (between === 'overlay' || between === 'routes') closePodRanges(builder, input, between);
    const overlay = between === 'overlay' ? wiring.podCidrs : [];
    addSecurity(builder, { wiring, network, nodes, overlay });
    const forwarders = [
      ...nodes.flatMap((n) =>
        n.addresses.map((address) => ({ address, device: fabricDevice(n.name) })),
      ),
      ...firewalls.map((f) => ({ address: f.privateAddress, device: firewallDevice(f.name) })),
    ];
    edges.push(...addRouting(builder, { wiring, network, nodes, forwarders }));
    addOutbound(builder, { network, nodes });
  }
  for (const edge of edges.slice(1)) builder.interfaces.push(device(edge));
  keepGateways(builder, cluster);
  dropNobodys(builder, wiring, input.ranges);
  setSysctls(builder);
  return {
    plan: builder.build(),
    appliances: firewalls.map(renderFirewall),
    links: firewalls.map((f) => [
      { host: firewallHost(f), device: FIREWALL_NIC },
      { host, device: firewallDevice(f.name) },
    ]),
    edges,
    healthProbes: healthProbes(cluster),
    warnings: egressWarnings(wiring, nodes),
  };
}

/** A firewall's addresses lead to it; what comes from it may have any source. */
function addFirewall(
  builder: PlanBuilder,
  firewall: Firewall,
  index: number,
  peerings: readonly Peering[],
): void {
  const name = firewallDevice(firewall.name);
  builder.interfaces.push(device(name));
  const address = firewall.privateAddress;
  builder.routes.push(toHost(address, name));
  const peer = peerings.find((p) => p.prefixes.some((prefix) => contains(prefix, address)));
  for (const { family } of peer && !peer.forwarded ? [address] : []) {
    const set = `peer-${name}`;
    addNetSet(builder, set, family, peer?.prefixes ?? []);
    const why = 'a peering without allowForwardedTraffic: it began outside of the peer';
    builder.append(
      family,
      'filter',
      'FORWARD',
      rule(
        { in: name, out: `${NIC_PREFIX}+` },
        'drop',
        inSet(set, 'src', true),
        ctstate('NEW'),
        comment(why),
      ),
    );
  }
  const mac = firewallMac(index);
  builder.neighbors.push({ address, device: name, mac, state: 'permanent' });
  for (const one of firewall.publicAddresses) {
    if (one.family !== address.family) continue;
    builder.routes.push(routeVia(hostPrefix(one), { via: address, device: name }));
  }
}

function addNode(builder: PlanBuilder, node: FabricNode): void {
  const name = fabricDevice(node.name);
  builder.interfaces.push(device(name));
  for (const address of node.addresses) {
    builder.routes.push(toHost(address, name));
    builder.neighbors.push({ address, device: name, mac: node.mac, state: 'permanent' });
  }
  for (const address of node.podAddresses) {
    const via = node.addresses.find((a) => a.family === address.family);
    if (via) {
      builder.routes.push({ ...toHost(address, name), via, onlink: true, scope: 'global' });
      continue;
    }
    builder.routes.push(toHost(address, name));
    builder.neighbors.push({ address, device: name, mac: node.mac, state: 'permanent' });
  }
  for (const range of node.podRanges ?? []) {
    const via = node.addresses.find((a) => a.family === range.address.family);
    if (via) builder.routes.push(routeVia(range, { via, device: name }));
  }
}

/** The wiring's network, its subnets' tables leaving pods' ranges to the domain of their own. */
function withPodDomain(wiring: Wiring): AzureNetwork | undefined {
  const { azure, podCidrs } = wiring;
  if (!azure) return azure;
  const domain = podCidrs.map((prefix): UserRoute => {
    return { name: 'overlay', prefix, nextHop: { type: 'VnetLocal' } };
  });
  const subnets = azure.subnets.map((subnet) => {
    const { routeTable: table } = subnet;
    if (table === null) return subnet;
    const others = table.routes.filter((r) => !podCidrs.some((p) => containsPrefix(p, r.prefix)));
    return { ...subnet, routeTable: { ...table, routes: [...others, ...domain] } };
  });
  return { ...azure, subnets };
}

/** Only the cluster's VMs have a way to the pods' ranges. */
function closePodRanges(
  builder: PlanBuilder,
  { nodes, cluster }: FabricInput,
  between: 'overlay' | 'routes',
): void {
  const ranges = nodes.flatMap((node) => node.podRanges ?? []);
  const gateways = gatewaysInside(cluster, between);
  for (const family of [4, 6] as const) {
    const own = gateways.filter((g) => g.address.family === family);
    if (own.length > 0) addNetSet(builder, gatewaySet(family), family, own);
  }
  const whole = cluster.wiring.podCidrs.filter((p) => ranges.some((r) => containsPrefix(p, r)));
  const rest = ranges.filter((r) => !whole.some((p) => containsPrefix(p, r)));
  const why =
    between === 'overlay'
      ? 'pods of an overlay have no address outside of the cluster'
      : "pods' ranges are in the route table of the nodes' subnet only";
  for (const to of [...whole, ...rest]) {
    builder.append(to.address.family, 'filter', 'FORWARD', {
      ip: {
        inInterface: { value: `${NIC_PREFIX}+`, negate: true },
        destination: { value: to, negate: false },
      },
      matches: [
        ...(gateways.some((g) => g.address.family === to.address.family)
          ? [inSet(gatewaySet(to.address.family), 'src', true)]
          : []),
        comment(why),
      ],
      target: { kind: 'drop' },
    });
  }
}

function gatewaySet(family: Family): string {
  return `gateways-${family}`;
}

/**
 * Subnets of Application Gateways that reach pods by their addresses: in an overlay those of /24,
 * which its domain is extended to; where routes lead to pods, those of the same virtual network,
 * which get the nodes' route table.
 */
export function gatewaysInside(
  { applicationGateways = [], wiring }: Cluster,
  between: 'overlay' | 'routes',
): readonly Prefix[] {
  const subnets = applicationGateways.map(({ subnet }) => subnet);
  return subnets.filter((subnet) =>
    between === 'overlay'
      ? subnet.length === OVERLAY_GATEWAY && subnet.address.family === 4
      : wiring.vnet.some((range) => containsPrefix(range, subnet)),
  );
}

/** The length that a gateway subnet must have before an overlay (AGIC, OverlayExtensionConfig). */
const OVERLAY_GATEWAY = 24;

/** Application Gateways have addresses in the virtual network, behind the fabric's way out. */
function keepGateways(builder: PlanBuilder, { applicationGateways = [] }: Cluster): void {
  for (const { name, subnet } of applicationGateways) {
    const { length } = subnet;
    const range = { address: maskAddress(subnet.address, length), length };
    builder.append(range.address.family, 'filter', 'FORWARD', {
      ip: { destination: { value: range, negate: false } },
      matches: [comment(`application gateway ${name}`)],
      target: { kind: 'return' },
    });
  }
}

/**
 * Drop what would leave for a range of the virtual network (or of Services): nobody has the
 * address. A rule, not a blackhole route: with the route the fabric would not answer ARP for it.
 */
function dropNobodys(builder: PlanBuilder, wiring: Wiring, ranges: readonly Prefix[]): void {
  const all = [
    ...wiring.vnet,
    ...wiring.subnets,
    ...wiring.podCidrs,
    ...wiring.serviceCidrs,
    ...ranges,
  ];
  const seen = new Set<string>();
  for (const { address, length } of all) {
    const range = { address: maskAddress(address, length), length };
    const key = formatPrefix(range);
    if (seen.has(key) || length === 0) continue;
    seen.add(key);
    builder.append(address.family, 'filter', 'FORWARD', {
      ip: {
        destination: { value: range, negate: false },
        outInterface: { value: INTERNET, negate: false },
      },
      matches: [{ kind: 'comment', text: 'nobody in the virtual network has this address' }],
      target: { kind: 'drop' },
    });
  }
}

function addDefault(builder: PlanBuilder, family: Family): void {
  const via = OUTSIDE[family];
  builder.routes.push(routeVia(ANY[family], { via, device: INTERNET }));
  builder.neighbors.push({
    address: via,
    device: INTERNET,
    mac: FABRIC_MAC,
    state: 'permanent',
  });
}

function addTtl(builder: PlanBuilder, family: Family): void {
  builder.append(family, 'mangle', 'PREROUTING', {
    matches: [{ kind: 'comment', text: 'the fabric does not lower TTL' }],
    target: { kind: 'ttl', operation: 'inc', value: 1 },
  });
}

function addRules(builder: PlanBuilder, family: Family, forwards: boolean): void {
  const fromNic = { value: `${NIC_PREFIX}+`, negate: false };
  if (!forwards) {
    builder.append(family, 'raw', 'PREROUTING', {
      ip: { inInterface: fromNic },
      matches: [
        { kind: 'rpfilter', loose: false, validmark: false, acceptLocal: false, invert: true },
        { kind: 'comment', text: 'NIC without IP forwarding: source is not one of its ipconfigs' },
      ],
      target: { kind: 'drop' },
    });
  }
  for (const protocol of [Protocol.gre, Protocol.ipip]) {
    builder.append(family, 'filter', 'FORWARD', {
      ip: {
        inInterface: fromNic,
        outInterface: fromNic,
        protocol: { value: protocol, negate: false },
      },
      matches: [{ kind: 'comment', text: 'virtual networks carry no GRE and no IP-in-IP' }],
      target: { kind: 'drop' },
    });
  }
}

function setSysctls(builder: PlanBuilder): void {
  Object.assign(builder.sysctls, {
    'net.ipv4.ip_forward': '1',
    'net.ipv6.conf.all.forwarding': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
    'net.ipv4.conf.all.proxy_arp': '1',
    'net.ipv4.conf.all.send_redirects': '0',
    'net.ipv4.conf.default.send_redirects': '0',
  });
}

function toHost(address: Address, name: string): Route {
  const { family } = address;
  return {
    family,
    type: 'unicast',
    destination: hostPrefix(address),
    table: MAIN_TABLE,
    device: name,
    metric: metric(family),
    scope: family === 4 ? 'link' : 'global',
  };
}
