/**
 * The fabric and a firewall as real Linux hosts: the same frames into the kernel and the engine,
 * every frame out and every rule counter equal.
 *
 * What the kernel would draw is left out: each load balancer rule has one healthy backend, and
 * senders use ports of their own block, so that no port has to be found; where the block is full, it
 * is small enough for the kernel to try every port of it.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import type { Network, Plan } from '../../../src/plan/model.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { node, pod, wiring } from '../../fabric/azure-walk.ts';
import { icmpEcho, type PacketBuilder, tcp, udp } from '../../support/packets.ts';
import { kernelMissing } from './harness/laboratory.ts';
import { compare, type Shot } from './host-path-compare.ts';

const needs = { skip: kernelMissing(['iptables-nft', 'ipset']) ?? false };

const FABRIC = '12:34:56:78:9a:bc';

const WIRING = `virtualNetworks:
- name: v
  addressPrefixes: [10.1.0.0/16]
  subnets:
  - {name: sa, addressPrefix: 10.1.0.0/24, networkSecurityGroup: ga}
  - {name: sb, addressPrefix: 10.1.8.0/24, routeTable: rb}
- {name: hub, addressPrefixes: [10.50.0.0/16]}
virtualNetworkPeerings: [{remoteVirtualNetwork: hub}]
onPremisesRanges: [{addressPrefix: 172.20.0.0/16}]
loadBalancerProfile: {outboundIPs: [20.1.2.3], allocatedOutboundPorts: 8}
applicationSecurityGroups: [{name: others, ipAddresses: [10.1.8.4]}]
networkSecurityGroups:
- name: ga
  securityRules:
  - {name: web, priority: 100, direction: Inbound, access: Allow, protocol: Tcp, sourceAddressPrefix: Internet, destinationPortRanges: ["80", "8000-8010"]}
  - {name: no-udp, priority: 110, direction: Inbound, access: Deny, protocol: Udp, sourceAddressPrefixes: [10.1.8.0/24, 172.20.0.0/16]}
  - {name: no-members, priority: 115, direction: Inbound, access: Deny, protocol: Tcp, sourceApplicationSecurityGroups: [others], destinationPortRange: "81"}
  - {name: no-telnet, priority: 120, direction: Outbound, access: Deny, protocol: "*", destinationPortRange: "23"}
routeTables:
- name: rb
  routes:
  - {addressPrefix: 10.50.0.0/16, nextHopType: None}
  - {addressPrefix: 192.0.2.0/24, nextHopType: VirtualAppliance, nextHopIpAddress: 10.50.0.9}
  - {addressPrefix: 20.9.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.50.0.4}
azureFirewalls:
- name: fw
  privateIpAddress: 10.50.0.4
  publicIpAddresses: [20.5.5.5]
  natRuleCollections:
  - {name: in, priority: 100, action: Dnat, rules: [{name: web, protocols: [TCP], sourceAddresses: ["*"], destinationAddress: 20.5.5.5, destinationPort: "8443", translatedAddress: 10.1.0.4, translatedPort: "443"}]}
  networkRuleCollections:
  - {name: denied, priority: 200, action: Deny, rules: [{name: telnet, protocols: [TCP], sourceAddresses: ["*"], destinationAddresses: ["*"], destinationPorts: ["20-23"]}]}
  - {name: allowed, priority: 300, action: Allow, rules: [{name: tcp, protocols: [TCP], sourceAddresses: [10.1.0.0/16], destinationAddresses: ["*"], destinationPorts: ["*"]}]}
  applicationRuleCollections:
  - {name: proxied, priority: 100, action: Allow, rules: [{name: web, protocols: ["Https:8444"], sourceAddresses: [172.20.0.0/16], targetFqdns: ["*"]}]}
  - {name: shut, priority: 200, action: Deny, rules: [{name: web, protocols: ["Https:8445"], sourceAddresses: ["*"], targetFqdns: ["*"]}]}
`;

function service(name: string, address: string, more = ''): string {
  return `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}${more}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 80, nodePort: ${name.length + 30_000}}]}
status: {loadBalancer: {ingress: [{ip: ${address}}]}}\n---\n`;
}

const TRANSLATED =
  ', annotations: {"service.beta.kubernetes.io/azure-disable-load-balancer-floating-ip": "true"}';

/** All of it, with node nb unhealthy: every rule has na alone. */
function network(): Network {
  const { cluster, policies } = parseInputs(
    'fabric.yaml',
    [
      wiring(WIRING),
      node('na', '10.1.0.4'),
      node('nb', '10.1.8.4'),
      pod('a', 'na', '10.1.0.10', '{app: web}'),
      pod('b', 'nb', '10.1.8.10', '{app: web}'),
      service('web', '20.7.7.7'),
      service('plain', '20.7.7.8', TRANSLATED),
      service('inside', '10.1.0.99'),
    ].join(''),
  );
  const stack = parseStack('azure-transparent+none');
  const sick = ['web 20.7.7.7', 'plain 20.7.7.8', 'inside 10.1.0.99'];
  const unhealthy = new Set(sick.map((what) => `default/${what} tcp/80 nb`));
  return renderNetwork({ cluster, policies, stack, unhealthy });
}

