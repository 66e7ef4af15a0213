/**
 * IPv4 options and IPv6 extension headers, right and wrong, through routers and bridges. Timestamps
 * are left to full options: what a host writes into others is the time. Needs root.
 * @module
 */
import t from 'tap';
import { icmpEcho, tcp, udp } from '../../support/packets.ts';
import {
  BRIDGE,
  bridged,
  ETH0,
  M1,
  M2,
  Question,
  router,
  skip,
  states,
  table,
  withExtension,
  withOptions,
} from './found-lab.ts';

const COUNT =
  table('raw', ['PREROUTING'], '-A PREROUTING\n') +
  table('mangle', ['INPUT', 'FORWARD'], '-A INPUT\n-A FORWARD\n');
const REJECT = `${COUNT}${table('filter', ['FORWARD'], '-A FORWARD -j REJECT\n')}`;
const zeros = (n: number) => '00'.repeat(n);

const OPTIONS: Readonly<Record<string, string>> = {
  'no operation': '01010101',
  'junk behind the end': '00ff0102',
  'length 1': '07010000',
  'length past the header': '07050000',
  'no length': '01010107',
  'an unknown one': 'b9040101',
  'router alert': '94040000',
  'a short router alert': '94030000',
  'record route': `070704${zeros(5)}`,
  'record route, two places': `070b04${zeros(9)}`,
  'record route, half filled': `070b080a090909${zeros(5)}`,
  'record route, full': '0707080102030400',
  'record route, half a place': `070906${zeros(9)}`,
  'record route, impossible pointer': `070703${zeros(5)}`,
  'record route twice': `070704${zeros(4)}070704${zeros(6)}`,
  'loose source route': '8307040a02000300',
  'source routes twice': '8303048303040000',
  'timestamps, full': '4408090001020304',
  'timestamps, overflow': '440809f001020304',
  'timestamps of others': `440c05030a090909${zeros(4)}`,
  'timestamps, impossible pointer': `44080400${zeros(4)}`,
  CIPSO: '8608000000010000',
  'route and timestamps': `070704${zeros(5)}4408090001020304`,
};

t.setTimeout(600_000);

t.test('IPv4 options are read by who routes, and by no bridge', { skip }, async (t) => {
  const ask = new Question(t);
  const datagram = udp().payload(30);
  const toRouter = { srcMac: M1, dstMac: ETH0 };
  for (const [name, options] of Object.entries(OPTIONS)) {
    const way = datagram.from('10.1.0.2', 1);
    for (const [place, builder] of Object.entries({
      forwarded: way.to('10.2.0.2', 2),
      expired: way.to('10.2.0.2', 2).ttl(1),
      delivered: way.to('10.1.0.1', 2),
      unroutable: way.to('99.1.0.1', 2),
    })) {
      const frame = withOptions(builder.frame(toRouter), options);
      await ask.agree(`${name}, ${place}`, router({ iptables: COUNT }), [['eth0', frame]]);
    }
    const refused = withOptions(way.to('10.2.0.2', 2).frame(toRouter), options);
    await ask.agree(`${name}, refused`, router({ iptables: REJECT }), [['eth0', refused]]);
    const local = datagram.from('10.1.0.11', 1).to('10.1.0.12', 2);
    const frame = withOptions(local.frame({ srcMac: M1, dstMac: M2 }), options);
    await ask.agree(`${name}, bridged`, bridged({ iptables: REJECT }), [['p1', frame]]);
  }
});

t.test('later fragments keep only the options that say so', { skip }, async (t) => {
  const ask = new Question(t);
  const whole = udp().payload(40).from('10.1.0.2', 1).to('10.2.0.2', 2);
  const pieces = [
    whole.fragment(0, true, 24),
    whole.fragment(24, true, 16),
    whole.fragment(40, false, 8),
  ];
  for (const options of [`070704${zeros(5)}`, 'b9040101', `b9040101070708${zeros(5)}`]) {
    const sent = pieces.map((piece) => {
      const frame = piece.frame({ srcMac: M1, dstMac: ETH0 });
      return ['eth0', withOptions(frame, options)] as const;
    });
    const iptables = table('filter', ['FORWARD'], states('FORWARD'));
    await ask.agree(options, router({ iptables }), sent);
  }
});

const HOP_BY_HOP: Readonly<Record<string, string>> = {
  padding: '0000010400000000',
  'router alert': '0000050200000100',
  'a router alert of another length': '0000050400000000',
  'unknown, to be skipped': '00001e0400000000',
  'unknown, dropped': '00005e0400000000',
  'unknown, always answered': '00009e0400000000',
  'unknown, answered unless to a group': '0000de0400000000',
  'past the header': '0000050900000000',
  'padding that says something': '0000010400ff0000',
  'too much padding': '0001010c000000000000000000000000',
  'a jumbogram that is none': '0000c20400000000',
  'a jumbogram': '0000c20400010000',
  'nine options': `0002${'1e00'.repeat(9)}01020000`,
  'longer than the packet': '00ff000000000000',
  CALIPSO: '0001070a000000000000000000000100',
};

t.test('hop-by-hop options are read by every host, before its hooks', { skip }, async (t) => {
  const ask = new Question(t);
  for (const [name, header] of Object.entries(HOP_BY_HOP)) {
    for (const [to, dstMac] of [
      ['2001:db8:2::2', ETH0],
      ['2001:db8:1::1', ETH0],
      ['ff02::1', '33:33:00:00:00:01'],
      ['2001:db8:99::1', ETH0],
    ] as const) {
      const plain = udp()
        .payload(20)
        .from('2001:db8:1::2', 1)
        .to(to, 2)
        .frame({ srcMac: M1, dstMac });
      const sent = [['eth0', withExtension(plain, 0, header)]] as const;
      await ask.agree(`${name} to ${to}`, router({ ip6tables: COUNT }), sent);
    }
    for (const [to, dstMac] of [
      ['fd00:b::12', M2],
      ['fd00:b::1', BRIDGE],
    ] as const) {
      const plain = udp().payload(20).from('fd00:b::11', 1).to(to, 2).frame({ srcMac: M1, dstMac });
      const sent = [['p1', withExtension(plain, 0, header)]] as const;
      await ask.agree(`${name} bridged to ${to}`, bridged({ ip6tables: COUNT }), sent);
    }
  }
});

t.test('extension headers that run past the packet are stepped over', { skip }, async (t) => {
  const ask = new Question(t);
  const ip6tables = table(
    'mangle',
    ['PREROUTING', 'FORWARD'],
    `${states('PREROUTING')}-A FORWARD -p tcp\n-A FORWARD -p udp\n-A FORWARD -p ipv6-icmp\n`,
  );
  for (const [type, header] of [
    [60, '00ff010400000000'],
    [60, '0010010400000000'],
    [51, '0004000000000001000000010000000000000000000000ff'],
    [51, '00ff000000000001'],
    [43, '0009000000000000'],
    [43, '000200010000000020010db8000200000000000000000002'],
    [59, ''],
    [135, '0000000000000000'],
  ] as const) {
    for (const builder of [udp().payload(12), tcp().syn(), icmpEcho(3, 1, { v6: true })]) {
      const way = builder.from('2001:db8:1::2', 1).to('2001:db8:2::2', 2);
      const frame = withExtension(way.frame({ srcMac: M1, dstMac: ETH0 }), type, header);
      await ask.agree(`${type} ${header}`, router({ ip6tables }), [['eth0', frame]]);
    }
  }
});
