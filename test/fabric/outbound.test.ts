/**
 * The way out of an Azure cluster: which address and port a packet leaves with, and when none is left.
 *
 * Expectations by hand from Azure's documentation (src/fabric/README.md names the pages).
 * @module
 */
import t from 'tap';
import { defaultPorts } from '../../src/fabric/outbound.ts';
import {
  AzureWalk,
  answerTo,
  datagram,
  endsOf,
  node,
  ping,
  pod,
  story,
  syn,
  tcpOf,
  wiring,
} from './azure-walk.ts';

const NET = `virtualNetworks: [{name: v, addressPrefixes: [10.1.0.0/16], subnets: [{name: nodes, addressPrefix: 10.1.0.0/24}]}]`;
const NODES = [node('na', '10.1.0.4'), node('nb', '10.1.0.5')];
const PODS = [pod('a', 'na', '10.1.0.10'), pod('b', 'nb', '10.1.0.11')];

function azure(text: string, ...more: string[]): AzureWalk {
  return new AzureWalk([wiring(text), ...NODES, ...PODS, ...more]);
}

/** Both of Azure CNI's modes; the fabric does not know which. */
const MODES = ['azure-bridge+none', 'azure-transparent+none'];

t.test('ports of a VM by the size of the pool', async (t) => {
  const rows = [
    [1, 1024],
    [50, 1024],
    [51, 512],
    [100, 512],
    [101, 256],
    [200, 256],
    [201, 128],
    [400, 128],
    [401, 64],
    [800, 64],
    [801, 32],
    [1000, 32],
    [1001, 0],
  ] as const;
  for (const [size, ports] of rows) t.equal(defaultPorts(size), ports, `${size} VMs`);
});

t.test('load balancer: each VM leaves with its own block of ports', async (t) => {
  const rows: readonly (readonly [string, string, string])[] = [
    ['default/a', '10.1.0.10:5000', 'exited internet 20.1.2.3:1024 > 8.8.8.8:443'],
    ['default/a', '10.1.0.10:5001', 'exited internet 20.1.2.3:1025 > 8.8.8.8:443'],
    ['default/b', '10.1.0.11:5000', 'exited internet 20.1.2.3:2048 > 8.8.8.8:443'],
    ['na', '10.1.0.4:6000', 'exited internet 20.1.2.3:1026 > 8.8.8.8:443'],
  ];
  for (const stack of MODES) {
    const profile = `${NET}\nloadBalancerProfile: {outboundIPs: [20.1.2.3]}`;
    const walk = new AzureWalk([wiring(profile), ...NODES, ...PODS], { stack });
    for (const [from, own, want] of rows) {
      t.equal(walk.syn(from, own, '8.8.8.8:443'), want, stack);
    }
    t.equal(
      walk.syn('default/a', '10.1.0.10:5002', '1.1.1.1:443'),
      'exited internet 20.1.2.3:1024 > 1.1.1.1:443',
      'a port serves any number of destinations',
    );
  }
});

t.test('an answer finds its pod through both translations', async (t) => {
  const walk = azure(NET);
  const out = walk.journey('default/a', syn('10.1.0.10:5000', '8.8.8.8:443'));
  t.equal(story(out), 'exited internet 198.51.100.1:1024 > 8.8.8.8:443', 'a stand-in address');
  const back = 'delivered default/a 8.8.8.8:443 > 10.1.0.10:5000';
  t.equal(walk.send('edge', answerTo(out)), back);
});

t.test('what has no way out', async (t) => {
  const balancer = azure(NET);
  const why = 'the outbound rule has TCP and UDP of primary ipconfigs only';
  t.equal(
    balancer.send('na', ping('10.1.0.4', '8.8.8.8')),
    `dropped fabric ruleDenied: ${why}`,
    'ICMP has no ports',
  );
  const stays = 'delivered default/b 10.1.0.10:5000 > 10.1.0.11:80';
  t.equal(balancer.syn('default/a', '10.1.0.10:5000', '10.1.0.11:80'), stays);
  t.equal(
    azure(`${NET}\noutboundType: none`).syn('na', '10.1.0.4:6000', '8.8.8.8:443'),
    'dropped fabric ruleDenied: outboundType none: no way to the internet',
  );
  t.equal(
    azure(NET).syn('na', '10.1.0.4:6000', '192.168.7.7:443'),
    'exited internet 10.1.0.4:6000 > 192.168.7.7:443',
    'a private range of which the wiring says nothing: nobody knows how it is reached',
  );
  t.equal(
    azure(`${NET}\nonPremisesRanges: []`).syn('na', '10.1.0.4:6000', '192.168.7.7:443'),
    'dropped fabric ruleDenied: system route to None: no network that the cluster knows has this range',
  );
});

t.test('pods that keep their address have no outbound by a load balancer', async (t) => {
  const kept = `apiVersion: v1\nkind: ConfigMap
metadata: {name: azure-ip-masq-agent-config, namespace: kube-system}
data:\n  ip-masq-agent: "nonMasqueradeCIDRs: [0.0.0.0/0]"\n---\n`;
  const why = 'the outbound rule has TCP and UDP of primary ipconfigs only';
  t.equal(
    azure(NET, kept).syn('default/a', '10.1.0.10:5000', '8.8.8.8:443'),
    `dropped fabric ruleDenied: ${why}`,
  );
  const gateway = azure(
    `${NET.replace('10.1.0.0/24}', '10.1.0.0/24, natGateway: g}')}
natGateways: [{name: g, publicIpAddresses: [20.9.9.9]}]\noutboundType: userAssignedNATGateway`,
    kept,
  );
  t.equal(
    gateway.syn('default/a', '10.1.0.10:5000', '8.8.8.8:443'),
    'exited internet 20.9.9.9:5000 > 8.8.8.8:443',
    'a NAT gateway takes the whole subnet',
  );
});

