/**
 * Where Azure's routes send a packet: effective routes of a subnet, and what becomes of packets.
 *
 * The first table is the routing example of azure-docs virtual-networks-udr-overview (`0239a4e2`):
 * two virtual networks, on-premises ranges, and a subnet whose traffic goes through an appliance.
 * @module
 */
import t from 'tap';
import type { AzureNetwork } from '../../src/cluster/azure/network.ts';
import { effectiveRoutes } from '../../src/fabric/effective-routes.ts';
import { formatAddress, formatPrefix, type Prefix } from '../../src/wire/address/address.ts';
import { AzureWalk, answerTo, clusterOf, node, pod, story, syn, wiring } from './azure-walk.ts';

const EXAMPLE = `virtualNetworks:
- {name: one, addressPrefixes: [10.0.0.0/16], subnets: [{name: s1, addressPrefix: 10.0.0.0/24, routeTable: t1}, {name: s2, addressPrefix: 10.0.1.0/24}]}
- {name: two, addressPrefixes: [10.1.0.0/16, 10.2.0.0/16]}
virtualNetworkPeerings: [{virtualNetwork: one, remoteVirtualNetwork: two}]
onPremisesRanges: [{addressPrefix: 10.10.0.0/16, gateway: vpn}]
serviceCidr: 10.200.0.0/16
dnsServiceIP: 10.200.0.10
routeTables:
- name: t1
  routes:
  - {name: Within-VNet1, addressPrefix: 10.0.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4}
  - {name: Within-Subnet1, addressPrefix: 10.0.0.0/24, nextHopType: VnetLocal}
  - {name: ToVNet2-1-Drop, addressPrefix: 10.1.0.0/16, nextHopType: None}
  - {name: ToVNet2-2-Drop, addressPrefix: 10.2.0.0/16, nextHopType: None}
  - {name: To-On-Prem, addressPrefix: 10.10.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4}
  - {name: Default-NVA, addressPrefix: 0.0.0.0/0, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4}
`;

const NODES = [node('na', '10.0.0.4'), node('nb', '10.0.1.4'), node('nc', '10.0.0.5')];
const PODS = [
  pod('a', 'na', '10.0.0.10'),
  pod('b', 'nb', '10.0.1.10'),
  pod('c', 'nc', '10.0.0.11'),
];

function networkOf(text: string): { network: AzureNetwork; vnet: readonly Prefix[] } {
  const { azure, vnet } = clusterOf(wiring(text)).wiring;
  if (azure === undefined) throw new Error('an Azure cluster');
  return { network: azure, vnet };
}

function lines(text: string, subnet: string): string[] {
  const { network, vnet } = networkOf(text);
  const table = network.subnets.find((s) => s.name === subnet)?.routeTable ?? null;
  return effectiveRoutes(network, vnet, table)
    .filter((r) => r.prefix.address.family === 4)
    .map(({ prefix, source, hop }) => {
      const via = hop.type === 'VirtualAppliance' ? ` ${formatAddress(hop.address)}` : '';
      return `${formatPrefix(prefix)} ${source} ${hop.type}${via}`;
    })
    .toSorted();
}

t.test('the effective routes of Azure’s own example', async (t) => {
  t.strictSame(lines(EXAMPLE, 's1'), [
    '0.0.0.0/0 User VirtualAppliance 10.0.100.4',
    '10.0.0.0/16 User VirtualAppliance 10.0.100.4',
    '10.0.0.0/24 User VnetLocal',
    '10.1.0.0/16 User None',
    '10.10.0.0/16 User VirtualAppliance 10.0.100.4',
    '10.2.0.0/16 User None',
  ]);
  t.strictSame(lines(EXAMPLE, 's2'), [
    '0.0.0.0/0 Default Internet',
    '10.0.0.0/16 Default VnetLocal',
    '10.0.0.0/8 Default None',
    '10.1.0.0/16 Default VNetPeering',
    '10.10.0.0/16 VirtualNetworkGateway VirtualNetworkGateway',
    '10.2.0.0/16 Default VNetPeering',
    '100.64.0.0/10 Default None',
    '172.16.0.0/12 Default None',
    '192.168.0.0/16 Default None',
  ]);
});

