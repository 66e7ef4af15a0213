/**
 * Azure's routing as Linux's: the system's routes in the main table, a table of its own for every
 * subnet that has a route table, and a rule that sends what the subnet's VMs send there.
 *
 *   ip rule 1000: iif nic-node-a lookup 1001      table 1001: effective routes of the subnet
 *                        │                          VnetLocal  throw (the main table knows the VMs)
 *                        └── nothing found ──► main: None       blackhole
 *                                                   appliance  via its VM, or out by `appliance`
 * @module
 */
import type { AzureNetwork, Subnet } from '../cluster/azure/network.ts';
import type { Wiring } from '../cluster/model.ts';
import type { PlanBuilder } from '../plan/builder.ts';
import type { Route } from '../plan/model.ts';
import {
  type Address,
  addressKey,
  contains,
  hostPrefix,
  type Prefix,
} from '../wire/address/address.ts';
import { APPLIANCE, fabricDevice, GATEWAY, INTERNET, PEERING } from './devices.ts';
import type { EffectiveHop, EffectiveRoute } from './effective-routes.ts';
import { effectiveRoutes, PRIVATE_RANGES } from './effective-routes.ts';
import { comment, FABRIC_MAC, metric, OUTSIDE, PLATFORM, routeVia, rule } from './parts.ts';

/**
 * Tables of subnets are numbered from here; rules that lead there have this preference: before what
 * load balancers chose, since a VM's own routes are asked first.
 */
const FIRST_TABLE = 1001;
const SUBNET_PREFERENCE = 1000;

/** Somebody who forwards inside the emulation: a node, a firewall. */
export interface Forwarder {
  readonly address: Address;
  readonly device: string;
}

export interface RoutingInput {
  readonly wiring: Wiring;
  readonly network: AzureNetwork;
  readonly nodes: readonly { readonly name: string; readonly addresses: readonly Address[] }[];
  readonly forwarders: readonly Forwarder[];
}

/** Write the routes; the devices that lead out besides the internet's are returned. */
export function addRouting(builder: PlanBuilder, input: RoutingInput): readonly string[] {
  const { wiring, network } = input;
  const used = new Set<string>();
  const system = effectiveRoutes(network, wiring.vnet, null);
  for (const route of system) addSystemRoute(builder, route, used);
  dropPrivate(builder, network, wiring.vnet);
  let table = FIRST_TABLE;
  for (const subnet of network.subnets) {
    if (subnet.routeTable === null) continue;
    addSubnetTable(builder, input, subnet, table, used);
    table++;
  }
  for (const name of used) {
    if (name === INTERNET) continue;
    for (const family of [4, 6] as const) {
      const state = 'permanent' as const;
      builder.neighbors.push({ address: OUTSIDE[family], device: name, mac: FABRIC_MAC, state });
    }
  }
  return [...used].filter((name) => name !== INTERNET);
}

/** Routes of the main table: only what leads elsewhere than to VMs and the internet. */
function addSystemRoute(builder: PlanBuilder, route: EffectiveRoute, used: Set<string>): void {
  const device = edgeOf(route.hop);
  if (device === null || device === INTERNET) return;
  used.add(device);
  builder.routes.push(
    routeVia(route.prefix, { via: OUTSIDE[route.prefix.address.family], device }),
  );
}

function edgeOf(hop: EffectiveHop): string | null {
  switch (hop.type) {
    case 'Internet':
    case 'VirtualNetworkServiceEndpoint':
      return INTERNET;
    case 'VirtualNetworkGateway':
      return GATEWAY;
    case 'VNetPeering':
      return PEERING;
    case 'VirtualAppliance':
      return APPLIANCE;
    case 'None':
    case 'VnetLocal':
      return null;
  }
}

/** System routes to None: rules, as for addresses that nobody has, so that ARP is answered. */
function dropPrivate(builder: PlanBuilder, network: AzureNetwork, vnet: readonly Prefix[]): void {
  const none = effectiveRoutes(network, vnet, null).filter((r) => r.hop.type === 'None');
  for (const { prefix } of none) {
    const why = PRIVATE_RANGES.includes(prefix)
      ? 'system route to None: no network that the cluster knows has this range'
      : 'a peering without allowVirtualNetworkAccess';
    builder.append(
      prefix.address.family,
      'filter',
      'FORWARD',
      rule({ to: prefix, out: INTERNET }, 'drop', comment(why)),
    );
  }
}

function addSubnetTable(
  builder: PlanBuilder,
  input: RoutingInput,
  subnet: Subnet,
  table: number,
  used: Set<string>,
): void {
  const { network, wiring, nodes } = input;
  const own = nodes.filter((n) => n.addresses.some((a) => contains(subnet.prefix, a)));
  const families = new Set(own.flatMap((n) => n.addresses.map((a) => a.family)));
  for (const node of own) {
    for (const family of families) {
      const preference = SUBNET_PREFERENCE;
      builder.routingRules.push({ family, preference, table, iif: fabricDevice(node.name) });
    }
  }
  // Not even a route of the user's own leads Azure's DNS and metadata service astray.
  for (const address of PLATFORM) {
    const hop = { via: OUTSIDE[4], device: INTERNET };
    builder.routes.push(routeVia(hostPrefix(address), hop, table));
  }
  const routes = effectiveRoutes(network, wiring.vnet, subnet.routeTable, subnet.serviceEndpoints);
  for (const route of routes) {
    if (!families.has(route.prefix.address.family)) continue;
    builder.routes.push(linuxRoute(input, route, table, used));
  }
  // Firewalls stand in this network or in a peer of it: the main table knows their device.
  for (const { privateAddress } of network.firewalls) {
    const way = routes.find((r) => contains(r.prefix, privateAddress));
    if (way?.hop.type !== 'VNetPeering') continue;
    const destination = hostPrefix(privateAddress);
    const { family } = privateAddress;
    const plain = { metric: metric(family), scope: 'global' } as const;
    builder.routes.push({ family, type: 'throw', destination, table, ...plain });
  }
}

function linuxRoute(
  input: RoutingInput,
  { prefix, hop }: EffectiveRoute,
  table: number,
  used: Set<string>,
): Route {
  const { family } = prefix.address;
  const bare = {
    family,
    destination: prefix,
    table,
    metric: metric(family),
    scope: 'global',
  } as const;
  if (hop.type === 'VnetLocal') return { ...bare, type: 'throw' };
  if (hop.type === 'None') return { ...bare, type: 'blackhole' };
  if (hop.type === 'VirtualAppliance') {
    const key = addressKey(hop.address);
    const near = input.forwarders.find((f) => addressKey(f.address) === key);
    if (near) return routeVia(prefix, { via: near.address, device: near.device }, table);
  }
  const device = edgeOf(hop) ?? INTERNET;
  used.add(device);
  return routeVia(prefix, { via: OUTSIDE[family], device }, table);
}
