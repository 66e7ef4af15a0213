/**
 * What AKS itself must reach from its nodes, held against the wiring: a cluster whose nodes can not
 * reach it does not start, whatever a replay of its packets says.
 *
 * AKS documentation, "Outbound network and FQDN rules": HTTPS (API server, images, packages,
 * identity) and NTP; DNS goes to 168.63.129.16, which no rule keeps away. "API server authorized IP
 * ranges": the way out has to be among them, but for the load balancer's addresses, which are.
 * Said only where it is certain: what an appliance lets through is not looked into, and a rule that
 * lets a part of the internet through counts as a way.
 * @module
 */
import type {
  AzureNetwork,
  Firewall,
  NatGateway,
  SecurityGroup,
  SecurityRule,
  Subnet,
} from '../cluster/azure/network.ts';
import type { Wiring } from '../cluster/model.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import {
  type Address,
  contains,
  containsPrefix,
  equalAddress,
  formatAddress,
  formatPrefix,
} from '../wire/address/address.ts';
import { effectiveRoutes } from './effective-routes.ts';

interface Need {
  readonly protocol: 'Tcp' | 'Udp';
  readonly port: number;
  readonly what: string;
}

const NEEDS: readonly Need[] = [
  { protocol: 'Tcp', port: 443, what: 'the API server, images and packages (TCP 443)' },
  { protocol: 'Udp', port: 123, what: 'time (UDP 123)' },
];

/** What nodes of the cluster surely can not reach, one warning for each subnet and reason. */
export function egressWarnings(
  wiring: Wiring,
  nodes: readonly { readonly addresses: readonly Address[] }[],
): readonly Diagnostic[] {
  const network = wiring.azure;
  if (network === undefined) return [];
  return network.subnets
    .filter((s) => nodes.some((n) => n.addresses.some((a) => contains(s.prefix, a))))
    .flatMap((subnet) => [
      ...routeWarnings(wiring, network, subnet),
      ...firewallWarnings(wiring, network, subnet),
      ...serverWarnings(wiring, network, subnet),
      ...NEEDS.flatMap((need) => groupWarnings(network, subnet, need)),
    ]);
}

function warning(subnet: Subnet, message: string, at: object = {}): Diagnostic {
  const where = `nodes in subnet ${subnet.name} (${formatPrefix(subnet.prefix)})`;
  return {
    code: 'AKS_EGRESS',
    object: 'Wiring',
    ...at,
    message: `${where} can not reach ${message}`,
  };
}

function routeWarnings(wiring: Wiring, network: AzureNetwork, subnet: Subnet): Diagnostic[] {
  const routes = effectiveRoutes(network, wiring.vnet, subnet.routeTable);
  const way = routes.find((r) => r.prefix.length === 0 && r.prefix.address.family === 4);
  const all = 'what AKS needs outside (TCP 443, UDP 123)';
  if (way?.hop.type === 'None') {
    return [warning(subnet, `${all}: its default route leads to None`)];
  }
  const { type } = network.outbound;
  if (way?.hop.type !== 'Internet' || type !== 'userAssignedNATGateway') return [];
  return subnet.natGateway === null
    ? [warning(subnet, `${all}: outboundType ${type}, and it has no NAT gateway`)]
    : [];
}

/** The firewall of the wiring that a subnet's default route leads to. */
function firewallOf(wiring: Wiring, network: AzureNetwork, subnet: Subnet): Firewall | null {
  const { hop } = defaultWay(wiring, network, subnet) ?? {};
  if (hop?.type !== 'VirtualAppliance') return null;
  return network.firewalls.find((f) => equalAddress(f.privateAddress, hop.address)) ?? null;
}

function defaultWay(wiring: Wiring, network: AzureNetwork, subnet: Subnet) {
  const routes = effectiveRoutes(network, wiring.vnet, subnet.routeTable);
  return routes.find((r) => r.prefix.length === 0 && r.prefix.address.family === 4);
}

function firewallWarnings(wiring: Wiring, network: AzureNetwork, subnet: Subnet): Diagnostic[] {
  const firewall = firewallOf(wiring, network, subnet);
  if (firewall === null) return [];
  return NEEDS.flatMap((need) =>
    mayPass(firewall, need)
      ? []
      : [warning(subnet, `${need.what}: firewall ${firewall.name} has no rule that allows it`)],
  );
}

