/**
 * How packets that were put together leave a host again: as they came, unless something wrote into
 * them or shares them. Needs root.
 * @module
 */
import t from 'tap';
import { icmpEcho, type PacketBuilder, rawIp, tcp, udp } from '../../support/packets.ts';
import { BRIDGE, bridged, ETH0, M1, M2, Question, router, skip, table } from './found-lab.ts';

const TRACKED = table('filter', ['FORWARD'], '-A FORWARD -m conntrack --ctstate NEW\n');
const SNAT = table(
  'nat',
  ['POSTROUTING'],
  '-A POSTROUTING -s 10.1.0.2 -j SNAT --to-source 10.2.0.1\n',
);
const MSS = table(
  'mangle',
  ['FORWARD'],
  '-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 500\n',
);
const LENGTHS = [
  [8, 8, 20],
  [8, 16, 8, 8],
  [16, 8, 16],
  [8, 24, 4],
  [16, 24],
  [40, 8, 32],
];
const LENGTHS6 = [
  [24, 8, 8],
  [24, 24, 40],
  [32, 8, 16],
  [1000, 1000, 80],
  [1232, 1232, 100],
];

type Make = (length: number) => PacketBuilder;
const MAKE: Readonly<Record<string, Make>> = {
  tcp: (n) =>
    tcp()
      .syn()
      .payload(Math.max(0, n - 20)),
  udp: (n) => udp().payload(n - 8),
  icmp: (n) => icmpEcho(3, 1).payload(n - 8),
  gre: (n) => rawIp(47).payload(new Uint8Array(n)),
};

function cut(whole: PacketBuilder, lengths: readonly number[], dstMac: string): Uint8Array[] {
  let offset = 0;
  return lengths.map((length, i) => {
    const piece = whole.fragment(offset, i < lengths.length - 1, length);
    offset += length;
    return piece.frame({ srcMac: M1, dstMac });
  });
}

t.setTimeout(600_000);

t.test('uneven IPv4 fragments through a router', { skip }, async (t) => {
  const ask = new Question(t);
  for (const [rules, iptables] of Object.entries({ tracked: TRACKED, SNAT, MSS: TRACKED + MSS })) {
    for (const [protocol, make] of Object.entries(MAKE)) {
      if (rules === 'MSS' && protocol !== 'tcp') continue;
      for (const lengths of LENGTHS) {
        const total = lengths.reduce((a, b) => a + b);
        const whole = make(total).from('10.1.0.2', 4000).to('10.2.0.2', 80);
        const sent = cut(whole, lengths, ETH0).map((frame) => ['eth0', frame] as const);
        await ask.agree(`${rules} ${protocol} ${lengths}`, router({ iptables }), sent);
      }
    }
  }
});

t.test('uneven IPv4 fragments over a bridge, flooded, known and up', { skip }, async (t) => {
  const ask = new Question(t);
  for (const protocol of ['tcp', 'udp']) {
    for (const lengths of LENGTHS) {
      for (const dstMac of ['01:00:5e:01:02:03', M2, BRIDGE]) {
        const total = lengths.reduce((a, b) => a + b);
        const to = dstMac === BRIDGE ? '203.0.113.9' : '10.1.0.12';
        const whole = MAKE[protocol]!(total).from('10.1.0.11', 4000).to(to, 80);
        const sent = cut(whole, lengths, dstMac).map((frame) => ['p1', frame] as const);
        await ask.agree(`${protocol} ${lengths} ${dstMac}`, bridged({ iptables: TRACKED }), sent);
      }
    }
  }
});

t.test('small IPv6 fragments, routed and bridged', { skip }, async (t) => {
  const ask = new Question(t);
  for (const ip6tables of [TRACKED, TRACKED + MSS]) {
    for (const lengths of LENGTHS6) {
      const total = lengths.reduce((a, b) => a + b);
      const routed = MAKE['tcp']!(total).from('2001:db8:1::2', 4000).to('2001:db8:2::2', 80);
      const way = cut(routed, lengths, ETH0).map((frame) => ['eth0', frame] as const);
      await ask.agree(`routed ${lengths}`, router({ ip6tables }), way);
      const local = MAKE['tcp']!(total).from('fd00:b::11', 4000).to('fd00:b::12', 80);
      for (const dstMac of [M2, '33:33:00:00:00:99']) {
        const sent = cut(local, lengths, dstMac).map((frame) => ['p1', frame] as const);
        await ask.agree(`bridged ${lengths} ${dstMac}`, bridged({ ip6tables }), sent);
      }
    }
  }
});