/** Under the name by which `compare` asks. */
function alone(plan: Plan): Plan {
  return { ...plan, host: 'node' };
}

type Row = readonly [what: string, device: string, packet: PacketBuilder];

function framed(rows: readonly Row[], macs: Readonly<Record<string, string>>): Shot[] {
  return rows.map(([what, device, packet]) => ({
    what,
    device,
    frame: packet.frame({ srcMac: macs[device] ?? '02:00:00:00:00:77', dstMac: to(device, macs) }),
  }));
}

function to(device: string, macs: Readonly<Record<string, string>>): string {
  return macs[`to ${device}`] ?? FABRIC;
}

const CLIENT = ['9.9.9.9', 4000] as const;

const ROWS: readonly Row[] = [
  ['node to node', 'nic-na', tcp().from('10.1.0.4', 4000).to('10.1.8.4', 80).syn()],
  ['and its answer', 'nic-nb', tcp().from('10.1.8.4', 80).to('10.1.0.4', 4000).syn().ack(1)],
  ['an address of another NIC', 'nic-na', tcp().from('10.1.8.4', 1).to('10.1.8.10', 80).syn()],
  ['udp that the group denies', 'nic-nb', udp().from('10.1.8.4', 1).to('10.1.0.4', 53)],
  ['a member of a denied group', 'nic-nb', tcp().from('10.1.8.4', 1).to('10.1.0.4', 81).syn()],
  ['no member of it', 'nic-nb', tcp().from('10.1.8.10', 1).to('10.1.0.4', 81).syn()],
  ['tcp that it allows', 'nic-nb', tcp().from('10.1.8.4', 1).to('10.1.0.4', 53).syn()],
  ['outbound denied', 'nic-na', tcp().from('10.1.0.4', 1).to('10.1.8.4', 23).syn()],
  [
    'the internet, a port that is open',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('10.1.0.4', 8005)
      .syn(),
  ],
  [
    'the internet, one that is not',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('10.1.0.4', 8011)
      .syn(),
  ],
  ['on-premises', 'internet', tcp().from('172.20.1.1', 1).to('10.1.0.4', 22).syn()],
  ['on-premises by udp', 'internet', udp().from('172.20.1.1', 1).to('10.1.0.4', 22)],
  ['a probe', 'internet', tcp().from('168.63.129.16', 5000).to('10.1.0.4', 30_003).syn()],
  [
    'a frontend',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('20.7.7.7', 80)
      .syn(),
  ],
  [
    'again',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('20.7.7.7', 80)
      .syn(),
  ],
  [
    'its answer',
    'nic-na',
    tcp()
      .from('20.7.7.7', 80)
      .to(...CLIENT)
      .syn()
      .ack(1),
  ],
  ['not an answer', 'nic-na', tcp().from('20.7.7.7', 80).to('9.9.9.8', 1).syn()],
  [
    'another port of it',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('20.7.7.7', 81)
      .syn(),
  ],
  [
    'without floating IP',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('20.7.7.8', 80)
      .syn(),
  ],
  [
    'its answer',
    'nic-na',
    tcp()
      .from('10.1.0.4', 30_005)
      .to(...CLIENT)
      .syn()
      .ack(1),
  ],
  ['an internal frontend', 'nic-nb', tcp().from('10.1.8.4', 9).to('10.1.0.99', 80).syn()],
  ['by its own backend', 'nic-na', tcp().from('10.1.0.4', 9).to('10.1.0.99', 80).syn()],
  [
    'out, with a port of its block',
    'nic-na',
    tcp().from('10.1.0.4', 1024).to('8.8.8.8', 443).syn(),
  ],
  ['its answer', 'internet', tcp().from('8.8.8.8', 443).to('20.1.2.3', 1024).syn().ack(1)],
  ['udp', 'nic-na', udp().from('10.1.0.4', 1025).to('8.8.8.8', 53)],
  ['icmp has no ports', 'nic-na', icmpEcho().from('10.1.0.4').to('8.8.8.8')],
  ['a pod’s own address', 'nic-na', tcp().from('10.1.0.10', 1024).to('8.8.8.8', 443).syn()],
  ['Azure’s DNS', 'nic-na', udp().from('10.1.0.4', 9000).to('168.63.129.16', 53)],
  ...Array.from(
    { length: 8 },
    (_, i): Row => [
      `port ${i} of eight`,
      'nic-na',
      tcp()
        .from('10.1.0.4', 1024 + i)
        .to('1.1.1.1', 443)
        .syn(),
    ],
  ),
  ['the ninth', 'nic-na', tcp().from('10.1.0.4', 7000).to('1.1.1.1', 443).syn()],
  ['a peer', 'nic-na', tcp().from('10.1.0.4', 5).to('10.50.1.1', 80).syn()],
  ['the same by a route to None', 'nic-nb', tcp().from('10.1.8.4', 5).to('10.50.1.1', 80).syn()],
  ['an appliance of others', 'nic-nb', tcp().from('10.1.8.4', 5).to('192.0.2.1', 80).syn()],
  ['the firewall', 'nic-nb', tcp().from('10.1.8.4', 5).to('20.9.0.1', 80).syn()],
  ['from the firewall', 'fw-fw', tcp().from('20.5.5.5', 1024).to('20.9.0.1', 80).syn()],
  [
    'to the firewall',
    'internet',
    tcp()
      .from(...CLIENT)
      .to('20.5.5.5', 8443)
      .syn(),
  ],
  ['on-premises ranges', 'nic-na', tcp().from('10.1.0.4', 6).to('172.20.3.3', 80).syn()],
  ['nobody’s private range', 'nic-na', tcp().from('10.1.0.4', 6).to('192.168.3.3', 80).syn()],
  ['nobody’s address', 'nic-na', tcp().from('10.1.0.4', 6).to('10.1.9.9', 80).syn()],
];