t.test('Azure’s own addresses are reached without translation', async (t) => {
  const walk = azure(`${NET}\noutboundType: none`);
  t.equal(
    walk.send('na', datagram('10.1.0.4:6000', '168.63.129.16:53')),
    'exited internet 10.1.0.4:6000 > 168.63.129.16:53',
  );
});

t.test('a subnet’s NAT gateway goes before the load balancer', async (t) => {
  const walk = azure(`${NET.replace('10.1.0.0/24}', '10.1.0.0/24, natGateway: g}')}
natGateways: [{name: g, publicIpAddresses: [20.9.9.9]}]`);
  t.equal(
    walk.syn('na', '10.1.0.4:6000', '8.8.8.8:443'),
    'exited internet 20.9.9.9:6000 > 8.8.8.8:443',
  );
});

t.test('in pools of many chains everyone has the block of its place', async (t) => {
  const names = Array.from({ length: 130 }, (_, i) => `n${i}`);
  const wide = names.map((name, i) => node(name, `10.1.0.${i + 4}`));
  const walk = new AzureWalk([wiring(NET), ...wide]);
  for (const i of [0, 63, 64, 128, 129]) {
    t.equal(
      walk.syn(`n${i}`, `10.1.0.${i + 4}:4000`, '8.8.8.8:443'),
      `exited internet 198.51.100.1:${1024 + 256 * i} > 8.8.8.8:443`,
      `n${i} of 130, 256 ports each`,
    );
  }
});

t.test('ports run out towards one destination, and come back with time', async (t) => {
  const walk = azure(
    `${NET}\nloadBalancerProfile: {outboundIPs: [20.1.2.3], allocatedOutboundPorts: 8}`,
  );
  const from = (i: number) => `10.1.0.4:${7000 + i}`;
  for (let i = 0; i < 8; i++) {
    t.equal(
      walk.syn('na', from(i), '8.8.8.8:443'),
      `exited internet 20.1.2.3:${1024 + i} > 8.8.8.8:443`,
    );
  }
  const gone = 'dropped fabric natPortsExhausted: outbound rule: 8 ports for na';
  t.equal(walk.syn('na', from(8), '8.8.8.8:443'), gone);
  const { decision } = walk.journey('na', syn(from(9), '8.8.8.8:443'));
  t.strictSame(decision?.origin?.[0]?.field, '20.1.2.3:1024-1031', 'and says whose block it was');
  t.equal(
    walk.syn('na', from(8), '8.8.8.8:444'),
    'exited internet 20.1.2.3:1024 > 8.8.8.8:444',
    'another port of that destination is another destination',
  );
  t.equal(
    walk.syn('nb', '10.1.0.5:7000', '8.8.8.8:443'),
    'exited internet 20.1.2.3:1032 > 8.8.8.8:443',
    'another VM has its own block',
  );
  // Unanswered openings keep their ports for two minutes (nf_conntrack_tcp_timeout_syn_sent).
  walk.pass(121);
  t.equal(walk.syn('na', from(8), '8.8.8.8:443'), 'exited internet 20.1.2.3:1024 > 8.8.8.8:443');
});

t.test('a reset gives a load balancer’s port back after 15 seconds', async (t) => {
  const walk = azure(
    `${NET}\nloadBalancerProfile: {outboundIPs: [20.1.2.3], allocatedOutboundPorts: 8}`,
  );
  for (let i = 0; i < 8; i++) {
    const own = `10.1.0.4:${7000 + i}`;
    const opening = syn(own, '8.8.8.8:443');
    const out = walk.journey('na', opening);
    t.match(walk.send('edge', answerTo(out)), 'delivered na 8.8.8.8:443');
    t.match(walk.send('na', tcpOf(own, '8.8.8.8:443').seq(1).ack(1)), 'exited internet 20.1.2.3');
    t.match(walk.send('na', tcpOf(own, '8.8.8.8:443').seq(1).rst()), 'exited internet 20.1.2.3');
  }
  const next = () => walk.syn('na', '10.1.0.4:7100', '8.8.8.8:443');
  walk.pass(14);
  t.match(next(), 'natPortsExhausted');
  walk.pass(2);
  t.equal(next(), 'exited internet 20.1.2.3:1024 > 8.8.8.8:443');
});

t.test('a refused connection keeps its port as long as a reset one', async (t) => {
  const balancer = 'loadBalancerProfile: {outboundIPs: [20.1.2.3], allocatedOutboundPorts: 8}';
  const walk = azure(`${NET}\n${balancer}`);
  for (let i = 0; i < 8; i++) {
    const out = walk.journey('na', syn(`10.1.0.4:${7000 + i}`, '8.8.8.8:443'));
    const { src, sport } = endsOf(out);
    const refusal = tcpOf('8.8.8.8:443', `${src}:${sport}`).seq(0).ack(1).rst();
    t.match(walk.send('edge', refusal), `delivered na 8.8.8.8:443 > 10.1.0.4:${7000 + i}`);
  }
  const next = () => walk.syn('na', '10.1.0.4:7100', '8.8.8.8:443');
  t.match(next(), 'natPortsExhausted');
  walk.pass(14);
  t.match(next(), 'natPortsExhausted');
  walk.pass(2);
  t.equal(next(), 'exited internet 20.1.2.3:1024 > 8.8.8.8:443');
});
