/**
 * The parts of the wiring's schema that are the network around the nodes: what Microsoft.Network
 * calls virtualNetworks, routeTables, networkSecurityGroups, natGateways, azureFirewalls, with the
 * fields that decide where a packet goes. What is not here is refused by its name.
 * @module
 */

export const NAME = { type: 'string', minLength: 1 };
export const CIDR = { type: 'string', minLength: 1, description: 'ADDRESS/LENGTH' };
export const CIDRS = { type: 'array', items: CIDR, minItems: 1 };
const ADDRESS = { type: 'string', minLength: 1, description: 'an IP address' };
const ADDRESSES = { type: 'array', items: ADDRESS, minItems: 1 };
const MINUTES = { type: 'integer', minimum: 4, maximum: 120 };

function closed(properties: Readonly<Record<string, unknown>>, ...required: readonly string[]) {
  return { type: 'object', additionalProperties: false, required, properties };
}

function listOf(item: unknown) {
  return { type: 'array', items: item };
}

export const LOAD_BALANCER_PROFILE = closed({
  outboundIPs: ADDRESSES,
  allocatedOutboundPorts: { type: 'integer', minimum: 0, maximum: 64_000, multipleOf: 8 },
  idleTimeoutInMinutes: MINUTES,
});

export const NAT_GATEWAY_PROFILE = closed({
  outboundIPs: ADDRESSES,
  idleTimeoutInMinutes: MINUTES,
});

export const NAT_GATEWAYS = listOf(
  closed(
    { name: NAME, publicIpAddresses: ADDRESSES, idleTimeoutInMinutes: MINUTES },
    'name',
    'publicIpAddresses',
  ),
);

/** Prefixes stand for the service's tag, whose addresses change by the week. */
const SERVICE_ENDPOINT = closed({ service: NAME, addressPrefixes: CIDRS }, 'addressPrefixes');

const SUBNET = closed(
  {
    name: NAME,
    addressPrefix: CIDR,
    routeTable: NAME,
    networkSecurityGroup: NAME,
    natGateway: NAME,
    serviceEndpoints: listOf(SERVICE_ENDPOINT),
  },
  'addressPrefix',
);

export const VIRTUAL_NETWORKS = listOf(
  closed({ name: NAME, addressPrefixes: CIDRS, subnets: listOf(SUBNET) }, 'addressPrefixes'),
);

export const PEERINGS = listOf(
  closed(
    {
      name: NAME,
      virtualNetwork: NAME,
      remoteVirtualNetwork: NAME,
      allowVirtualNetworkAccess: { type: 'boolean' },
      allowForwardedTraffic: { type: 'boolean' },
      allowGatewayTransit: { type: 'boolean' },
      useRemoteGateways: { type: 'boolean' },
    },
    'remoteVirtualNetwork',
  ),
);

const NEXT_HOPS = ['VirtualAppliance', 'VirtualNetworkGateway', 'VnetLocal', 'Internet', 'None'];

export const ROUTE_TABLES = listOf(
  closed(
    {
      name: NAME,
      disableBgpRoutePropagation: { type: 'boolean' },
      routes: listOf(
        closed(
          {
            name: NAME,
            addressPrefix: CIDR,
            nextHopType: { enum: NEXT_HOPS },
            nextHopIpAddress: ADDRESS,
          },
          'addressPrefix',
          'nextHopType',
        ),
      ),
    },
    'name',
  ),
);

const TEXTS = { type: 'array', items: NAME, minItems: 1 };

export const SECURITY_GROUPS = listOf(
  closed(
    {
      name: NAME,
      securityRules: listOf(
        closed(
          {
            name: NAME,
            priority: { type: 'integer', minimum: 100, maximum: 4096 },
            direction: { enum: ['Inbound', 'Outbound'] },
            access: { enum: ['Allow', 'Deny'] },
            protocol: { enum: ['Tcp', 'Udp', 'Icmp', 'Esp', 'Ah', '*'] },
            sourceAddressPrefix: NAME,
            sourceAddressPrefixes: TEXTS,
            sourceApplicationSecurityGroups: TEXTS,
            sourcePortRange: NAME,
            sourcePortRanges: TEXTS,
            destinationAddressPrefix: NAME,
            destinationAddressPrefixes: TEXTS,
            destinationApplicationSecurityGroups: TEXTS,
            destinationPortRange: NAME,
            destinationPortRanges: TEXTS,
          },
          'priority',
          'direction',
          'access',
          'protocol',
        ),
      ),
    },
    'name',
  ),
);

