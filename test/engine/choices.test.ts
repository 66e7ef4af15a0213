/**
 * What a new connection's draws decide: one choice a connection, the same on every stack; all the
 * ways it could have fallen; and what is known of it followed.
 * @module
 */
import t from 'tap';
import type { Course, Journey } from '../../src/engine/engine.ts';
import type { ReferenceEngine } from '../../src/engine/reference.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import { engineOf, hostPlan, iface, route } from '../support/hosts.ts';
import { address, tcp } from '../support/packets.ts';

const HEAD = '*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n';

/** Three backends as kube-proxy writes them: a chain of draws, a chain a backend. */
const CHAINS = `${HEAD}:SVC - [0:0]
:A - [0:0]
:B - [0:0]
:C - [0:0]
-A PREROUTING -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j SVC
-A SVC -m statistic --mode random --probability 0.33333333349 -j A
-A SVC -m statistic --mode random --probability 0.50000000000 -j B
-A SVC -j C
-A A -p tcp -j DNAT --to-destination 10.0.1.1:8080
-A B -p tcp -j DNAT --to-destination 10.0.1.2:8080
-A C -p tcp -j DNAT --to-destination 10.0.1.3:8080
-A POSTROUTING -d 10.0.1.0/24 -j MASQUERADE --random-fully
COMMIT
`;

/** The same said otherwise: the draws where the packet comes in, and one that is asked in vain. */
const FLAT = `${HEAD}:LB - [0:0]
-A PREROUTING -d 172.30.0.9/32 -m statistic --mode random --probability 0.5 -j RETURN
-A PREROUTING -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j LB
-A LB -p tcp -m statistic --mode random --probability 0.33333333349 -j DNAT --to-destination 10.0.1.1:8080
-A LB -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.1.2:8080
-A LB -p tcp -j DNAT --to-destination 10.0.1.3:8080
COMMIT
`;

const DENY = `*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -d 10.0.1.2/32 -j DROP
COMMIT
`;

function router(iptables: string, seed = 1): ReferenceEngine {
  const plan = hostPlan('router', {
    interfaces: [
      iface('in', '02:00:00:00:01:01', { addresses: ['10.0.0.254/24'] }),
      iface('out', '02:00:00:00:01:02', { addresses: ['10.0.1.254/24'] }),
    ],
    routes: [route('10.0.0.0/24', { device: 'in' }), route('10.0.1.0/24', { device: 'out' })],
    neighbors: [1, 2, 3].map((n) => [`10.0.1.${n}`, 'out', `02:00:00:00:02:0${n}`] as const),
    sysctls: { 'net.ipv4.ip_forward': '1' },
    iptables,
  });
  return engineOf([plan], [], { seed });
}

function syn(sport: number) {
  const packet = tcp().from('10.0.0.1', sport).to('172.30.0.1', 80).syn().packet();
  return { as: 'received', host: 'router', device: 'in', frame: sport, nowNs: 0, packet } as const;
}

/** Address and ports with which it went on. */
function target(journey: Journey): string {
  const { packet } = journey;
  return packet === null ? '-' : formatAddress(ipv4.dst(packet, 0));
}

function sourcePort({ packet }: Journey): number {
  const at = packet === null ? 0 : ipv4.headerLength(packet, 0);
  return ((packet?.[at] ?? 0) << 8) | (packet?.[at + 1] ?? 0);
}

const PORTS = Array.from({ length: 600 }, (_, i) => 30_000 + i);

t.test('a connection takes the n-th of n whatever the rules look like', async (t) => {
  const chains = router(CHAINS);
  const flat = router(FLAT);
  const taken = PORTS.map((port) => target(chains.inject(syn(port))));
  t.same(
    PORTS.map((port) => target(flat.inject(syn(port)))),
    taken,
  );
  for (const n of [1, 2, 3]) {
    const share = taken.filter((dst) => dst === `10.0.1.${n}`).length;
    t.ok(share > 150 && share < 250, `backend ${n} took ${share} of 600`);
  }
  const [again, other] = [router(CHAINS), router(CHAINS, 2)].map((engine) =>
    PORTS.map((port) => target(engine.inject(syn(port)))),
  );
  t.same(again, taken, 'the same seed');
  t.notSame(other, taken, 'another seed');
});

t.test('an opening that is sent again takes the same backend', async (t) => {
  const engine = router(`${CHAINS}${DENY}`);
  for (const port of PORTS.slice(0, 50)) {
    t.equal(target(engine.inject(syn(port))), target(engine.inject({ ...syn(port), frame: 1 })));
  }
});

t.test('the courses of a connection are its backends, with their probabilities', async (t) => {
  const engine = router(`${CHAINS}${DENY}`);
  const { courses, complete } = engine.courses(syn(40_000), () => null);
  t.ok(complete);
  const rows = courses.map((c) => [target(c.forward), c.forward.outcome, c.probability] as const);
  t.same(rows.map(([dst, outcome]) => `${dst} ${outcome}`).sort(), [
    '10.0.1.1 exited',
    '10.0.1.2 dropped',
    '10.0.1.3 exited',
  ]);
  for (const [, , probability] of rows) t.ok(Math.abs(probability - 1 / 3) < 1e-6);
  t.equal(rows[0]?.[0], target(engine.inject(syn(40_000))), 'the first is the one it takes');
  t.same(engine.connections('router').length, rows[0]?.[1] === 'dropped' ? 0 : 1);
});

t.test('a course can be prescribed, and what is not drawn has one', async (t) => {
  const engine = router(CHAINS);
  const all = engine.courses(syn(41_000), () => null).courses;
  const follow = (course: Course, port: number) =>
    target(engine.inject({ ...syn(port), choices: { draws: course.draws } }));
  t.same(
    all.map((course, i) => follow(course, 41_100 + i)),
    all.map((course) => target(course.forward)),
  );
  const packet = tcp().from('10.0.0.1', 1).to('10.0.1.2', 80).syn().packet();
  const direct = engine.courses({ ...syn(1), packet }, () => null).courses;
  t.match(direct, [{ probability: 1, draws: [], reply: null }]);
  t.equal(direct.length, 1);
});

t.test('the answer belongs to the same trial', async (t) => {
  const engine = router(CHAINS);
  const { courses } = engine.courses(syn(42_000), (forward) => {
    const from = target(forward);
    const packet = tcp().from(from, 8080).to('10.0.1.254', sourcePort(forward)).syn().ack(1);
    return { ...syn(42_000), device: 'out', packet: packet.packet() };
  });
  t.equal(courses.length, 3);
  for (const { reply } of courses) {
    const { packet } = reply ?? {};
    t.equal(packet && formatAddress(ipv4.src(packet, 0)), '172.30.0.1', 'as from the Service');
    t.equal(packet && formatAddress(ipv4.dst(packet, 0)), '10.0.0.1', 'to the client');
  }
});

t.test('a source port that somebody saw is taken where one must be searched', async (t) => {
  const engine = router(CHAINS);
  const source = { address: address('10.0.1.254'), port: 51_234 };
  t.equal(sourcePort(engine.inject({ ...syn(43_000), choices: { source } })), 51_234);
  const elsewhere = { address: address('192.0.2.1'), port: 51_235 };
  const other = engine.inject({ ...syn(43_001), choices: { source: elsewhere } });
  t.not(sourcePort(other), 51_235, 'it was seen behind another address');
});
