/**
 * Network security groups: order, defaults, both levels, statefulness.
 *
 * Expectations by hand from azure-docs network-security-groups-overview (`0088bfa7`) and
 * network-security-group-how-it-works (`0b167e76`).
 * @module
 */
import t from 'tap';
import { AzureWalk, answerTo, node, ping, pod, story, syn, wiring } from './azure-walk.ts';

const NODES = [node('na', '10.1.0.4'), node('nb', '10.1.8.4')];
const PODS = [
  pod('a', 'na', '10.1.0.10'),
  pod('a2', 'na', '10.1.0.11'),
  pod('b', 'nb', '10.1.8.10'),
];

interface Groups {
  /** Rules of the group on the subnet of na. */
  readonly a?: string;
  /** Rules of the group on the subnet of nb. */
  readonly b?: string;
  /** Rules of the group on all NICs. */
  readonly nic?: string;
  readonly more?: string;
}

function azure({ a, b, nic, more = '' }: Groups): AzureWalk {
  const attach = (rules: string | undefined, name: string) =>
    rules === undefined ? '' : `, networkSecurityGroup: ${name}`;
  const groups = Object.entries({ a, b, nic }).flatMap(([name, rules]) =>
    rules === undefined ? [] : [`- {name: ${name}, securityRules: [${rules}]}`],
  );
  const text = `virtualNetworks:
- name: v
  addressPrefixes: [10.1.0.0/16]
  subnets:
  - {name: sa, addressPrefix: 10.1.0.0/24${attach(a, 'a')}}
  - {name: sb, addressPrefix: 10.1.8.0/24${attach(b, 'b')}}
${nic === undefined ? '' : 'nodeSecurityGroup: nic\n'}${groups.length === 0 ? '' : `networkSecurityGroups:\n${groups.join('\n')}\n`}${more}`;
  return new AzureWalk([wiring(text), ...NODES, ...PODS]);
}

function rule(priority: number, what: string): string {
  const [direction, access, protocol, from, to, port] = what.split(' ');
  return `{name: r${priority}, priority: ${priority}, direction: ${direction}, access: ${access}, protocol: "${protocol}", sourceAddressPrefix: "${from}", destinationAddressPrefix: "${to}", destinationPortRange: "${port}"}`;
}

const TO_B = 'delivered default/b 10.1.0.10:4000 > 10.1.8.10:80';

t.test(
  'Azure’s defaults: the virtual network among itself, out to the internet, nobody in',
  async (t) => {
    const walk = azure({ a: '', b: '' });
    t.equal(walk.syn('default/a', '10.1.0.10:4000', '10.1.8.10:80'), TO_B);
    t.match(walk.syn('na', '10.1.0.4:4000', '8.8.8.8:443'), 'exited internet');
    t.equal(
      walk.syn('edge', '9.9.9.9:4000', '10.1.8.10:80'),
      'dropped fabric ruleDenied: b/DenyAllInBound (65500)',
    );
    t.equal(
      walk.syn('edge', '168.63.129.16:4000', '10.1.8.4:80'),
      'delivered nb 168.63.129.16:4000 > 10.1.8.4:80',
      'health probes',
    );
  },
);

t.test('the first rule by priority decides', async (t) => {
  const deny = rule(200, 'Inbound Deny Tcp VirtualNetwork * 80');
  const allow = rule(100, 'Inbound Allow Tcp 10.1.0.10/32 * 80');
  const rows: readonly (readonly [string, string, string])[] = [
    ['deny alone', deny, 'dropped fabric ruleDenied: b/r200 (200)'],
    ['an earlier allow', `${deny}, ${allow}`, TO_B],
    [
      'a later allow',
      `${deny}, ${rule(300, 'Inbound Allow Tcp 10.1.0.10/32 * 80')}`,
      'dropped fabric ruleDenied: b/r200 (200)',
    ],
    ['another port', rule(100, 'Inbound Deny Tcp * * 81'), TO_B],
    [
      'a range of ports',
      rule(100, 'Inbound Deny Tcp * * 79-81'),
      'dropped fabric ruleDenied: b/r100 (100)',
    ],
    ['another protocol', rule(100, 'Inbound Deny Udp * * 80'), TO_B],
    [
      'every protocol',
      rule(100, 'Inbound Deny * * * 80'),
      'dropped fabric ruleDenied: b/r100 (100)',
    ],
    ['the other direction', rule(100, 'Outbound Deny Tcp * * 80'), TO_B],
    ['an address of somebody else', rule(100, 'Inbound Deny Tcp 10.1.0.11 * 80'), TO_B],
    ['Internet is not the network', rule(100, 'Inbound Deny Tcp Internet * 80'), TO_B],
  ];
  for (const [name, b, want] of rows) {
    t.equal(azure({ b }).syn('default/a', '10.1.0.10:4000', '10.1.8.10:80'), want, name);
  }
});

t.test('both levels must allow: outbound the NIC’s first, inbound the subnet’s', async (t) => {
  const out = rule(100, 'Outbound Deny Tcp * * 80');
  const into = rule(100, 'Inbound Deny Tcp * * 80');
  const rows: readonly (readonly [string, Groups, string])[] = [
    ['out, subnet alone', { a: out }, 'a/r100 (100)'],
    ['out, NIC alone', { nic: out }, 'nic/r100 (100)'],
    ['out, both', { a: out, nic: out }, 'nic/r100 (100)'],
    ['in, both', { b: into, nic: into }, 'b/r100 (100)'],
    ['in, NIC alone', { nic: into }, 'nic/r100 (100)'],
  ];
  for (const [name, groups, want] of rows) {
    t.equal(
      azure(groups).syn('default/a', '10.1.0.10:4000', '10.1.8.10:80'),
      `dropped fabric ruleDenied: ${want}`,
      name,
    );
  }
});