t.test('service endpoints: the subnet’s own address, past the default route', async (t) => {
  const own = '{name: s1, addressPrefix: 10.0.0.0/24, routeTable: t1';
  const text = EXAMPLE.replace(
    own,
    `${own}, serviceEndpoints: [{service: Microsoft.Storage, addressPrefixes: [20.60.0.0/16]}]`,
  );
  const walk = new AzureWalk([wiring(text), ...NODES, ...PODS]);
  t.equal(
    walk.syn('na', '10.0.0.4:4000', '20.60.1.1:443'),
    'exited internet 10.0.0.4:4000 > 20.60.1.1:443',
  );
  t.equal(
    walk.syn('na', '10.0.0.4:4001', '20.61.1.1:443'),
    'exited appliance 10.0.0.4:4001 > 20.61.1.1:443',
  );
  t.equal(
    walk.syn('nb', '10.0.1.4:4002', '20.60.1.1:443'),
    'exited internet 198.51.100.1:2048 > 20.60.1.1:443',
    'another subnet has none',
  );
});

t.test(
  'routes of gateways can be kept out, and never stand against the network itself',
  async (t) => {
    const kept = EXAMPLE.replace(
      '- name: t1',
      '- name: t1\n  disableBgpRoutePropagation: true',
    ).replace(/.*To-On-Prem.*\n/, '');
    t.notOk(lines(kept, 's1').some((line) => line.startsWith('10.10.')));
    const more = EXAMPLE.replace(
      '10.10.0.0/16, gateway: vpn',
      '10.1.7.0/24, gateway: expressRoute',
    );
    t.notOk(
      lines(more, 's2').some((line) => line.startsWith('10.1.7.')),
      'a peering’s system route is preferred to a more specific BGP route',
    );
  },
);

t.test('packets take the routes of the subnet that they leave', async (t) => {
  const walk = new AzureWalk([wiring(EXAMPLE), ...NODES, ...PODS]);
  const rows: readonly (readonly [string, string, string, string])[] = [
    ['na', '10.0.0.4:4000', '8.8.8.8:443', 'exited appliance 10.0.0.4:4000 > 8.8.8.8:443'],
    ['na', '10.0.0.4:4001', '10.10.1.1:443', 'exited appliance 10.0.0.4:4001 > 10.10.1.1:443'],
    ['na', '10.0.0.4:4002', '10.0.1.4:443', 'exited appliance 10.0.0.4:4002 > 10.0.1.4:443'],
    ['na', '10.0.0.4:4003', '10.0.0.5:443', 'delivered nc 10.0.0.4:4003 > 10.0.0.5:443'],
    ['na', '10.0.0.4:4004', '10.1.1.1:443', 'dropped fabric blackholeRoute'],
    ['na', '10.0.0.4:4005', '168.63.129.16:80', 'exited internet 10.0.0.4:4005 > 168.63.129.16:80'],
    ['nb', '10.0.1.4:4000', '8.8.8.8:443', 'exited internet 198.51.100.1:2048 > 8.8.8.8:443'],
    ['nb', '10.0.1.4:4001', '10.10.1.1:443', 'exited gateway 10.0.1.4:4001 > 10.10.1.1:443'],
    ['nb', '10.0.1.4:4002', '10.2.1.1:443', 'exited peering 10.0.1.4:4002 > 10.2.1.1:443'],
    ['nb', '10.0.1.4:4003', '10.0.0.4:443', 'delivered na 10.0.1.4:4003 > 10.0.0.4:443'],
    [
      'default/c',
      '10.0.0.11:4000',
      '10.0.0.10:80',
      'delivered default/a 10.0.0.11:4000 > 10.0.0.10:80',
    ],
    [
      'default/a',
      '10.0.0.10:4000',
      '10.0.1.10:80',
      'exited appliance 10.0.0.10:4000 > 10.0.1.10:80',
    ],
  ];
  for (const [from, own, to, want] of rows) t.equal(walk.syn(from, own, to), want);
});

t.test('a node of the cluster can be the next hop', async (t) => {
  const text = `virtualNetworks: [{name: one, addressPrefixes: [10.0.0.0/16], subnets: [{addressPrefix: 10.0.0.0/24, routeTable: r}, {addressPrefix: 10.0.1.0/24}]}]
serviceCidr: 10.200.0.0/16\ndnsServiceIP: 10.200.0.10
onPremisesRanges: [{addressPrefix: 192.168.0.0/16}]
routeTables: [{name: r, routes: [{addressPrefix: 192.168.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.1.4}]}]`;
  const walk = new AzureWalk([wiring(text), NODES[0] ?? '', NODES[1] ?? '', PODS[0] ?? '']);
  const journey = walk.journey('na', syn('10.0.0.4:4000', '192.168.1.1:443'));
  t.match(story(journey), 'exited gateway 10.0.1.4:', 'and masquerades as its agent does');
  t.strictSame(journey.hosts, ['na', 'fabric', 'nb', 'fabric']);
});

