/**
 * The network around the nodes, read from a wiring document that matches its schema.
 *
 * The first virtual network is the cluster's; others are reached by peerings. Defaults are Azure's
 * and AKS's: outboundType loadBalancer of a standard load balancer with one public address, idle
 * timeouts of 30 minutes (AKS's load balancer) and 4 (NAT gateway).
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import {
  type Address,
  formatPrefix,
  overlaps,
  type Prefix,
  parseAddress,
} from '../../wire/address/address.ts';
import type { MapTree, Tree } from '../manifest/tree.ts';
import { boolean, get, items, number, text } from '../manifest/tree.ts';
import { decodeFirewall } from './decode-firewall.ts';
import { PartReader } from './decode-parts.ts';
import { decodeApplicationGroup, decodeSecurityGroup } from './decode-security.ts';
import type {
  ApiServerAccess,
  AzureNetwork,
  NatGateway,
  NextHop,
  OnPremises,
  Outbound,
  Peering,
  RouteTable,
  SecurityGroup,
  Subnet,
  UserRoute,
} from './network.ts';

/**
 * What stands for the public address of an AKS-managed load balancer or NAT gateway that the wiring
 * does not name (RFC 5737 TEST-NET-2, RFC 3849; AKS keeps TEST-NET-1 for itself).
 */
const UNNAMED_PUBLIC = ['198.51.100.1', '2001:db8::1'].flatMap((a) => parseAddress(a) ?? []);

const LOAD_BALANCER_IDLE = 30;
const NAT_GATEWAY_IDLE = 4;

/** Read the network; mistakes are added to `problems`. */
export function decodeAzureNetwork(wiring: MapTree, problems: Diagnostic[]): AzureNetwork {
  const r = new PartReader(problems);
  const read = <T extends { readonly name: string }>(
    field: string,
    decode: (at: Tree, field: string) => T | null,
  ): ReadonlyMap<string, T> => {
    const parts = items(get(wiring, field)).flatMap((at, i) => {
      const part = decode(at, `${field}[${i}]`);
      return part ? [{ at, part }] : [];
    });
    return r.byName(parts, field);
  };
  const routeTables = read('routeTables', (at, f) => decodeRouteTable(r, at, f));
  const pools = items(get(wiring, 'nodePools')).flatMap((pool) => text(get(pool, 'name')) ?? []);
  const applications = read('applicationSecurityGroups', (at, f) =>
    decodeApplicationGroup(r, at, f, pools),
  );
  const groups = read('networkSecurityGroups', (at, f) =>
    decodeSecurityGroup(r, at, f, applications),
  );
  const natGateways = read('natGateways', (at, f) => decodeNatGateway(r, at, f));
  const firewalls = read('azureFirewalls', (at, f) => decodeFirewall(r, at, f));
  const named = { routeTables, groups, natGateways };
  const [own] = items(get(wiring, 'virtualNetworks'));
  const peerings = decodePeerings(r, wiring);
  return {
    outbound: decodeOutbound(r, wiring),
    loadBalancerSku: text(get(wiring, 'loadBalancerSku')) === 'basic' ? 'basic' : 'standard',
    subnets: items(get(own, 'subnets')).flatMap(
      (at, i) => decodeSubnet(r, at, `virtualNetworks[0].subnets[${i}]`, named) ?? [],
    ),
    nodeSecurityGroup: r.named(get(wiring, 'nodeSecurityGroup'), 'nodeSecurityGroup', groups),
    peerings,
    onPremises: items(get(wiring, 'onPremisesRanges')).flatMap((at, i) => {
      const ranges = decodeOnPremises(r, at, `onPremisesRanges[${i}]`);
      return isLearned(wiring, at, peerings) ? ranges : [];
    }),
    isConnectivityKnown: ['onPremisesRanges', 'virtualNetworkPeerings'].some(
      (field) => get(wiring, field) !== undefined,
    ),
    firewalls: [...firewalls.values()],
    apiServer: decodeApiServer(r, get(wiring, 'apiServerAccessProfile')),
  };
}