/** NICs that rules name together: nodes of pools, and other machines' addresses. */
export const APPLICATION_SECURITY_GROUPS = listOf(
  closed({ name: NAME, nodePools: TEXTS, ipAddresses: ADDRESSES }, 'name'),
);

const PRIORITY = { type: 'integer', minimum: 100, maximum: 65_000 };

function collections(actions: readonly string[], rule: unknown) {
  return listOf(
    closed(
      { name: NAME, priority: PRIORITY, action: { enum: actions }, rules: listOf(rule) },
      'priority',
      'action',
      'rules',
    ),
  );
}

const NETWORK_RULE = closed(
  {
    name: NAME,
    protocols: listOf({ enum: ['TCP', 'UDP', 'ICMP', 'Any'] }),
    sourceAddresses: TEXTS,
    destinationAddresses: TEXTS,
    destinationPorts: TEXTS,
  },
  'protocols',
  'sourceAddresses',
  'destinationAddresses',
  'destinationPorts',
);

const NAT_RULE = closed(
  {
    name: NAME,
    protocols: listOf({ enum: ['TCP', 'UDP'] }),
    sourceAddresses: TEXTS,
    destinationAddress: ADDRESS,
    destinationPort: NAME,
    translatedAddress: ADDRESS,
    translatedPort: NAME,
  },
  'protocols',
  'sourceAddresses',
  'destinationAddress',
  'destinationPort',
  'translatedAddress',
  'translatedPort',
);

const APPLICATION_RULE = closed(
  {
    name: NAME,
    protocols: listOf({ type: 'string', pattern: '^(Http|Https|Mssql):[0-9]{1,5}$' }),
    sourceAddresses: TEXTS,
    targetFqdns: TEXTS,
    fqdnTags: TEXTS,
  },
  'protocols',
  'sourceAddresses',
);

export const FIREWALLS = listOf(
  closed(
    {
      name: NAME,
      privateIpAddress: ADDRESS,
      publicIpAddresses: ADDRESSES,
      privateRanges: TEXTS,
      natRuleCollections: collections(['Dnat'], NAT_RULE),
      networkRuleCollections: collections(['Allow', 'Deny'], NETWORK_RULE),
      applicationRuleCollections: collections(['Allow', 'Deny'], APPLICATION_RULE),
    },
    'name',
    'privateIpAddress',
    'publicIpAddresses',
  ),
);

/** Ingress controllers in the cluster that their labels do not show. */
export const INGRESS_CONTROLLERS = listOf(
  closed(
    { ingressClass: NAME, service: { ...NAME, pattern: '^[^/]+/[^/]+$' } },
    'ingressClass',
    'service',
  ),
);

/** Gateways outside the cluster that serve Ingresses (Microsoft.Network applicationGateways). */
export const APPLICATION_GATEWAYS = listOf(
  closed(
    { name: NAME, ingressClass: NAME, subnetPrefix: CIDR, frontendIpAddresses: ADDRESSES },
    'name',
    'subnetPrefix',
    'frontendIpAddresses',
  ),
);

export const ON_PREMISES = listOf(
  closed(
    {
      addressPrefix: CIDR,
      gateway: { enum: ['vpn', 'expressRoute'] },
      virtualNetwork: { ...NAME, description: 'whose gateway; the cluster’s network by default' },
    },
    'addressPrefix',
  ),
);

export const API_SERVER = closed({
  enablePrivateCluster: { type: 'boolean' },
  authorizedIPRanges: { type: 'array', items: CIDR, maxItems: 200 },
});
