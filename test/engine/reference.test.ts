/**
 * A packet's life across hosts: two nodes, their pods and the fabric between them. Each sub-test
 * follows the packets of the one before.
 * @module
 */
import t from 'tap';
import type { Plan } from '../../src/plan/model.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import { engineOf, hostPlan, iface, inject, link, route, stages } from '../support/hosts.ts';
import { icmpEcho, tcp, udp } from '../support/packets.ts';

const HOST_VETH = 'aa:aa:aa:aa:aa:aa';
const ROUTER = { 'net.ipv4.ip_forward': '1' };

function podPlan(name: string, ip: string, mac: string): Plan {
  return hostPlan(name, {
    role: 'pod',
    interfaces: [iface('eth0', mac, { addresses: [`${ip}/32`] })],
    routes: [
      route('169.254.1.1/32', { device: 'eth0', source: ip }),
      route('0.0.0.0/0', { device: 'eth0', via: '169.254.1.1', source: ip }),
    ],
    neighbors: [['169.254.1.1', 'eth0', HOST_VETH]],
  });
}

const RULES = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -d 10.1.0.11/32 -p tcp -m tcp --dport 81 -j DROP
-A FORWARD -d 10.1.0.11/32 -p tcp -m tcp --dport 82 -j REJECT --reject-with tcp-reset
-A FORWARD -d 10.2.0.10/32 -p udp -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.10:8080
-A POSTROUTING -s 10.1.0.10/32 -d 10.1.0.10/32 -j MASQUERADE
COMMIT
`;

function nodePlan(n: 1 | 2, pods: readonly string[]): Plan {
  const vnet = `192.168.0.${n}`;
  const mac = `00:0d:3a:00:00:0${n}`;
  return hostPlan(`node${n}`, {
    interfaces: [
      iface('eth0', mac, { kind: 'physical', addresses: [`${vnet}/24`] }),
      ...pods.map((_, i) => iface(`azv${i}`, HOST_VETH)),
    ],
    routes: [
      route('192.168.0.0/24', { device: 'eth0', source: vnet }),
      route('0.0.0.0/0', { device: 'eth0', via: '192.168.0.254' }),
      ...pods.map((ip, i) => route(`${ip}/32`, { device: `azv${i}` })),
    ],
    sysctls: { ...ROUTER, 'net.ipv4.conf.azv0.proxy_arp': '1' },
    iptables: n === 1 ? RULES.replace(/^.*udp -j REJECT.*\n/m, '') : RULES,
  });
}

/** A router that gives back the TTL it takes; its neighbours are asked for by ARP. */
function fabricPlan(): Plan {
  const nic = (n: number) => iface(`nic${n}`, '12:34:56:78:9a:bc');
  return hostPlan('fabric', {
    role: 'fabric',
    interfaces: [nic(1), nic(2), nic(9)],
    routes: [
      route('192.168.0.1/32', { device: 'nic1' }),
      route('10.1.0.0/16', { device: 'nic1', via: '192.168.0.1' }),
      route('192.168.0.2/32', { device: 'nic2' }),
      route('10.2.0.0/16', { device: 'nic2', via: '192.168.0.2' }),
      route('0.0.0.0/0', { device: 'nic9' }),
    ],
    neighbors: [['203.0.113.9', 'nic9', '02:00:00:00:00:99']],
    sysctls: { ...ROUTER, 'net.ipv4.conf.all.proxy_arp': '1' },
    iptables: '*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j TTL --ttl-inc 1\nCOMMIT\n',
  });
}

function cluster() {
  const plans = [
    podPlan('web', '10.1.0.10', '02:00:00:01:00:10'),
    podPlan('db', '10.1.0.11', '02:00:00:01:00:11'),
    podPlan('far', '10.2.0.10', '02:00:00:02:00:10'),
    nodePlan(1, ['10.1.0.10', '10.1.0.11']),
    nodePlan(2, ['10.2.0.10']),
    fabricPlan(),
  ];
  const links = [
    link('web/eth0', 'node1/azv0'),
    link('db/eth0', 'node1/azv1'),
    link('far/eth0', 'node2/azv0'),
    link('node1/eth0', 'fabric/nic1'),
    link('node2/eth0', 'fabric/nic2'),
  ];
  return engineOf(plans, links);
}

const toDb = tcp().from('10.1.0.10', 1000).to('10.1.0.11', 80);

t.test('a handshake between two pods of one node', async (t) => {
  const engine = cluster();
  const syn = engine.inject(inject.local('web', toDb.syn().seq(10).packet(), 0));
  t.equal(syn.outcome, 'delivered', 'the SYN arrives');
  t.same(syn.hosts, ['web', 'node1', 'db'], 'it crosses its node');
  t.equal(
    stages(syn, 'node1'),
    'link-input prerouting route forward postrouting transmit',
    'as the kernel routes it',
  );
  t.equal(ipv4.ttl(syn.packet!, 0), 63, 'one hop');
  t.equal(syn.steps.find((s) => s.hook === 'forward')?.fact, 'conntrack: new');
  t.equal(syn.decision?.stage, 'forward', 'the default of FORWARD let it pass');
  t.equal(syn.decision?.rule, undefined);

  const synAck = toDb.reversed().syn().ack(11).seq(20).packet();
  const answer = engine.inject(inject.local('db', synAck, 1));
  t.equal(answer.outcome, 'delivered', 'the SYN-ACK arrives');
  t.equal(answer.decision?.rule?.index, 1, 'because it is established');
  t.match(answer.decision?.text, /RELATED,ESTABLISHED/);

  const ack = engine.inject(inject.local('web', toDb.ack(21).seq(11).packet(), 2));
  t.equal(ack.outcome, 'delivered');
  t.match(
    engine.connections('node1').map((c) => c.status),
    ['ESTABLISHED ASSURED'],
    'the node holds one open connection',
  );
});

t.test('a denied SYN leaves no connection behind', async (t) => {
  const engine = cluster();
  const denied = tcp().from('10.1.0.10', 1000).to('10.1.0.11', 81).syn();
  const syn = engine.inject(inject.local('web', denied.packet()));
  t.equal(syn.outcome, 'dropped');
  t.equal(syn.reason, 'ruleDenied');
  t.same(syn.decision?.rule, { family: 4, table: 'filter', chain: 'FORWARD', index: 2 });
  t.match(syn.decision?.text, /--dport 81 -j DROP/);
  t.same(syn.end, { host: 'node1', device: 'azv0' });
  t.same(engine.connections('node1'), []);
});

t.test('a refused SYN is answered, and the answer finds its way home', async (t) => {
  const engine = cluster();
  const refused = tcp().from('10.1.0.10', 1000).to('10.1.0.11', 82).syn().seq(7);
  const syn = engine.inject(inject.local('web', refused.packet()));
  t.equal(syn.outcome, 'dropped');
  t.equal(syn.reason, 'rejected');
  const [reset] = syn.generated;
  t.equal(reset?.kind, 'tcpReset');
  t.equal(reset?.from, 'node1');
  t.equal(reset?.journey.outcome, 'delivered', 'the reset reaches the pod that asked');
  t.same(reset?.journey.hosts, ['node1', 'web']);
});

t.test(
  'pods of two nodes: the fabric costs no hop, neighbours answer for themselves',
  async (t) => {
    const engine = cluster();
    const syn = tcp().from('10.1.0.10', 1000).to('10.2.0.10', 80).syn();
    const journey = engine.inject(inject.local('web', syn.packet()));
    t.equal(journey.outcome, 'delivered');
    t.same(journey.hosts, ['web', 'node1', 'fabric', 'node2', 'far']);
    t.equal(ipv4.ttl(journey.packet!, 0), 62, 'two nodes, two hops');
    t.same(journey.generated, [], 'ARP is outside of the account');
    t.equal(engine.connections('node1').length, 1);
    t.equal(engine.connections('node2').length, 1);
    t.equal(engine.connections('fabric').length, 0, 'the fabric tracks nothing');
  },
);

t.test('an ICMP error from the far node travels back as related', async (t) => {
  const engine = cluster();
  const asked = udp().from('10.1.0.10', 1000).to('10.2.0.10', 53).payload(20);
  const journey = engine.inject(inject.local('web', asked.packet()));
  t.equal(journey.outcome, 'dropped');
  t.equal(journey.end.host, 'node2');
  const [error] = journey.generated;
  t.equal(error?.kind, 'icmpError');
  t.equal(error?.journey.outcome, 'delivered');
  t.same(error?.journey.hosts, ['node2', 'fabric', 'node1', 'web']);
  const atNode1 = error?.journey.steps.find((s) => s.host === 'node1' && s.hook === 'forward');
  t.equal(atNode1?.fact, 'conntrack: related', 'node1 knows the connection it is about');
});

t.test('what leaves the cluster exits by an edge of the fabric', async (t) => {
  const engine = cluster();
  const journey = engine.inject(
    inject.local('web', icmpEcho().from('10.1.0.10').to('203.0.113.9').packet()),
  );
  t.equal(journey.outcome, 'exited');
  t.same(journey.end, { host: 'fabric', device: 'nic9' });
  t.ok(journey.frame, 'with its whole frame');
});

t.test('a pod that calls its own service by its address', async (t) => {
  const engine = cluster();
  const syn = tcp().from('10.1.0.10', 1000).to('172.30.0.1', 80).syn();
  const journey = engine.inject(inject.local('web', syn.packet()));
  t.equal(journey.outcome, 'delivered');
  t.same(journey.hosts, ['web', 'node1', 'web'], 'out and back by the same veth');
  t.equal(journey.reason, null);
  const answer = engine.inject(
    inject.local(
      'web',
      tcp().from('10.1.0.10', 8080).to('192.168.0.1', 1000).syn().ack(1).packet(),
      1,
    ),
  );
  t.equal(answer.outcome, 'delivered', 'the answer to the node is turned back to the caller');
  t.same(answer.hosts, ['web', 'node1', 'web']);
});

t.test('a host talks to itself over loopback', async (t) => {
  const engine = cluster();
  const own = udp().from('192.168.0.1', 1).to('192.168.0.1', 2);
  const journey = engine.inject(inject.local('node1', own.packet()));
  t.equal(journey.outcome, 'delivered');
  t.same(journey.hosts, ['node1']);
  t.equal(journey.end.device, 'lo');
});

t.test('a connection that was open before the capture', async (t) => {
  const engine = cluster();
  const data = engine.inject(inject.local('web', toDb.ack(5).seq(5).payload(10).packet(), 0));
  t.equal(data.steps.find((s) => s.hook === 'forward')?.fact, 'conntrack: new', 'unknown: new');

  const other = cluster();
  const opening = other.assumeOpen(inject.local('web', toDb.syn().packet(), 0));
  t.equal(opening.outcome, 'delivered');
  t.match(other.connections('node1')[0]?.status, 'ESTABLISHED ASSURED');
  const counted = [...other.counters('node1').values()].some((c) => c.packets > 0);
  t.notOk(counted, 'the opening is counted nowhere');
  const reply = toDb.reversed().ack(9).seq(9).payload(10).packet();
  const answer = other.inject(inject.local('db', reply, 1));
  t.equal(answer.steps.find((s) => s.hook === 'forward')?.fact, 'conntrack: established');

  const denied = tcp().from('10.1.0.10', 1000).to('10.1.0.11', 81).syn();
  t.equal(other.assumeOpen(inject.local('web', denied.packet(), 2)).outcome, 'dropped');
  t.equal(other.connections('node1').length, 1, 'a denied opening opens nothing');
});

t.test('fragments wait for each other, and the one that completes speaks for all', async (t) => {
  const engine = cluster();
  const whole = udp().from('10.1.0.10', 1).to('10.1.0.11', 2).payload(2000).id(77);
  const first = whole.fragment(0, true, 1480).packet();
  const last = whole.fragment(1480, false).packet();
  const held = engine.inject(inject.received('node1/azv0', last));
  t.equal(held.outcome, 'consumed');
  t.ok(held.heldForReassembly);
  const done = engine.inject(inject.received('node1/azv0', first));
  t.equal(done.outcome, 'delivered');
  t.notOk(done.heldForReassembly);
  t.equal(done.copies.length, 1, 'cut again for the veth: one more fragment');
  t.equal(done.packet?.length, 2028, 'the pod puts it together');
});

t.test('an offload aggregate is judged by its segments', async (t) => {
  const engine = cluster();
  const data = toDb.ack(1).payload(20_000).dontFragment();
  const journey = engine.inject(inject.local('web', data.packet()));
  t.equal(journey.outcome, 'delivered');
  t.ok(journey.steps.some((s) => /aggregate of 20040 bytes, judged as segments/.test(s.fact)));
});

t.test('TTL: a node that runs it down says so to the sender', async (t) => {
  const engine = cluster();
  const short = udp().from('10.1.0.10', 1).to('10.2.0.10', 2).ttl(1);
  const journey = engine.inject(inject.local('web', short.packet()));
  t.equal(journey.reason, 'ttlExpired');
  t.equal(journey.generated[0]?.journey.outcome, 'delivered');
});

t.test('a host or device that is not there', async (t) => {
  const engine = cluster();
  const packet = udp().from('10.1.0.10', 1).to('10.2.0.10', 2);
  t.equal(engine.inject(inject.local('nobody', packet.packet())).reason, 'noSuchDevice');
  t.equal(engine.inject(inject.frame('web/eth7', packet.frame())).reason, 'noSuchDevice');
});

t.test('roads that lead nowhere end all the same', async (t) => {
  const router = (name: string, n: number) =>
    hostPlan(name, {
      interfaces: [iface('eth0', `02:00:00:00:00:0${n}`, { addresses: [`10.0.0.${n}/24`] })],
      routes: [
        route('10.0.0.0/24', { device: 'eth0' }),
        route('0.0.0.0/0', { device: 'eth0', via: `10.0.0.${3 - n}` }),
      ],
      sysctls: ROUTER,
      iptables: '*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j TTL --ttl-inc 1\nCOMMIT\n',
    });
  const circle = engineOf([router('a', 1), router('b', 2)], [link('a/eth0', 'b/eth0')]);
  const lost = udp().from('192.0.2.5', 1).to('203.0.113.9', 2);
  t.equal(circle.inject(inject.received('a/eth0', lost.packet())).reason, 'internalLoop');

  const bridge = (name: string, n: number) =>
    hostPlan(name, {
      interfaces: [
        iface('br0', `02:00:00:00:0b:0${n}`, { kind: 'bridge' }),
        ...[0, 1, 2].map((i) => iface(`p${i}`, `02:00:00:00:${n}0:0${i}`, { master: 'br0' })),
      ],
    });
  const storm = engineOf(
    [bridge('a', 1), bridge('b', 2)],
    [0, 1, 2].map((i) => link(`a/p${i}`, `b/p${i}`)),
  );
  const frame = lost.frame({ srcMac: '02:00:00:00:00:77', dstMac: 'ff:ff:ff:ff:ff:ff' });
  const journey = storm.inject(inject.frame('a/p0', frame));
  t.ok(
    journey.copies.some((copy) => copy.reason === 'internalLoop'),
    'a storm is cut off',
  );
});

t.test('a checksum left to a device is filled in where the packet leaves', async (t) => {
  const engine = cluster();
  const packet = udp().from('10.1.0.10', 1).to('203.0.113.9', 2).payload(8);
  const injection = inject.local('web', packet.offloaded().packet());
  const journey = engine.inject({ ...injection, checksumOffloaded: true });
  t.equal(journey.outcome, 'exited');
  const right = engine.inject(inject.local('web', packet.packet()));
  t.same(Buffer.from(journey.frame!), Buffer.from(right.frame!), 'as if it had been right');
});