t.test('a peering without access reaches nobody', async (t) => {
  const shut = EXAMPLE.replace(
    'remoteVirtualNetwork: two}',
    'remoteVirtualNetwork: two, allowVirtualNetworkAccess: false}',
  );
  const walk = new AzureWalk([wiring(shut), ...NODES, ...PODS]);
  t.equal(
    walk.syn('nb', '10.0.1.4:4000', '10.2.1.1:443'),
    'dropped fabric ruleDenied: a peering without allowVirtualNetworkAccess',
  );
});

const HUB = `virtualNetworks:
- {name: one, addressPrefixes: [10.0.0.0/16], subnets: [{name: s1, addressPrefix: 10.0.0.0/24, routeTable: r}]}
- {name: hub, addressPrefixes: [10.50.0.0/16]}
virtualNetworkPeerings: [{remoteVirtualNetwork: hub}]
serviceCidr: 10.200.0.0/16
dnsServiceIP: 10.200.0.10
outboundType: userDefinedRouting
onPremisesRanges: [{addressPrefix: 10.60.0.0/16}]
routeTables: [{name: r, routes: [{addressPrefix: 0.0.0.0/0, nextHopType: VirtualAppliance, nextHopIpAddress: 10.50.0.4}, {addressPrefix: 10.60.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.50.0.4}]}]
azureFirewalls:
- name: fw
  privateIpAddress: 10.50.0.4
  publicIpAddresses: [20.5.5.5]
  natRuleCollections:
  - {name: in, priority: 100, action: Dnat, rules: [{name: web, protocols: [TCP], sourceAddresses: ["*"], destinationAddress: 20.5.5.5, destinationPort: "8443", translatedAddress: 10.0.0.10, translatedPort: "443"}]}
  networkRuleCollections:
  - {name: late, priority: 300, action: Allow, rules: [{name: all, protocols: [Any], sourceAddresses: [10.0.0.0/24], destinationAddresses: ["*"], destinationPorts: ["*"]}]}
  - {name: early, priority: 200, action: Deny, rules: [{name: dns, protocols: [UDP], sourceAddresses: ["*"], destinationAddresses: [8.8.8.8], destinationPorts: ["53"]}, {name: telnet, protocols: [TCP], sourceAddresses: ["*"], destinationAddresses: ["*"], destinationPorts: ["20-23"]}]}
`;

t.test(
  'Azure Firewall: the first rule by priority, sources kept towards private ranges',
  async (t) => {
    const walk = new AzureWalk([wiring(HUB), NODES[0] ?? '', PODS[0] ?? '']);
    const rows: readonly (readonly [string, string, string])[] = [
      ['10.0.0.4:4000', '8.8.8.8:443', 'exited internet 20.5.5.5:4000 > 8.8.8.8:443'],
      ['10.0.0.4:4001', '8.8.8.8:22', 'dropped firewall/fw ruleDenied: early/telnet (200)'],
      ['10.0.0.4:4002', '10.60.1.1:443', 'exited gateway 10.0.0.4:4002 > 10.60.1.1:443'],
    ];
    for (const [own, to, want] of rows) t.equal(walk.syn('na', own, to), want);
    const out = walk.journey('na', syn('10.0.0.4:4010', '8.8.8.8:443'));
    t.equal(walk.send('edge', answerTo(out)), 'delivered na 8.8.8.8:443 > 10.0.0.4:4010');
    const inbound = walk.journey('edge', syn('9.9.9.9:5000', '20.5.5.5:8443'));
    t.equal(story(inbound), 'delivered default/a 10.50.0.4:5000 > 10.0.0.10:443');
    t.equal(
      walk.send('default/a', answerTo(inbound)),
      'exited internet 20.5.5.5:8443 > 9.9.9.9:5000',
    );
    const nobody = 'dropped firewall/fw ruleDenied: no rule of the firewall allows it';
    t.equal(walk.syn('edge', '9.9.9.9:5001', '20.5.5.5:9999'), nobody);
  },
);

t.test('a gateway of a peer is used where both sides say so', async (t) => {
  const two = '{virtualNetwork: one, remoteVirtualNetwork: two';
  const learned = (ours: string, theirs: string) => {
    const text = EXAMPLE.replace('gateway: vpn', 'gateway: vpn, virtualNetwork: two').replace(
      `${two}}`,
      `${two}${ours}}${theirs}`,
    );
    return lines(text, 's2').some((line) => line.startsWith('10.10.'));
  };
  const back = (more: string) =>
    `, {virtualNetwork: two, remoteVirtualNetwork: one, allowGatewayTransit: ${more}}`;
  t.equal(learned('', ''), false, 'peerings are not transitive');
  t.equal(learned(', useRemoteGateways: true', ''), true);
  t.equal(learned(', useRemoteGateways: true', back('true')), true);
  t.equal(learned(', useRemoteGateways: true', back('false')), false);
});