t.test('groups are stateful, and see nothing of what stays on a VM', async (t) => {
  const shut = `${rule(100, 'Inbound Deny * * * *')}`;
  const walk = azure({ a: shut });
  const opening = walk.journey('default/a', syn('10.1.0.10:4000', '10.1.8.10:80'));
  t.equal(story(opening), TO_B);
  t.equal(
    walk.send('default/b', answerTo(opening)),
    'delivered default/a 10.1.8.10:80 > 10.1.0.10:4000',
    'the answer needs no rule',
  );
  t.equal(
    walk.syn('default/b', '10.1.8.10:4000', '10.1.0.10:80'),
    'dropped fabric ruleDenied: a/r100 (100)',
  );
  t.equal(
    walk.syn('default/a', '10.1.0.10:4001', '10.1.0.11:80'),
    'delivered default/a2 10.1.0.10:4001 > 10.1.0.11:80',
    'one VM',
  );
});

t.test('Azure’s own addresses are not subject to groups', async (t) => {
  const walk = azure({ a: rule(100, 'Outbound Deny * * * *') });
  t.match(walk.syn('na', '10.1.0.4:4000', '169.254.169.254:80'), 'exited internet');
  t.equal(
    walk.syn('na', '10.1.0.4:4001', '8.8.8.8:443'),
    'dropped fabric ruleDenied: a/r100 (100)',
  );
});

t.test('peers and on-premises ranges belong to VirtualNetwork, a route’s prefix too', async (t) => {
  const more = `onPremisesRanges: [{addressPrefix: 172.20.0.0/16}]\n`;
  const walk = azure({ b: '', more });
  t.equal(
    walk.syn('edge', '172.20.1.1:4000', '10.1.8.10:80'),
    'delivered default/b 172.20.1.1:4000 > 10.1.8.10:80',
  );
  t.match(azure({ b: '' }).syn('edge', '172.20.1.1:4000', '10.1.8.10:80'), 'DenyAllInBound');
});

t.test('ICMP has a word of its own', async (t) => {
  const echo = (b: string) => azure({ b }).send('default/a', ping('10.1.0.10', '10.1.8.10'));
  t.match(echo(rule(100, 'Inbound Deny Icmp * * *')), 'dropped fabric ruleDenied: b/r100 (100)');
  t.match(echo(rule(100, 'Inbound Deny Tcp * * *')), 'delivered default/b');
});

t.test('many ports are several rules', async (t) => {
  const ports = Array.from({ length: 20 }, (_, i) => `"${100 + 10 * i}-${101 + 10 * i}"`).join(
    ', ',
  );
  const b = `{name: many, priority: 100, direction: Inbound, access: Deny, protocol: Tcp, destinationPortRanges: [${ports}]}`;
  const walk = azure({ b });
  for (const port of [100, 101, 171, 290]) {
    t.match(walk.syn('default/a', `10.1.0.10:${4000 + port}`, `10.1.8.10:${port}`), 'b/many');
  }
  t.match(walk.syn('default/a', '10.1.0.10:4000', '10.1.8.10:102'), 'delivered');
});

t.test('application security groups are the NICs of pools, and addresses', async (t) => {
  const nodes = [node('aks-web-0-vmss000000', '10.1.0.4'), node('nb', '10.1.8.4')];
  const side = (which: string, group: string) => `${which}ApplicationSecurityGroups: [${group}]`;
  const make = (rules: string) =>
    new AzureWalk([
      wiring(`virtualNetworks:
- addressPrefixes: [10.1.0.0/16]
  subnets: [{name: s, addressPrefix: 10.1.0.0/20, networkSecurityGroup: g}]
nodePools: [{name: web}, {name: db}]
applicationSecurityGroups:
- {name: web, nodePools: [web]}
- {name: others, ipAddresses: [10.1.8.4]}
- {name: nobody, nodePools: [db]}
networkSecurityGroups: [{name: g, securityRules: [${rules}]}]`),
      ...nodes,
    ]);
  const rule = (what: string) =>
    `{name: r, priority: 100, direction: Inbound, access: Deny, protocol: Tcp, ${what}}`;
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['from its members', side('source', 'web'), true],
    ['from others', side('source', 'others'), false],
    ['from nobody', side('source', 'nobody'), false],
    ['from several', side('source', 'nobody, web'), true],
    ['to an address', side('destination', 'others'), true],
    ['to a member', side('destination', 'web'), false],
    ['between both', `${side('source', 'web')}, ${side('destination', 'others')}`, true],
    ['both, the other way', `${side('source', 'others')}, ${side('destination', 'web')}`, false],
    ['to a port', `${side('source', 'web')}, destinationPortRange: "81"`, false],
  ];
  for (const [name, what, denied] of rows) {
    const got = make(rule(what)).syn('aks-web-0-vmss000000', '10.1.0.4:4000', '10.1.8.4:80');
    t.match(got, denied ? 'dropped fabric ruleDenied: g/r (100)' : 'delivered nb', name);
  }
  const pods = make(rule(side('source', 'web'))).syn('nb', '10.1.8.4:4000', '10.1.0.4:80');
  t.match(pods, 'delivered aks-web-0-vmss000000', 'the other direction');
  t.throws(() => make(rule(side('source', 'wbe'))), /nothing in the wiring has this name/);
  t.throws(
    () => make(rule(`${side('source', 'web')}, sourceAddressPrefix: 10.0.0.0/8`)),
    /addresses or application security groups, not both/,
  );
});
