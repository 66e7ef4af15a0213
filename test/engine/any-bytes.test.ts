/**
 * Laws of the engine: any bytes at any device end in exactly one outcome, and nothing throws; the
 * same packets give the same journeys.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { Injection, Journey } from '../../src/engine/engine.ts';
import { parseEbtables } from '../../src/plan/ebtables/parser.ts';
import type { Plan } from '../../src/plan/model.ts';
import { engineOf, hostPlan, iface, inject, link, route } from '../support/hosts.ts';
import { icmpEcho, icmpError, tcp, udp } from '../support/packets.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20_240_611);
const RUNS = Number(process.env['FC_RUNS'] ?? 400);

const BRIDGE = '02:00:00:00:0b:00';
const POD = '02:00:00:00:00:10';

const RULES = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset
-A FORWARD -p udp -m udp --dport 82 -j REJECT --reject-with ADMIN
COMMIT
`;
const NAT = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.10:8080
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
`;

function plans(): Plan[] {
  const node = hostPlan('node', {
    interfaces: [
      iface('br0', BRIDGE, { kind: 'bridge', addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('p0', '02:00:00:00:01:10', { master: 'br0', hairpin: true }),
      iface('p1', '02:00:00:00:01:11', { master: 'br0' }),
      iface('eth0', '02:00:00:00:02:00', { kind: 'physical', addresses: ['192.168.0.1/24'] }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('2001:db8:1::/64', { device: 'br0' }),
      route('192.168.0.0/24', { device: 'eth0', source: '192.168.0.1' }),
      route('0.0.0.0/0', { device: 'eth0', via: '192.168.0.254' }),
    ],
    neighbors: [
      ['10.1.0.10', 'br0', POD],
      ['2001:db8:1::10', 'br0', POD],
      ['192.168.0.254', 'eth0', '02:00:00:00:00:fe'],
    ],
    sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
    iptables: RULES.replace('ADMIN', 'icmp-admin-prohibited') + NAT,
    ip6tables: RULES.replace('ADMIN', 'icmp6-adm-prohibited'),
    extend: (builder) => {
      builder.fdb.push({ mac: POD, bridge: 'br0', port: 'p0', kind: 'learned' });
      builder.ebtables.push(
        ...parseEbtables(
          '*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n' +
            '-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.1.0.10 -j arpreply ' +
            `--arpreply-mac ${POD} --arpreply-target DROP\n` +
            '-A PREROUTING -p IPv4 -i p1 --ip-dst 10.1.0.10 -j dnat ' +
            `--to-dst ${POD} --dnat-target ACCEPT\n`,
          'test',
        ),
      );
    },
  });
  const pod = hostPlan('pod', {
    role: 'pod',
    interfaces: [iface('eth0', POD, { addresses: ['10.1.0.10/24', '2001:db8:1::10/64'] })],
    routes: [
      route('10.1.0.0/24', { device: 'eth0', source: '10.1.0.10' }),
      route('0.0.0.0/0', { device: 'eth0', via: '10.1.0.1' }),
      route('2001:db8:1::/64', { device: 'eth0' }),
    ],
  });
  return [node, pod];
}

const engine = () => engineOf(plans(), [link('pod/eth0', 'node/p0')]);

const DEVICES = ['node/p0', 'node/p1', 'node/eth0', 'node/br0', 'node/lo', 'pod/eth0'] as const;
const DESTINATIONS = [
  BRIDGE,
  POD,
  'ff:ff:ff:ff:ff:ff',
  '02:00:00:00:02:00',
  '02:00:00:00:01:10',
  '33:33:00:00:00:01',
  '01:80:c2:00:00:0e',
] as const;

const quoted = udp().from('10.1.0.10', 1).to('10.1.0.11', 2).packet();
const SEEDS = [
  tcp().from('10.1.0.10', 1).to('10.1.0.11', 81).syn(),
  tcp().from('10.1.0.10', 1).to('172.30.0.1', 80).syn(),
  udp().from('10.1.0.11', 1).to('10.1.0.10', 82).payload(40),
  udp().from('10.1.0.10', 1).to('192.168.0.7', 9).payload(2000).fragment(0, true, 1400),
  udp().from('2001:db8:1::10', 1).to('2001:db8:1::11', 82).payload(9),
  tcp().from('2001:db8:1::11', 1).to('2001:db8:1::10', 81).ack(1),
  icmpEcho().from('192.168.0.254').to('10.1.0.10').ttl(1),
  icmpError(quoted).from('192.168.0.9').to('10.1.0.10'),
];

/** Frames that were right once: some bytes changed, some cut off. */
const nearFrame = fc
  .tuple(
    fc.constantFrom(...SEEDS),
    fc.constantFrom(...DESTINATIONS),
    fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 3 }),
    fc.nat(60),
  )
  .map(([packet, dstMac, edits, cut]) => {
    const frame = packet.frame({ srcMac: '02:00:00:00:00:77', dstMac });
    for (const [at, value] of edits) if (at < frame.length) frame[at] = value;
    return cut < 20 ? frame.subarray(0, frame.length - cut) : frame;
  });
