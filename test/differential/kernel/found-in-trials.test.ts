/**
 * Packets of generated trials in which engine and kernel once differed: pieces of IPv6 and SCTP that
 * are not cut as they should be, answers to packets with options, answers that have no way. Needs
 * root.
 * @module
 */
import t from 'tap';
import { route } from '../../support/hosts.ts';
import {
  address,
  icmpEcho,
  icmpMessage,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import {
  BRIDGE,
  bridged,
  ETH0,
  ETH1,
  M1,
  M2,
  Question,
  router,
  type Sent,
  skip,
  states,
  table,
  withExtension,
  withOptions,
} from './found-lab.ts';

const TRACKED = table('filter', ['FORWARD'], states('FORWARD'));

t.setTimeout(600_000);

t.test('IPv6 pieces with more to come that are no multiple of eight bytes', { skip }, async (t) => {
  const ask = new Question(t);
  const whole = tcp().from('2001:db8:1::2', 4000).to('2001:db8:2::2', 80).syn().payload(100);
  const macs = { srcMac: M1, dstMac: ETH0 };
  const piece = (offset: number, more: boolean, length: number): Sent => {
    return ['eth0', whole.fragment(offset, more, length).frame(macs)];
  };
  const odd = piece(0, true, 60);
  const pieces = [piece(0, true, 64), piece(64, false, 56)];
  const ip6tables = TRACKED;
  await ask.agree('goes on as it is', router({ ip6tables }), [odd]);
  await ask.agree('not the first', router({ ip6tables }), [piece(64, true, 20)]);
  const [first, last] = pieces as [Sent, Sent];
  await ask.agree('ends the datagram', router({ ip6tables }), [first, odd, last]);
  await ask.agree('and one later', router({ ip6tables }), [odd, first, last]);
});

t.test('SCTP in small pieces', { skip }, async (t) => {
  const ask = new Question(t);
  const chunk = sctpInit(0x1234);
  const macs = { srcMac: M1, dstMac: ETH0 };
  for (const [from, to] of [
    ['2001:db8:1::2', '2001:db8:2::2'],
    ['10.1.0.2', '10.2.0.2'],
  ] as const) {
    const whole = sctp().from(from, 4000).to(to, 80).tag(0).chunks(chunk);
    for (const size of [8, 16, 24]) {
      const sent: Sent[] = [];
      for (let at = 0; at < 32; at += size) {
        const isLast = at + size >= 32;
        sent.push(['eth0', whole.fragment(at, !isLast, isLast ? 32 - at : size).frame(macs)]);
      }
      const rules = from.includes(':') ? { ip6tables: TRACKED } : { iptables: TRACKED };
      await ask.agree(`${from} ${size}`, router(rules), sent);
    }
  }
});

t.test('IPv6 pieces over a bridge that also keeps a copy', { skip }, async (t) => {
  const ask = new Question(t);
  const learn = udp().from('fd00:b::12', 1).to('fd00:b::11', 2);
  const known: Sent = ['p2', learn.frame({ srcMac: M2, dstMac: M1 })];
  for (const lengths of [
    [1200, 320],
    [1000, 1000, 80],
    [64, 1232, 400],
  ]) {
    const total = lengths.reduce((a, b) => a + b);
    const whole = tcp()
      .from('fd00:b::11', 4000)
      .to('fd00:b::12', 80)
      .syn()
      .payload(total - 20);
    let at = 0;
    const sent = lengths.map((length, i): Sent => {
      const piece = whole.fragment(at, i < lengths.length - 1, length);
      at += length;
      return ['p1', piece.frame({ srcMac: M1, dstMac: M2 })];
    });
    for (const promiscuous of [false, true]) {
      const plan = bridged({ ip6tables: TRACKED, promiscuous });
      await ask.agree(`${lengths} ${promiscuous}`, plan, sent);
      await ask.agree(`${lengths} ${promiscuous}, known`, plan, [known, ...sent]);
    }
  }
});

t.test('REJECT of packets with options that still have room', { skip }, async (t) => {
  const ask = new Question(t);
  const iptables = table(
    'filter',
    ['FORWARD', 'OUTPUT'],
    `-A FORWARD -j REJECT --reject-with icmp-admin-prohibited\n-A OUTPUT\n${states('OUTPUT')}`,
  );
  for (const options of [
    `070b04${'00'.repeat(9)}`,
    '01070300',
    `070b080a010001${'00'.repeat(5)}`,
  ]) {
    const frame = withOptions(
      udp().from('10.1.0.12', 4000).to('10.1.0.13', 80).frame({ srcMac: M2, dstMac: BRIDGE }),
      options,
    );
    await ask.agree(`bridged ${options}`, bridged({ iptables }), [['p2', frame]]);
    const way = withOptions(
      tcp().syn().from('10.1.0.2', 4000).to('10.2.0.2', 80).frame({ srcMac: M1, dstMac: ETH0 }),
      options,
    );
    await ask.agree(`routed ${options}`, router({ iptables }), [['eth0', way]]);
    const self = withOptions(
      tcp().syn().from('10.1.0.2', 4000).to('10.1.0.3', 80).frame({ srcMac: M1, dstMac: ETH0 }),
      options,
    );
    await ask.agree(`back ${options}`, router({ iptables }), [['eth0', self]]);
  }
});

t.test('REJECT in INPUT of what was for everybody, on a bridge', { skip }, async (t) => {
  const ask = new Question(t);
  const iptables = table(
    'filter',
    ['INPUT'],
    '-A INPUT -j REJECT --reject-with icmp-host-prohibited\n',
  );
  const frame = tcp().syn().from('10.1.0.11', 4000).to('255.255.255.255', 81);
  for (const dstMac of [BRIDGE, 'ff:ff:ff:ff:ff:ff']) {
    await ask.agree(dstMac, bridged({ iptables }), [['p1', frame.frame({ srcMac: M1, dstMac })]]);
  }
});

t.test('answers to packets from nobody, and to nobody', { skip }, async (t) => {
  const ask = new Question(t);
  const iptables = table(
    'filter',
    ['FORWARD', 'OUTPUT'],
    '-A FORWARD -j REJECT --reject-with icmp-proto-unreachable\n-A OUTPUT\n',
  );
  for (const [from, to] of [
    ['0.0.0.0', '0.0.0.0'],
    ['0.0.0.0', '10.1.0.12'],
    ['10.1.0.12', '0.0.0.0'],
  ] as const) {
    const frame = udp().from(from, 4000).to(to, 81);
    await ask.agree(`${from} ${to}`, bridged({ iptables }), [
      ['p2', frame.frame({ srcMac: M2, dstMac: M1 })],
    ]);
  }
});

t.test('REJECT of packets whose bytes sum up to nothing', { skip }, async (t) => {
  const ask = new Question(t);
  const iptables = table('filter', ['FORWARD'], '-A FORWARD -j REJECT\n');
  for (const protocol of [0, 99]) {
    for (const payload of [0, 4]) {
      const frame = rawIp(protocol).payload(new Uint8Array(payload));
      const way = frame.from('10.1.0.2').to('10.2.0.2').frame({ srcMac: M1, dstMac: ETH0 });
      await ask.agree(`${protocol} ${payload}`, router({ iptables }), [['eth0', way]]);
      const none = frame.from('0.0.0.0').to('0.0.0.0').frame({ srcMac: M2, dstMac: M1 });
      const output = table('raw', ['OUTPUT'], '-A OUTPUT\n') + iptables;
      await ask.agree(`nobody ${protocol} ${payload}`, bridged({ iptables: output }), [
        ['p2', none],
      ]);
    }
  }
});

const HOP_BY_HOP = '0000050200000100';

t.test('ICMPv6 errors that quote a packet with options', { skip }, async (t) => {
  const ask = new Question(t);
  const macs = { srcMac: M1, dstMac: ETH0 };
  const [from, to] = ['2001:db8:1::2', '2001:db8:2::2'];
  const body = Uint8Array.of(0, 0, 8, 0, 1, 2, 3, 4);
  for (const [name, base] of [
    ['gre', rawIp(47).payload(body)],
    ['none', rawIp(59).payload(body)],
    ['udp', udp().payload(8)],
    ['echo', icmpEcho(3, 1, { v6: true }).payload(8)],
  ] as const) {
    const named =
      name === 'udp' ? udp().payload(8).from(from, 4000).to(to, 80) : base.from(from).to(to);
    const asked = withExtension(named.frame(macs), 0, HOP_BY_HOP);
    for (const length of [40, 41, 42, 44, 48, 51, 52, 56]) {
      const quote = asked.slice(14, 14 + length);
      const error = icmpMessage(1, 1, 0).payload(quote).from(to).to(from);
      await ask.agree(`${name} ${length}`, router({ ip6tables: TRACKED }), [
        ['eth0', asked],
        ['eth1', error.frame({ srcMac: M2, dstMac: ETH1 })],
      ]);
    }
  }
});

t.test('no error about an ICMPv6 message without a type', { skip }, async (t) => {
  const ask = new Question(t);
  const frame = rawIp(58).from('2001:db8:1::2').to('2001:db8:2::2').ttl(1);
  const macs = { srcMac: M1, dstMac: ETH0 };
  for (const length of [0, 1, 4]) {
    const short = frame.payload(new Uint8Array(length).fill(128)).frame(macs);
    for (const padding of [0, 8]) {
      const padded = Uint8Array.from([...short, ...new Uint8Array(padding)]);
      await ask.agree(`${length}, ${padding} behind`, router({}), [['eth0', padded]]);
    }
  }
});

t.test(
  'errors about packets to ::1 and to link-local addresses on a bridge',
  { skip },
  async (t) => {
    const ask = new Question(t);
    const ip6tables = table('filter', ['FORWARD'], '-A FORWARD -j REJECT\n');
    for (const to of ['::1', 'fd00:b::1', 'fd00:a::1', 'fe80::1']) {
      const frame = udp().from('fd00:b::11', 4000).to(to, 80).frame({ srcMac: M1, dstMac: M2 });
      await ask.agree(to, bridged({ ip6tables }), [['p1', frame]]);
    }
  },
);

t.test('errors of translated connections are routed again, by their mark', { skip }, async (t) => {
  const ask = new Question(t);
  const mark = table('raw', ['OUTPUT'], '-A OUTPUT -j MARK --set-mark 3\n');
  const nat = '-A POSTROUTING -o eth1 -j MASQUERADE\n';
  const whole = udp().from('10.1.0.2', 4000).to('10.2.0.2', 80);
  const sent = [64, 1].map((ttl): Sent => {
    return ['eth0', whole.ttl(ttl).frame({ srcMac: M1, dstMac: ETH0 })];
  });
  for (const rules of ['', nat]) {
    const plan = router({ iptables: mark + table('nat', ['POSTROUTING'], rules) });
    const away = { ...route('10.1.0.0/24', { device: 'eth1' }), table: 100 };
    const byMark = {
      family: 4,
      preference: 50,
      table: 100,
      fwmark: { value: 3, mask: 3 },
    } as const;
    const there = {
      address: address('10.1.0.2'),
      device: 'eth1',
      mac: M2,
      state: 'permanent',
    } as const;
    await ask.agree(
      rules,
      {
        ...plan,
        routes: [...plan.routes, away],
        routingRules: [...plan.routingRules, byMark],
        neighbors: [...plan.neighbors, there],
      },
      sent,
    );
  }
});

t.test('IPv6 from nobody goes back by the device it came in by', { skip }, async (t) => {
  const ask = new Question(t);
  for (const to of ['2001:db8:1::2', '2001:db8:1::9', '2001:db8:2::2']) {
    const frame = icmpEcho(3, 1, { v6: true }).from('::').to(to);
    const ip6tables =
      TRACKED + table('mangle', ['POSTROUTING'], '-A POSTROUTING -p icmpv6 --icmpv6-type 128\n');
    await ask.agree(to, router({ ip6tables }), [
      ['eth0', frame.frame({ srcMac: M1, dstMac: ETH0 })],
    ]);
  }
});
