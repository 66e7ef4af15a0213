/**
 * What AKS needs from its nodes: a wiring that surely keeps it away is warned of, and only that.
 * @module
 */
import t from 'tap';
import { AzureWalk, node, wiring } from './azure-walk.ts';

function warnings(subnet: string, more: string): string[] {
  const text = `virtualNetworks: [{addressPrefixes: [10.1.0.0/16], subnets: [{name: s, addressPrefix: 10.1.0.0/24${subnet}}]}]\n${more}`;
  const { network } = new AzureWalk([wiring(text), node('na', '10.1.0.4')]);
  return (network.warnings ?? [])
    .filter((w) => w.code === 'AKS_EGRESS')
    .map((w) => w.message.replace('nodes in subnet s (10.1.0.0/24) can not reach ', ''));
}

function group(...rules: string[]): [string, string] {
  return [
    ', networkSecurityGroup: g',
    `networkSecurityGroups: [{name: g, securityRules: [${rules.join(', ')}]}]`,
  ];
}

function rule(priority: number, what: string): string {
  const [access, protocol, to, port] = what.split(' ');
  return `{name: r${priority}, priority: ${priority}, direction: Outbound, access: ${access}, protocol: "${protocol}", destinationAddressPrefix: "${to}", destinationPortRange: "${port}"}`;
}

const HTTPS = 'the API server, images and packages (TCP 443): g/r200 (200) denies it';
const NTP = 'time (UDP 123): g/r200 (200) denies it';

t.test('groups that deny what AKS needs', async (t) => {
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['no rules', [], []],
    ['everything', ['200 Deny * * *'], [HTTPS, NTP]],
    ['the internet', ['200 Deny * Internet *'], [HTTPS, NTP]],
    ['HTTPS', ['200 Deny Tcp Internet 443'], [HTTPS]],
    ['another port', ['200 Deny Tcp Internet 80'], []],
    ['all but HTTPS', ['200 Deny * * *', '100 Allow Tcp Internet 443'], [NTP]],
    ['all but some of it', ['200 Deny * * *', '100 Allow Tcp 20.0.0.0/8 443'], [NTP]],
    ['all but the network', ['200 Deny * * *', '100 Allow * VirtualNetwork *'], [HTTPS, NTP]],
    ['a part of it', ['200 Deny Tcp 20.0.0.0/8 443'], []],
  ];
  for (const [name, rules, want] of rows) {
    const made = rules.map((r) => rule(Number(r.slice(0, 3)), r.slice(4)));
    t.strictSame(warnings(...group(...made)), want, name);
  }
});

t.test('routes that lead nowhere', async (t) => {
  const table = (hop: string) =>
    `routeTables: [{name: r, routes: [{addressPrefix: 0.0.0.0/0, nextHopType: ${hop}}]}]`;
  const outside = 'what AKS needs outside (TCP 443, UDP 123)';
  t.strictSame(warnings(', routeTable: r', table('None')), [
    `${outside}: its default route leads to None`,
  ]);
  t.strictSame(warnings(', routeTable: r', table('Internet')), []);
  t.strictSame(
    warnings(', routeTable: r', table('VirtualAppliance, nextHopIpAddress: 10.1.9.9')),
    [],
    'nobody knows what an appliance lets through',
  );
  t.strictSame(warnings('', 'outboundType: userAssignedNATGateway'), [
    `${outside}: outboundType userAssignedNATGateway, and it has no NAT gateway`,
  ]);
});

/** Default route to a firewall of the wiring with these collections. */
function throughFirewall(collections: string, more = ''): [string, string] {
  return [
    ', routeTable: r',
    `outboundType: userDefinedRouting
routeTables: [{name: r, routes: [{addressPrefix: 0.0.0.0/0, nextHopType: VirtualAppliance, nextHopIpAddress: 10.1.9.4}]}]
azureFirewalls: [{name: fw, privateIpAddress: 10.1.9.4, publicIpAddresses: [20.5.5.5]${collections}}]
${more}`,
  ];
}

const network = (action: string, protocol: string, port: string) =>
  `, networkRuleCollections: [{priority: 100, action: ${action}, rules: [{protocols: [${protocol}], sourceAddresses: ["*"], destinationAddresses: ["*"], destinationPorts: ["${port}"]}]}]`;

t.test('a firewall of the wiring that has no rule for what AKS needs', async (t) => {
  const https =
    'the API server, images and packages (TCP 443): firewall fw has no rule that allows it';
  const ntp = 'time (UDP 123): firewall fw has no rule that allows it';
  const app =
    ', applicationRuleCollections: [{priority: 100, action: Allow, rules: [{protocols: ["Https:443"], sourceAddresses: ["*"], fqdnTags: [AzureKubernetesService]}]}]';
  t.strictSame(warnings(...throughFirewall('')), [https, ntp]);
  t.strictSame(warnings(...throughFirewall(app)), [ntp]);
  t.strictSame(warnings(...throughFirewall(network('Allow', 'Any', '*'))), []);
  t.strictSame(warnings(...throughFirewall(network('Allow', 'UDP', '120-125'))), [https]);
  t.strictSame(warnings(...throughFirewall(network('Deny', 'Any', '*'))), [https, ntp]);
});

t.test('an API server that answers authorized ranges only', async (t) => {
  const only = (ranges: string) => `apiServerAccessProfile: {authorizedIPRanges: [${ranges}]}`;
  const open = network('Allow', 'Any', '*');
  const away = 'the API server: they leave as 20.5.5.5 (firewall fw), which is not among its';
  t.match(warnings(...throughFirewall(open, only('20.9.0.0/16'))), [away]);
  t.strictSame(warnings(...throughFirewall(open, only('20.5.5.5/32'))), []);
  t.strictSame(
    warnings(...throughFirewall(open, 'apiServerAccessProfile: {enablePrivateCluster: true}')),
    [],
  );
  const gateway = `outboundType: managedNATGateway\nnatGatewayProfile: {outboundIPs: [20.6.6.6]}\n`;
  t.match(warnings('', gateway + only('20.9.0.0/16')), [
    /^the API server: they leave as 20\.6\.6\.6 \(NAT gateway /,
  ]);
  t.strictSame(warnings('', gateway + only('20.6.6.6')), []);
  t.strictSame(
    warnings('', `loadBalancerProfile: {outboundIPs: [20.7.7.7]}\n${only('20.9.0.0/16')}`),
    [],
    'the load balancer’s addresses are among them by default',
  );
});