function decodeApiServer(r: PartReader, at: Tree | undefined): ApiServerAccess {
  const field = 'apiServerAccessProfile.authorizedIPRanges';
  return {
    isPrivate: boolean(get(at, 'enablePrivateCluster')) ?? false,
    authorizedRanges: items(get(at, 'authorizedIPRanges')).flatMap(
      (one, i) => r.prefix(one, `${field}[${i}]`, true) ?? [],
    ),
  };
}

function decodeRouteTable(r: PartReader, at: Tree, field: string): RouteTable {
  return {
    name: text(get(at, 'name')) ?? '',
    ignoresGateways: boolean(get(at, 'disableBgpRoutePropagation')) ?? false,
    routes: items(get(at, 'routes')).flatMap(
      (route, i) => decodeRoute(r, route, `${field}.routes[${i}]`) ?? [],
    ),
  };
}

function decodeRoute(r: PartReader, at: Tree, field: string): UserRoute | null {
  const written = get(at, 'addressPrefix');
  const prefix = written ? r.prefix(written, `${field}.addressPrefix`) : null;
  const type = text(get(at, 'nextHopType')) as NextHop['type'];
  const given = get(at, 'nextHopIpAddress');
  const address = r.address(given, `${field}.nextHopIpAddress`);
  if (type === 'VirtualAppliance' && !given) {
    const message = 'a next hop VirtualAppliance needs nextHopIpAddress';
    r.refuse(at, 'AZURE_ROUTE', field, message);
  }
  if (type !== 'VirtualAppliance' && given) {
    r.refuse(given, 'AZURE_ROUTE', field, `a next hop ${type} has no address`);
  }
  if (!prefix) return null;
  const name = text(get(at, 'name')) ?? formatPrefix(prefix);
  if (type !== 'VirtualAppliance') return { name, prefix, nextHop: { type } };
  return address ? { name, prefix, nextHop: { type, address } } : null;
}

function decodeNatGateway(r: PartReader, at: Tree, field: string): NatGateway {
  const publicAddresses = r.addresses(get(at, 'publicIpAddresses'), `${field}.publicIpAddresses`);
  if (publicAddresses.length > 16) {
    const message = 'a NAT gateway has at most 16 public addresses';
    r.refuse(at, 'AZURE_NAT_GATEWAY', `${field}.publicIpAddresses`, message);
  }
  return {
    name: text(get(at, 'name')) ?? '',
    publicAddresses,
    idleTimeoutMinutes: number(get(at, 'idleTimeoutInMinutes')) ?? NAT_GATEWAY_IDLE,
  };
}

interface Named {
  readonly routeTables: ReadonlyMap<string, RouteTable>;
  readonly groups: ReadonlyMap<string, SecurityGroup>;
  readonly natGateways: ReadonlyMap<string, NatGateway>;
}

function decodeSubnet(r: PartReader, at: Tree, field: string, among: Named): Subnet | null {
  const written = get(at, 'addressPrefix');
  const prefix = written ? r.prefix(written, `${field}.addressPrefix`) : null;
  if (!prefix) return null;
  return {
    name: text(get(at, 'name')) ?? formatPrefix(prefix),
    prefix,
    routeTable: r.named(get(at, 'routeTable'), `${field}.routeTable`, among.routeTables),
    securityGroup: r.named(
      get(at, 'networkSecurityGroup'),
      `${field}.networkSecurityGroup`,
      among.groups,
    ),
    natGateway: r.named(get(at, 'natGateway'), `${field}.natGateway`, among.natGateways),
    serviceEndpoints: items(get(at, 'serviceEndpoints')).flatMap((one, i) =>
      items(get(one, 'addressPrefixes')).flatMap(
        (p) => r.prefix(p, `${field}.serviceEndpoints[${i}].addressPrefixes`) ?? [],
      ),
    ),
  };
}

