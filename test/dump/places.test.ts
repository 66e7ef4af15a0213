/**
 * Where packets enter and leave when only nodes' own tables tell.
 * @module
 */
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import type { World } from '../../src/lab/world.ts';
import { device, dumpWorld, files, LO, lines, oneNode, PLAIN, send } from '../support/dumps.ts';
import { address, tcp, udp } from '../support/packets.ts';

/** A node with a routed pod (10.244.0.4), and two containers on a bridge (172.17.0.2 and .3). */
const NODE = {
  'ip-addr.txt': lines(
    LO,
    device(2, 'eth0', ['10.1.0.4/16']),
    device(3, 'cali1', [], { peer: 'if4' }),
    device(4, 'docker0', ['172.17.0.1/16'], { kind: 'bridge' }),
    device(5, 'vethA', [], { peer: 'if6', master: 'docker0' }),
    device(6, 'vethB', [], { peer: 'if6', master: 'docker0' }),
  ),
  'ip-route.txt': lines(
    'default via 10.1.0.1 dev eth0 proto dhcp src 10.1.0.4 metric 100 ',
    '10.1.0.0/16 dev eth0 proto kernel scope link src 10.1.0.4 ',
    '10.244.0.4 dev cali1 scope link ',
    '172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 ',
  ),
  'ip-neigh.txt': lines(
    '10.1.0.1 dev eth0 lladdr 12:34:56:78:9a:bc REACHABLE',
    '10.244.0.4 dev cali1 lladdr 02:00:00:00:0a:04 STALE',
    '172.17.0.2 dev docker0 lladdr 02:42:ac:11:00:02 REACHABLE',
    '172.17.0.3 dev docker0 lladdr 02:42:ac:11:00:03 REACHABLE',
    '172.17.0.9 dev docker0  FAILED',
  ),
  'bridge-fdb.txt': lines(
    '02:42:ac:11:00:02 dev vethA master docker0 ',
    '02:42:ac:11:00:03 dev vethB master docker0 ',
    '02:00:00:00:01:05 dev vethA master docker0 permanent',
  ),
};

const PLACES: readonly (readonly [address: string, place: string])[] = [
  ['10.1.0.4', 'node/node-a'],
  ['172.17.0.1', 'node/node-a'],
  ['10.244.0.4', 'node/node-a/cali1'],
  ['172.17.0.2', 'node/node-a/vethA'],
  ['172.17.0.3', 'node/node-a/vethB'],
  ['172.17.0.9', 'addressUnowned'],
  ['10.1.0.9', 'edge'],
  ['203.0.113.7', 'edge'],
  ['127.0.0.1', 'loopback'],
];

function placeName(world: World, text: string): string {
  const place = world.identities.placeOf(address(text));
  return place.kind === 'unplaced' ? place.reason : (place.name ?? place.kind);
}

t.test('an address is where its node reaches it', async (t) => {
  const world = oneNode(NODE);
  for (const [text, place] of PLACES) t.equal(placeName(world, text), place, text);
});

t.test('packets enter behind their device, and leave by that of their receiver', async (t) => {
  const world = oneNode(NODE);
  const ways: readonly (readonly [from: string, to: string, end: string])[] = [
    ['10.244.0.4', '172.17.0.2', 'node-a/vethA'],
    ['172.17.0.2', '172.17.0.3', 'node-a/vethB'],
    ['172.17.0.3', '10.244.0.4', 'node-a/cali1'],
    ['172.17.0.3', '203.0.113.7', 'between nodes/outside'],
    ['203.0.113.7', '10.244.0.4', 'node-a/cali1'],
    ['10.1.0.4', '172.17.0.2', 'node-a/vethA'],
    ['10.244.0.4', '10.1.0.4', 'node-a/eth0'],
  ];
  for (const [from, to, end] of ways) {
    const journey = send(world, tcp().from(from, 40000).to(to, 80).syn().packet(), from);
    const at =
      journey.outcome === 'delivered' ? 'node-a/eth0' : `${journey.end.host}/${journey.end.device}`;
    t.equal(at, end, `${from} -> ${to}`);
    t.ok(['exited', 'delivered'].includes(journey.outcome), `${from} -> ${to} arrives`);
  }
});