t.test('what a firewall in a peer forwards comes in where the peering allows it', async (t) => {
  const open = HUB.replace(
    'remoteVirtualNetwork: hub}',
    'remoteVirtualNetwork: hub, allowForwardedTraffic: true}',
  );
  const from = (text: string) => {
    const walk = new AzureWalk([wiring(text), NODES[0] ?? '', PODS[0] ?? '']);
    return walk.received('fw-fw', syn('10.60.1.1:4000', '10.0.0.10:80'));
  };
  t.equal(from(open), 'delivered default/a 10.60.1.1:4000 > 10.0.0.10:80');
  const why = 'a peering without allowForwardedTraffic: it began outside of the peer';
  t.equal(from(HUB), `dropped fabric ruleDenied: ${why}`);
});

t.test(
  'answers of a public load balancer die in a firewall that never saw the opening',
  async (t) => {
    const service = `apiVersion: v1\nkind: Service\nmetadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 80, nodePort: 30080}]}
status: {loadBalancer: {ingress: [{ip: 20.7.7.7}]}}\n---\n`;
    const walk = new AzureWalk([
      wiring(HUB),
      NODES[0] ?? '',
      pod('a', 'na', '10.0.0.10', '{app: web}'),
      service,
    ]);
    const inbound = walk.journey('edge', syn('9.9.9.9:5000', '20.7.7.7:80'));
    t.match(story(inbound), 'delivered default/a');
    t.equal(
      walk.send('default/a', answerTo(inbound)),
      'dropped firewall/fw ctInvalid: no session: its opening did not pass here',
    );
  },
);

t.test(
  'application rules of a firewall decide by names, which an opening does not show',
  async (t) => {
    const rule = (names: string, more = '') =>
      `{name: web, protocols: ["Https:443"], sourceAddresses: [10.0.0.0/24], ${names}${more}}`;
    const with_ = (action: string, names: string, network = '') =>
      HUB.replace(/ {2}networkRuleCollections:[\s\S]*$/, '').concat(
        `  applicationRuleCollections:\n  - {name: app, priority: 100, action: ${action}, rules: [${rule(names)}]}\n${network}`,
      );
    const go = (text: string, to: string) =>
      new AzureWalk([wiring(text), NODES[0] ?? '', PODS[0] ?? '']).syn('na', '10.0.0.4:4000', to);
    const named = with_('Allow', 'targetFqdns: [mcr.microsoft.com]');
    t.match(go(named, '8.8.8.8:443'), /^unknown firewall\/fw nameDecides: app\/web \(100\)/);
    const nobody = 'dropped firewall/fw ruleDenied: no rule of the firewall allows it';
    t.equal(go(named, '8.8.8.8:80'), nobody, 'another port');
    t.match(go(with_('Allow', 'fqdnTags: [AzureKubernetesService]'), '8.8.8.8:443'), 'nameDecides');
    t.match(go(with_('Deny', 'targetFqdns: [x.example]'), '8.8.8.8:443'), 'nameDecides');
    t.equal(
      go(with_('Deny', 'targetFqdns: ["*"]'), '8.8.8.8:443'),
      'dropped firewall/fw ruleDenied: app/web (100)',
    );
    const all = with_('Allow', 'targetFqdns: ["*"]');
    t.equal(go(all, '8.8.8.8:443'), 'exited internet 20.5.5.5:4000 > 8.8.8.8:443');
    t.equal(
      go(all, '10.60.1.1:443'),
      'exited gateway 10.50.0.4:4000 > 10.60.1.1:443',
      'what is proxied never keeps its source',
    );
    const first = `  networkRuleCollections:
  - {name: net, priority: 200, action: Allow, rules: [{name: all, protocols: [TCP], sourceAddresses: ["*"], destinationAddresses: ["*"], destinationPorts: ["443"]}]}\n`;
    t.equal(
      go(with_('Deny', 'targetFqdns: ["*"]', first), '10.60.1.1:443'),
      'exited gateway 10.0.0.4:4000 > 10.60.1.1:443',
      'network rules go first, and keep sources towards private ranges',
    );
  },
);
