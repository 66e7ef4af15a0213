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