/** Whether any rule of the firewall lets a part of the need through. */
function mayPass(firewall: Firewall, need: Need): boolean {
  const protocol = need.protocol === 'Tcp' ? 'TCP' : 'UDP';
  const byNetwork = firewall.networkCollections.some(
    ({ action, rules }) =>
      action === 'Allow' &&
      rules.some(
        ({ protocols, ports }) =>
          (protocols.includes(protocol) || protocols.includes('Any')) &&
          (ports.length === 0 || ports.some((p) => p.low <= need.port && need.port <= p.high)),
      ),
  );
  const byName = firewall.applicationCollections.some(
    ({ action, rules }) => action === 'Allow' && rules.some((r) => r.ports.includes(need.port)),
  );
  return byNetwork || (need.protocol === 'Tcp' && byName);
}

/** The API server answers authorized ranges only: the subnet's way out has to be among them. */
function serverWarnings(wiring: Wiring, network: AzureNetwork, subnet: Subnet): Diagnostic[] {
  const { isPrivate, authorizedRanges } = network.apiServer;
  if (isPrivate || authorizedRanges.length === 0) return [];
  const firewall = firewallOf(wiring, network, subnet);
  const way = defaultWay(wiring, network, subnet);
  const gateway = way?.hop.type === 'Internet' ? gatewayOf(network, subnet) : null;
  const addresses = firewall?.publicAddresses ?? gateway?.publicAddresses ?? [];
  const outside = addresses.filter((a) => !authorizedRanges.some((range) => contains(range, a)));
  if (outside.length === 0) return [];
  const by = firewall ? `firewall ${firewall.name}` : `NAT gateway ${gateway?.name}`;
  const message =
    `the API server: they leave as ${outside.map(formatAddress).join(', ')} (${by}), which is not ` +
    'among its authorized IP ranges';
  return [warning(subnet, message)];
}

function gatewayOf(network: AzureNetwork, subnet: Subnet): NatGateway | null {
  return subnet.natGateway ?? network.outbound.natGateway;
}

function groupWarnings(network: AzureNetwork, subnet: Subnet, need: Need): Diagnostic[] {
  const groups = [network.nodeSecurityGroup, subnet.securityGroup];
  return groups.flatMap((group) => {
    const rule = group ? surelyDenied(group, subnet, need) : null;
    if (rule === null || group === null) return [];
    const message = `${need.what}: ${group.name}/${rule.name} (${rule.priority}) denies it`;
    return [warning(subnet, message, rule.place)];
  });
}

/** The rule that denies all of the internet to the need, before any that lets a part through. */
function surelyDenied(group: SecurityGroup, subnet: Subnet, need: Need): SecurityRule | null {
  for (const rule of group.rules) {
    if (rule.direction !== 'Outbound' || !isAbout(rule, need)) continue;
    const whole = isFrom(rule, subnet) && isInternet(rule) && rule.source.ports.length === 0;
    if (rule.access === 'Allow' && reachesOutside(rule)) return null;
    if (rule.access === 'Deny' && whole) return rule;
  }
  return null;
}

function isAbout({ protocol, destination }: SecurityRule, need: Need): boolean {
  const { ports } = destination;
  const hasPort = ports.some((p) => p.low <= need.port && need.port <= p.high);
  return (protocol === '*' || protocol === need.protocol) && (ports.length === 0 || hasPort);
}

function isFrom({ source }: SecurityRule, subnet: Subnet): boolean {
  const { any, tags, prefixes } = source;
  const inPrefix = prefixes.some((p) => containsPrefix(p, subnet.prefix));
  return any || tags.includes('VirtualNetwork') || inPrefix;
}

function isInternet({ destination }: SecurityRule): boolean {
  return destination.any || destination.tags.includes('Internet');
}

/** Whether anything outside of the virtual network may be among the rule's destinations. */
function reachesOutside(rule: SecurityRule): boolean {
  return isInternet(rule) || rule.destination.prefixes.length > 0;
}