function decodeOutbound(r: PartReader, wiring: MapTree): Outbound {
  const type = (text(get(wiring, 'outboundType')) ?? 'loadBalancer') as Outbound['type'];
  const balancer = get(wiring, 'loadBalancerProfile');
  const gateway = get(wiring, 'natGatewayProfile');
  const addresses = (at: Tree | undefined, field: string): readonly Address[] => {
    const given = r.addresses(get(at, 'outboundIPs'), `${field}.outboundIPs`);
    return given.length > 0 ? given : UNNAMED_PUBLIC;
  };
  const natGateway: NatGateway = {
    name: 'managed NAT gateway',
    publicAddresses: addresses(gateway, 'natGatewayProfile'),
    idleTimeoutMinutes: number(get(gateway, 'idleTimeoutInMinutes')) ?? NAT_GATEWAY_IDLE,
  };
  return {
    type,
    publicAddresses:
      type === 'loadBalancer' ? addresses(balancer, 'loadBalancerProfile') : ([] as const),
    allocatedPorts: number(get(balancer, 'allocatedOutboundPorts')) ?? 0,
    idleTimeoutMinutes: number(get(balancer, 'idleTimeoutInMinutes')) ?? LOAD_BALANCER_IDLE,
    natGateway: type === 'managedNATGateway' ? natGateway : null,
  };
}

function decodePeerings(r: PartReader, wiring: MapTree): readonly Peering[] {
  const [first, ...others] = items(get(wiring, 'virtualNetworks'));
  const ranges = (at: Tree | undefined): readonly Prefix[] =>
    items(get(at, 'addressPrefixes')).flatMap(
      (p) => r.prefix(p, 'virtualNetworks.addressPrefixes') ?? [],
    );
  const ownRanges = ranges(first);
  const networks = new Map(others.map((at) => [text(get(at, 'name')) ?? '', at]));
  return items(get(wiring, 'virtualNetworkPeerings')).flatMap((at, i) => {
    const field = `virtualNetworkPeerings[${i}]`;
    const from = text(get(at, 'virtualNetwork'));
    // A peering of two other networks lets nothing through to us: peerings are not transitive.
    if (from !== undefined && from !== (text(get(first, 'name')) ?? '')) return [];
    const remote = get(at, 'remoteVirtualNetwork');
    const network = r.named(remote, `${field}.remoteVirtualNetwork`, networks);
    if (!network || !remote) return [];
    const prefixes = ranges(network);
    const clash = prefixes.find((p) => ownRanges.some((o) => overlaps(o, p)));
    if (clash) {
      const message = `${formatPrefix(clash)} overlaps the cluster's virtual network`;
      r.refuse(remote, 'AZURE_RANGE_OVERLAP', field, message);
    }
    return [
      {
        name: text(remote) ?? '',
        prefixes,
        access: boolean(get(at, 'allowVirtualNetworkAccess')) ?? true,
        forwarded: boolean(get(at, 'allowForwardedTraffic')) ?? false,
        remoteGateway: boolean(get(at, 'useRemoteGateways')) ?? false,
      },
    ];
  });
}

/**
 * Whether a gateway's range is known in the cluster's network: its own gateway's is; a peer's where
 * this side uses remote gateways and the other side, if it is described, lets its gateway be used.
 */
function isLearned(wiring: MapTree, range: Tree, peerings: readonly Peering[]): boolean {
  const [own] = items(get(wiring, 'virtualNetworks'));
  const home = text(get(own, 'name')) ?? '';
  const at = text(get(range, 'virtualNetwork')) ?? home;
  if (at === home) return true;
  const back = items(get(wiring, 'virtualNetworkPeerings')).find(
    (p) => text(get(p, 'virtualNetwork')) === at && text(get(p, 'remoteVirtualNetwork')) === home,
  );
  const shares = back === undefined || (boolean(get(back, 'allowGatewayTransit')) ?? false);
  return shares && peerings.some((p) => p.name === at && p.remoteGateway);
}

function decodeOnPremises(r: PartReader, at: Tree, field: string): readonly OnPremises[] {
  const written = get(at, 'addressPrefix');
  const prefix = written ? r.prefix(written, `${field}.addressPrefix`) : null;
  if (!prefix) return [];
  return [{ prefix, gateway: text(get(at, 'gateway')) === 'vpn' ? 'vpn' : 'expressRoute' }];
}
