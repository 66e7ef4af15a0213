/**
 * Azure CNI's two modes as the commands that would build them.
 *
 * Expectations are by hand from azure-container-networking `network/bridge_*_linux.go`,
 * `network/transparent_endpointclient_linux.go` and `ebtables/ebtables.go`, commit cbd7560cf; MAC
 * addresses of VMs and pods are ours (shape only), veth names Azure's.
 * @module
 */
import { createHash } from 'node:crypto';
import t from 'tap';
import { hostVethName, nodeMac, podMac } from '../../src/dataplane/azure-cni/mac.ts';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { printEbtables } from '../../src/plan/ebtables/text.ts';
import { printIp } from '../../src/plan/ip-text.ts';
import type { Network, Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import * as make from './objects.ts';

const web = make.pod('shop/web', 'node-a', '10.240.0.10', { app: 'web' });
const db = make.pod('shop/db', 'node-a', '10.240.0.11');
const api = make.pod('shop/api', 'node-b', '10.240.0.12');
const onHost = make.pod('shop/agent', 'node-b', '10.240.0.5', {}, { hostNetwork: true });
const ended = make.pod('shop/job', 'node-b', '10.240.0.13', {}, { phase: 'Succeeded' });

const twoNodes = make.cluster({
  nodes: [make.node('node-a', '10.240.0.4'), make.node('node-b', '10.240.0.5')],
  pods: [web, db, api, onHost, ended],
  subnets: ['10.240.0.0/16'],
});

function network(stack: string, of = twoNodes): Network {
  return renderNetwork(make.input(of, stack));
}

function nodePlan(of: Network, name: string): Plan {
  const plan = of.nodes.find((p) => p.host === name);
  if (plan === undefined) throw new Error(`no node ${name}`);
  return plan;
}

/** The lines of `ip` commands that build addresses, neighbours and routes. */
function addressing(plan: Plan): string[] {
  const lines = printIp(plan).split('\n');
  return lines.filter((line) => /^ip (addr|neigh|route) /.test(line) && !line.includes('dev lo'));
}

t.test('host veths are named by the sha1 of NAMESPACE.POD', async (t) => {
  const digest = createHash('sha1').update('shop.web').digest('hex');
  t.equal(hostVethName(web), `azv${digest.slice(0, 11)}`);
  t.equal(hostVethName(web), 'azv551b05c3e54');
});

t.test(
  'bridge mode: NIC and pods are hairpin ports of azure0, which has the address',
  async (t) => {
    const plan = nodePlan(network('azure-bridge+none'), 'node-a');
    t.strictSame(
      plan.interfaces.map((i) => [i.name, i.kind, i.master, i.hairpin, i.addresses.length]),
      [
        ['lo', 'loopback', undefined, undefined, 2],
        ['eth0', 'physical', 'azure0', true, 0],
        ['azure0', 'bridge', undefined, undefined, 1],
        [hostVethName(web), 'veth', 'azure0', true, 0],
        [hostVethName(db), 'veth', 'azure0', true, 0],
      ],
    );
    t.strictSame(addressing(plan), [
      'ip addr replace 10.240.0.4/16 dev azure0 scope global noprefixroute',
      'ip neigh replace 10.240.0.1 lladdr 12:34:56:78:9a:bc dev azure0 nud reachable',
      `ip neigh replace 10.240.0.10 lladdr ${podMac(web)} dev azure0 nud permanent`,
      `ip neigh replace 10.240.0.11 lladdr ${podMac(db)} dev azure0 nud permanent`,
      'ip route replace 10.240.0.0/16 dev azure0 scope link src 10.240.0.4',
      'ip route replace 0.0.0.0/0 via 10.240.0.1 dev azure0 scope global',
    ]);
    t.strictSame(
      plan.fdb.map((e) => [e.mac, e.port, e.kind]),
      [
        [nodeMac('node-a'), 'eth0', 'permanent'],
        ['12:34:56:78:9a:bc', 'eth0', 'learned'],
        [plan.interfaces[3]?.mac, hostVethName(web), 'permanent'],
        [podMac(web), hostVethName(web), 'learned'],
        [plan.interfaces[4]?.mac, hostVethName(db), 'permanent'],
        [podMac(db), hostVethName(db), 'learned'],
      ],
    );
    t.equal(plan.sysctls['net.bridge.bridge-nf-call-iptables'], '1');
  },
);

t.test('bridge mode: ebtables answer ARP, and turn the VM’s MAC into the pod’s', async (t) => {
  const vm = nodeMac('node-a');
  const lines = printEbtables(nodePlan(network('azure-bridge+none'), 'node-a')).split('\n');
  t.strictSame(
    lines.filter((line) => line.startsWith('-A')),
    [
      `-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.240.0.4 -j arpreply --arpreply-mac ${vm}`,
      '-A PREROUTING -p ARP -i eth0 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT',
      `-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.240.0.10 -j arpreply --arpreply-mac ${podMac(web)}`,
      `-A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.0.10 -j dnat --to-dst ${podMac(web)} --dnat-target ACCEPT`,
      `-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.240.0.11 -j arpreply --arpreply-mac ${podMac(db)}`,
      `-A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.0.11 -j dnat --to-dst ${podMac(db)} --dnat-target ACCEPT`,
      `-A POSTROUTING -s Unicast -o eth0 -j snat --to-src ${vm} --snat-arp --snat-target ACCEPT`,
    ],
  );
});

t.test('bridge mode: a pod has its subnet on-link', async (t) => {
  t.strictSame(addressing(network('azure-bridge+none').podPlan('shop/web')), [
    'ip addr replace 10.240.0.10/16 dev eth0 scope global noprefixroute',
    'ip neigh replace 10.240.0.1 lladdr 12:34:56:78:9a:bc dev eth0 nud reachable',
    `ip neigh replace 10.240.0.4 lladdr ${nodeMac('node-a')} dev eth0 nud reachable`,
    `ip neigh replace 10.240.0.11 lladdr ${podMac(db)} dev eth0 nud reachable`,
    'ip route replace 10.240.0.0/16 dev eth0 scope link src 10.240.0.10',
    'ip route replace 0.0.0.0/0 via 10.240.0.1 dev eth0 scope global',
  ]);
});

t.test('transparent mode: a host route and a proxying veth per pod, no bridge', async (t) => {
  const plan = nodePlan(network('azure-transparent+none'), 'node-a');
  const veth = hostVethName(web);
  t.strictSame(
    plan.interfaces.map((i) => [i.name, i.kind, i.mac]),
    [
      ['lo', 'loopback', '00:00:00:00:00:00'],
      ['eth0', 'physical', nodeMac('node-a')],
      [veth, 'veth', 'aa:aa:aa:aa:aa:aa'],
      [hostVethName(db), 'veth', 'aa:aa:aa:aa:aa:aa'],
    ],
  );
  t.strictSame(addressing(plan), [
    'ip addr replace 10.240.0.4/16 dev eth0 scope global noprefixroute',
    'ip neigh replace 10.240.0.1 lladdr 12:34:56:78:9a:bc dev eth0 nud reachable',
    `ip neigh replace 10.240.0.10 lladdr ${podMac(web)} dev ${veth} nud reachable`,
    `ip neigh replace 10.240.0.11 lladdr ${podMac(db)} dev ${hostVethName(db)} nud reachable`,
    'ip route replace 10.240.0.0/16 dev eth0 scope link src 10.240.0.4',
    `ip route replace 10.240.0.10/32 dev ${veth} scope link`,
    `ip route replace 10.240.0.11/32 dev ${hostVethName(db)} scope link`,
    'ip route replace 0.0.0.0/0 via 10.240.0.1 dev eth0 scope global',
  ]);
  t.equal(plan.sysctls[`net.ipv4.conf.${veth}.proxy_arp`], '1');
  t.strictSame(plan.ebtables, []);
});

t.test('transparent mode: a pod knows only the virtual gateway', async (t) => {
  t.strictSame(addressing(network('azure-transparent+none').podPlan('shop/web')), [
    'ip addr replace 10.240.0.10/16 dev eth0 scope global noprefixroute',
    'ip neigh replace 169.254.1.1 lladdr aa:aa:aa:aa:aa:aa dev eth0 nud reachable',
    'ip route replace 169.254.1.1/32 dev eth0 scope link',
    'ip route replace 0.0.0.0/0 via 169.254.1.1 dev eth0 scope global',
  ]);
});

t.test('pods of the host’s network and ended pods have no namespace of their own', async (t) => {
  for (const stack of ['azure-bridge+none', 'azure-transparent+none']) {
    const of = network(stack);
    t.strictSame(of.pods, ['shop/web', 'shop/db', 'shop/api'], stack);
    t.strictSame(
      of.links.map(([a, b]) => `${a.host} ${a.device} - ${b.host} ${b.device}`),
      [
        'node-a eth0 - fabric nic-node-a',
        'node-b eth0 - fabric nic-node-b',
        `node-a ${hostVethName(web)} - shop/web eth0`,
        `node-a ${hostVethName(db)} - shop/db eth0`,
        `node-b ${hostVethName(api)} - shop/api eth0`,
      ],
      stack,
    );
  }
});

t.test('both modes carry IPv6 addresses', async (t) => {
  const dual = make.cluster({
    nodes: [make.node('n', '10.240.0.4', 'fd00::4')],
    pods: [
      make.pod('x/a', 'n', ['10.240.0.10', 'fd00::a']),
      make.pod('x/b', 'n', ['10.240.0.11', 'fd00::b']),
    ],
    subnets: ['10.240.0.0/16', 'fd00::/64'],
  });
  for (const stack of ['azure-bridge+none', 'azure-transparent+none']) {
    const of = network(stack, dual);
    const pod = addressing(of.podPlan('x/a'));
    t.ok(
      pod.some((line) => line.includes('fd00::a/128 dev eth0')),
      stack,
    );
    t.ok(
      pod.some((line) => line.includes('::/0 via fe80::1234:5678:9abc')),
      stack,
    );
    const node = addressing(nodePlan(of, 'n'));
    t.ok(
      node.some(
        (line) =>
          line.startsWith('ip route replace fd00::a/128 dev azv') ||
          line.startsWith('ip route replace fd00::a/128 dev azure0'),
      ),
      stack,
    );
  }
  const eb = printEbtables(nodePlan(network('azure-bridge+none', dual), 'n'));
  t.match(eb, '-p IPv6 -i eth0 --ip6-dst fd00::a');
});

t.test('pods outside the nodes’ subnet share one link with them', async (t) => {
  const kind = make.cluster({
    nodes: [make.node('n1', '172.18.0.2'), make.node('n2', '172.18.0.3')],
    pods: [make.pod('x/a', 'n1', '10.244.1.5'), make.pod('y/b', 'n2', '10.244.2.5')],
    subnets: ['172.18.0.0/16'],
    podCidrs: ['10.244.0.0/16'],
  });
  const bridged = network('azure-bridge+none', kind);
  const pod = addressing(bridged.podPlan('x/a')).filter((line) => line.includes(' route '));
  t.strictSame(pod, [
    'ip route replace 10.244.0.0/16 dev eth0 scope link src 10.244.1.5',
    'ip route replace 172.18.0.0/16 dev eth0 scope link',
    'ip route replace 0.0.0.0/0 via 10.244.0.1 dev eth0 scope global',
  ]);
  const node = addressing(nodePlan(bridged, 'n1')).filter((line) => line.includes(' route '));
  t.strictSame(node, [
    'ip route replace 172.18.0.0/16 dev azure0 scope link src 172.18.0.2',
    'ip route replace 10.244.0.0/16 dev azure0 scope link',
    'ip route replace 0.0.0.0/0 via 172.18.0.1 dev azure0 scope global',
  ]);
  const routed = addressing(nodePlan(network('azure-transparent+none', kind), 'n1'));
  t.ok(routed.some((line) => line.startsWith('ip route replace 10.244.1.5/32 dev azv')));
});

t.test('the gateway is the first address of the subnet that nobody has', async (t) => {
  const crowded = make.cluster({
    nodes: [make.node('n', '10.1.0.1')],
    pods: [make.pod('x/a', 'n', '10.1.0.2')],
  });
  const lines = addressing(nodePlan(network('azure-bridge+none', crowded), 'n'));
  t.match(lines.at(-1), 'via 10.1.0.3 dev azure0');
  t.equal(formatAddress(crowded.nodes[0]?.addresses[0] ?? make.ip('::')), '10.1.0.1');
});

t.test('pods do not reach the wire server: below what kube-proxy puts first', async (t) => {
  for (const stack of ['azure-bridge+none', 'azure-transparent+none']) {
    const text = printIptables(nodePlan(network(stack), 'node-a'), 4);
    const forward = text.split('\n').filter((line) => line.startsWith('-A FORWARD'));
    t.strictSame(
      forward.slice(-2),
      ['32526', '80'].map(
        (port) => `-A FORWARD -d 168.63.129.16/32 -p tcp -m tcp --dport ${port} -j DROP`,
      ),
      stack,
    );
    t.match(forward[0], 'KUBE-');
  }
});

t.test('what is not emulated in a cluster is refused, all at once', async (t) => {
  const bad = make.cluster({
    nodes: [{ ...make.node('win', '10.1.0.4'), os: 'windows' }],
    pods: [make.pod('x/a', 'elsewhere', '10.1.0.5')],
  });
  try {
    network('kubenet+none', bad);
    t.fail('must be refused');
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    t.strictSame(
      error.diagnostics.map((d) => [d.code, d.object]),
      [
        ['NODE_WINDOWS', 'Node/win'],
        ['POD_NODE_UNKNOWN', 'x/Pod/a'],
      ],
    );
  }
});
