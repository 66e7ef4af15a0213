/**
 * Dumps that hold only a part: what is missing is assumed and said, and decides nothing.
 * @module
 */
import t from 'tap';
import { readDump } from '../../src/dump/read-dump.ts';
import {
  device,
  dumpWorld,
  files,
  LO,
  lines,
  oneNode,
  PLAIN,
  send,
  type Texts,
} from '../support/dumps.ts';
import { tcp } from '../support/packets.ts';

const ADDR = lines(LO, device(2, 'eth0', ['10.1.0.4/16']), device(3, 'veth1', [], { peer: 'if2' }));
const ROUTE = lines(
  'default via 10.1.0.1 dev eth0 ',
  '10.1.0.0/16 dev eth0 proto kernel scope link src 10.1.0.4 ',
  '10.244.0.2 dev veth1 scope link ',
);
const WHOLE: Texts = {
  ...PLAIN,
  'ip-addr.txt': ADDR,
  'ip-route.txt': ROUTE,
  'ip-neigh.txt': lines('10.244.0.2 dev veth1 lladdr 02:00:00:00:00:02 REACHABLE'),
};

function without(...names: readonly string[]): Texts {
  return Object.fromEntries(Object.entries(WHOLE).filter(([name]) => !names.includes(name)));
}

t.test('a whole dump assumes nothing', async (t) => {
  t.strictSame(readDump('n', files(WHOLE)).warnings, []);
});

const MISSING: readonly (readonly [missing: readonly string[], said: RegExp])[] = [
  [['iptables-save.txt'], /no iptables-save/],
  [['ip-addr.txt'], /no ip addr and ip link: its devices are those that routes/],
  [['ip-route.txt'], /no ip route: where the node sends IPv4 is not known/],
  [['ip-addr.txt', 'ip-route.txt', 'ip-neigh.txt'], /its devices are not known/],
  [['sysctl.txt'], /no sysctl -a: it is taken to forward/],
  [['ip-neigh.txt'], /no ip neigh: every neighbour is taken to answer/],
  [['uname.txt'], /no uname -r/],
];

t.test('each missing part is said', async (t) => {
  for (const [missing, said] of MISSING) {
    const { warnings } = readDump('n', files(without(...missing)));
    t.match(warnings.map((w) => w.message).join('\n'), said, missing.join(', '));
  }
});

/** From the pod to another address: outcome and reason. */
function sent(texts: Texts, to: string): string {
  const world = dumpWorld([readDump('node-a', files(texts))]);
  const packet = tcp().from('10.244.0.2', 40000).to(to, 80).syn().packet();
  const place = { as: 'received', host: 'node-a', device: 'veth1', packet } as const;
  const { outcome, reason } = world.engine.inject({ ...place, frame: 1, nowNs: 0 });
  return reason === null ? outcome : `${outcome} ${reason}`;
}

t.test('what a missing part would decide has no verdict', async (t) => {
  t.equal(sent(WHOLE, '203.0.113.1'), 'exited');
  t.equal(sent(without('iptables-save.txt'), '203.0.113.1'), 'unknown dumpIncomplete');
  t.equal(sent(without('ip-route.txt'), '203.0.113.1'), 'unknown dumpIncomplete');
  t.equal(sent(without('ip-route.txt'), '10.1.0.4'), 'delivered', 'its own address is known');
  t.equal(sent(without('ip-addr.txt'), '203.0.113.1'), 'exited', 'the route is known');
  t.equal(sent(without('sysctl.txt', 'ip-neigh.txt', 'uname.txt'), '203.0.113.1'), 'exited');
  const elsewhere: Texts = {
    ...WHOLE,
    'ip-route.txt': ROUTE.replace('10.244.0.2 dev veth1', '10.244.0.9 dev veth1'),
  };
  t.equal(sent(elsewhere, '203.0.113.1'), 'exited', 'its answers go another way');
  const { 'sysctl.txt': _, ...open } = elsewhere;
  t.equal(sent(open, '203.0.113.1'), 'unknown dumpIncomplete', 'rp_filter might be on');
});

t.test('rules that ask what is not known are not judged; the others are', async (t) => {
  const rules = (rule: string) => lines('*filter', ':FORWARD ACCEPT [0:0]', rule, 'COMMIT');
  const judged = (rule: string, texts: Texts = {}) =>
    sent(
      { ...without('ipset-save.txt'), ...texts, 'iptables-save.txt': rules(rule) },
      '203.0.113.1',
    );
  t.equal(judged('-A FORWARD -p tcp -j DROP'), 'dropped ruleDenied');
  t.equal(judged('-A FORWARD -m set --match-set pods src -j DROP'), 'unknown dumpIncomplete');
  t.equal(judged('-A FORWARD -p udp -m set --match-set pods src -j DROP'), 'exited');
  t.equal(judged('-A FORWARD -m set --match-set pods src -j LOG'), 'exited', 'decides nothing');
});

t.test('devices that nobody listed match no name, and miss none', async (t) => {
  const rules = lines(
    '*raw',
    ':PREROUTING ACCEPT [0:0]',
    '-A PREROUTING -i lo -j DROP',
    '-A PREROUTING -p udp -i eth0 -j DROP',
    '-A PREROUTING -p icmp -j DROP',
    '-A PREROUTING -p tcp -i eth0 -j DROP',
    'COMMIT',
  );
  const world = dumpWorld([readDump('node-a', files({ 'iptables-save.txt': rules }))]);
  const packet = tcp().from('203.0.113.1', 40000).to('10.0.0.1', 80).syn().packet();
  const at = { as: 'received', host: 'node-a', device: 'uplink?', frame: 1, nowNs: 0 } as const;
  const journey = world.engine.inject({ ...at, packet });
  t.strictSame([journey.outcome, journey.reason], ['unknown', 'dumpIncomplete']);
  t.equal(journey.decision?.rule?.index, 4, 'the rule that would have decided');
});

t.test('without rules of its bridges, what crosses one has no verdict', async (t) => {
  const bridge: Texts = {
    'ip-addr.txt': lines(
      LO,
      device(2, 'eth0', ['10.1.0.4/16']),
      device(3, 'br0', ['10.9.0.1/24'], { kind: 'bridge' }),
      device(4, 'p1', [], { peer: 'if2', master: 'br0' }),
    ),
    'ip-route.txt': lines('default via 10.1.0.1 dev eth0 ', '10.9.0.0/24 dev br0 scope link '),
  };
  const packet = tcp().from('203.0.113.1', 40000).to('10.9.0.2', 80).syn().packet();
  t.equal(send(oneNode(bridge), packet, '203.0.113.1').outcome, 'exited');
  const { 'ebtables-save.txt': _, ...rest } = { ...PLAIN, ...bridge };
  const node = readDump('node-a', files(rest));
  t.match(
    node.warnings.map((w) => w.message),
    ['no ebtables-save: the rules of its bridges are not known'],
  );
  const { outcome, reason } = send(dumpWorld([node]), packet, '203.0.113.1');
  t.strictSame([outcome, reason], ['unknown', 'dumpIncomplete']);
});