t.test('on a bridge frames go from port to port, and rules see the ports', async (t) => {
  const rules = lines(
    '*filter',
    ':FORWARD ACCEPT [0:0]',
    '-A FORWARD -p tcp -m physdev --physdev-in vethA --physdev-out vethB -j DROP',
    '-A FORWARD -p udp -m mac --mac-source 02:42:ac:11:00:02 -j DROP',
    'COMMIT',
  );
  const world = oneNode({ ...NODE, 'iptables-save.txt': rules });
  const packet = tcp().from('172.17.0.2', 40000).to('172.17.0.3', 80).syn().packet();
  const journey = send(world, packet, '172.17.0.2');
  t.strictSame([journey.outcome, journey.reason], ['dropped', 'ruleDenied']);
  t.match(journey.decision?.text, /physdev/);
  const back = tcp().from('172.17.0.3', 40000).to('172.17.0.2', 80).syn().packet();
  t.equal(send(world, back, '172.17.0.3').outcome, 'exited', 'the other way is free');
  const known = udp().from('172.17.0.2', 5000).to('203.0.113.7', 53).packet();
  t.equal(send(world, known, '172.17.0.2').reason, 'ruleDenied', 'its MAC is in the dump');
  const hidden = udp().from('203.0.113.7', 53).to('172.17.0.2', 5000).packet();
  const judged = send(world, hidden, '203.0.113.7');
  t.strictSame([judged.outcome, judged.reason], ['unknown', 'unsupportedRule'], 'behind a router');
});

t.test('a probe gets its answer from whom the packet was translated to', async (t) => {
  const rules = lines(
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    '-A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8080',
    '-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE',
    'COMMIT',
    '*filter',
    ':FORWARD DROP [0:0]',
    '-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT',
    '-A FORWARD -d 172.17.0.2/32 -p tcp -m tcp --dport 8080 -j ACCEPT',
    'COMMIT',
  );
  const prober = new Prober(oneNode({ ...NODE, 'iptables-save.txt': rules }));
  const ask = (to: string, port: number) => {
    const { verdict, reply } = prober.ask({ from: '10.244.0.4', to, port, protocol: 'TCP' });
    return `${verdict} ${reply.result}`;
  };
  t.equal(ask('10.0.0.10', 80), 'allowed delivered');
  t.equal(ask('10.0.0.10', 81), 'denied notCaptured');
  t.equal(ask('172.17.0.2', 8080), 'allowed delivered');
});

/** Two nodes of one cluster; both have the same container bridge. */
function pair(): World {
  const node = (own: string, pod: string, rules: string) => ({
    ...PLAIN,
    'iptables-save.txt': rules,
    'ip-addr.txt': lines(
      LO,
      device(2, 'eth0', [`${own}/16`]),
      device(3, 'pod1', [], { peer: 'if2' }),
      device(4, 'docker0', ['172.17.0.1/16'], { kind: 'bridge' }),
    ),
    'ip-route.txt': lines(
      'default via 10.1.0.1 dev eth0 ',
      '10.1.0.0/16 dev eth0 proto kernel scope link ',
      `${pod} dev pod1 scope link `,
      '172.17.0.0/16 dev docker0 proto kernel scope link ',
    ),
  });
  const drop = lines('*filter', '-A FORWARD -s 10.1.0.20/32 -p tcp -j DROP', 'COMMIT');
  return dumpWorld([
    readDump('node-a', files(node('10.1.0.4', '10.1.0.20', ''), 'a')),
    readDump('node-b', files(node('10.1.0.5', '10.1.0.30', drop), 'b')),
  ]);
}

t.test('what leaves one node for another that was dumped arrives there', async (t) => {
  const world = pair();
  t.equal(placeName(world, '10.1.0.20'), 'node/node-a/pod1');
  t.equal(placeName(world, '10.1.0.30'), 'node/node-b/pod1');
  t.equal(placeName(world, '172.17.0.1'), 'ambiguousAddress', 'both have it');
  const ping = udp().from('10.1.0.20', 5000).to('10.1.0.30', 53).packet();
  const journey = send(world, ping, '10.1.0.20');
  t.strictSame(journey.hosts, ['node-a', 'between nodes', 'node-b']);
  t.strictSame([journey.outcome, journey.end], ['exited', { host: 'node-b', device: 'pod1' }]);
  t.equal(journey.packet?.[8], 62, 'two nodes lower its TTL, what is between them does not');
  const syn = tcp().from('10.1.0.20', 5000).to('10.1.0.30', 80).syn().packet();
  const denied = send(world, syn, '10.1.0.20');
  t.strictSame([denied.outcome, denied.end.host], ['dropped', 'node-b']);
});