const anyFrame = fc.oneof(fc.uint8Array({ maxLength: 200 }), nearFrame, nearFrame, nearFrame);

const injection: fc.Arbitrary<Injection> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...DEVICES), anyFrame, fc.nat(30), fc.boolean())
    .map(([at, frame, more, trace]) => ({
      ...inject.frame(at, frame),
      wireLength: frame.length + (more < 25 ? 0 : more),
      trace,
    })),
  fc
    .tuple(fc.constantFrom('node', 'pod'), anyFrame)
    .map(([host, frame]) => inject.local(host, frame.subarray(14))),
  fc
    .tuple(fc.constantFrom(...DEVICES), anyFrame)
    .map(([at, frame]) => inject.received(at, frame.subarray(14))),
);

const OUTCOMES = new Set(['delivered', 'exited', 'dropped', 'consumed', 'unknown']);

/** Every journey of the tree is one whole end. */
function isWhole(journey: Journey): boolean {
  const needsReason = journey.outcome === 'dropped' || journey.outcome === 'unknown';
  return (
    OUTCOMES.has(journey.outcome) &&
    needsReason === (journey.reason !== null) &&
    journey.copies.every(isWhole) &&
    journey.generated.every((made) => isWhole(made.journey))
  );
}

t.test('any bytes at any device end once, and nothing throws', async (t) => {
  const shared = engine();
  const ends = new Map<string, number>();
  fc.assert(
    fc.property(injection, (one) => {
      const journey = shared.inject(one);
      const key = `${journey.outcome} ${journey.reason ?? ''}`;
      ends.set(key, (ends.get(key) ?? 0) + 1);
      return isWhole(journey);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  t.ok(ends.size > 10, `many kinds of end were met: ${[...ends.keys()].sort().join(', ')}`);
});

t.test('the same packets give the same journeys, traced or not', async (t) => {
  fc.assert(
    fc.property(fc.array(injection, { maxLength: 12 }), (list) => {
      const [a, b] = [engine(), engine()];
      return list.every((one) => {
        const traced = a.inject({ ...one, trace: true });
        const plain = b.inject({ ...one, trace: false });
        const same = traced.outcome === plain.outcome && traced.reason === plain.reason;
        const bytes = (j: Journey) => Buffer.from(j.packet ?? []).toString('hex');
        return same && bytes(traced) === bytes(plain) && traced.steps.length === plain.steps.length;
      });
    }),
    { seed: SEED, numRuns: Math.ceil(RUNS / 10) },
  );
  t.pass('equal');
});

t.test('a diagnosis leaves nothing behind', async (t) => {
  fc.assert(
    fc.property(fc.array(injection, { maxLength: 12 }), (list) => {
      const [plain, diagnosed] = [engine(), engine()];
      for (const one of list) {
        plain.inject(one);
        diagnosed.inject({ ...one, walkPastPolicyDrops: true });
        diagnosed.inject(one);
      }
      const state = (e: typeof plain) =>
        JSON.stringify([
          ['node', 'pod'].map((host) => [...e.counters(host)]),
          ['node', 'pod'].map((host) => e.connections(host)),
        ]);
      return state(plain) === state(diagnosed);
    }),
    { seed: SEED, numRuns: Math.ceil(RUNS / 10) },
  );
  t.pass('equal');
});