t.test('the fabric of a cluster with everything around it', needs, async (t) => {
  const { fabric, nodes } = network();
  const macs = Object.fromEntries(
    nodes.map((n) => [`nic-${n.host}`, n.interfaces.find((i) => i.name === 'eth0')?.mac ?? '']),
  );
  await compare(t, alone(fabric), framed(ROWS, macs), 'nft');
});

const FIREWALL_ROWS: readonly Row[] = [
  ['allowed', 'eth0', tcp().from('10.1.8.4', 1024).to('20.9.0.1', 80).syn()],
  ['its answer', 'eth0', tcp().from('20.9.0.1', 80).to('20.5.5.5', 1024).syn().ack(1)],
  ['denied first', 'eth0', tcp().from('10.1.8.4', 1025).to('20.9.0.1', 22).syn()],
  ['no rule', 'eth0', udp().from('10.1.8.4', 1025).to('20.9.0.1', 53)],
  ['a private range', 'eth0', tcp().from('10.1.8.4', 1026).to('172.20.1.1', 80).syn()],
  ['proxied', 'eth0', tcp().from('172.20.1.1', 1027).to('20.9.0.1', 8444).syn()],
  ['proxied, private', 'eth0', tcp().from('172.20.1.1', 1028).to('10.1.0.4', 8444).syn()],
  ['an application rule denies', 'eth0', tcp().from('172.20.1.1', 1029).to('20.9.0.1', 8445).syn()],
  ['DNAT', 'eth0', tcp().from('9.9.9.9', 4000).to('20.5.5.5', 8443).syn()],
  ['its answer', 'eth0', tcp().from('10.1.0.4', 443).to('10.50.0.4', 4000).syn().ack(1)],
  ['its own address', 'eth0', tcp().from('9.9.9.9', 4000).to('20.5.5.5', 8444).syn()],
  ['no session', 'eth0', tcp().from('20.7.7.7', 80).to('9.9.9.9', 4001).syn().ack(1)],
  ['no session, later', 'eth0', tcp().from('10.1.8.4', 80).to('9.9.9.9', 4001).ack(1)],
];

t.test('a firewall', needs, async (t) => {
  const [firewall] = network().appliances ?? [];
  if (firewall === undefined) throw new Error('the network has a firewall');
  const mac = firewall.interfaces.find((i) => i.name === 'eth0')?.mac ?? '';
  const shots = framed(FIREWALL_ROWS, { eth0: FABRIC, 'to eth0': mac });
  await compare(t, alone(firewall), shots, 'nft');
});
