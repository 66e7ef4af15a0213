/**
 * What a host says of its own accord: errors about untracked packets, errors to itself, resets and
 * what they do to connections, answers that are refused themselves. Needs root.
 * @module
 */
import t from 'tap';
import { tcp, udp } from '../../support/packets.ts';
import {
  ETH0,
  ETH1,
  M1,
  M2,
  QUIET,
  Question,
  router,
  type Sent,
  skip,
  states,
  table,
} from './found-lab.ts';

const toHost = { srcMac: M1, dstMac: ETH0 };
const SEEN = table('mangle', ['OUTPUT', 'POSTROUTING'], states('OUTPUT') + states('POSTROUTING'));

t.setTimeout(600_000);

t.test('an answer to an untracked packet can not be made untracked', { skip }, async (t) => {
  const ask = new Question(t);
  for (const before of ['', '-A PREROUTING -j CT --notrack\n']) {
    for (const after of ['', '-A OUTPUT -j CT --notrack\n']) {
      const raw = (more: string) => table('raw', ['PREROUTING', 'OUTPUT'], before + more + after);
      for (const refused of [
        '',
        '-A FORWARD -j REJECT\n',
        '-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n',
      ]) {
        const rules = SEEN + table('filter', ['FORWARD'], refused);
        const ttl = refused === '' ? 1 : 64;
        const frame4 = tcp().syn().from('10.1.0.2', 1).to('10.2.0.2', 2).ttl(ttl).frame(toHost);
        await ask.agree(`4 ${before}${after}${refused}`, router({ iptables: raw('') + rules }), [
          ['eth0', frame4],
        ]);
        const way6 = tcp().syn().from('2001:db8:1::2', 1).to('2001:db8:2::2', 2).ttl(ttl);
        const sent = [['eth0', way6.frame(toHost)]] as const;
        await ask.agree(
          `6 ${before}${after}${refused}`,
          router({ ip6tables: raw(QUIET) + rules }),
          sent,
        );
      }
    }
  }
});

t.test('an error to an address of the host itself comes from that address', { skip }, async (t) => {
  const ask = new Question(t);
  const own = '-A PREROUTING -s 2001:db8:1::1 -d 2001:db8:1::1\n-A PREROUTING -s 2001:db8:2::1\n';
  const ip6tables = table('mangle', ['PREROUTING'], own);
  for (const [device, dstMac] of [
    ['eth0', ETH0],
    ['eth1', ETH1],
  ] as const) {
    for (const from of ['2001:db8:1::1', '2001:db8:2::1']) {
      const frame = udp().from(from, 1).to('2001:db8:2::2', 2).ttl(1).frame({ srcMac: M1, dstMac });
      await ask.agree(`${from} by ${device}`, router({ ip6tables }), [[device, frame]]);
    }
  }
});

const client = (flags: number, seq: number, ack = 0, length = 0): Sent => {
  const segment = tcp().seq(seq).ack(ack).flags(flags).payload(length);
  return ['eth0', segment.from('10.1.0.2', 1000).to('10.2.0.2', 80).frame(toHost)];
};
const server = (flags: number, seq: number, ack = 0, length = 0): Sent => {
  const segment = tcp().seq(seq).ack(ack).flags(flags).payload(length);
  const macs = { srcMac: M2, dstMac: ETH1 };
  return ['eth1', segment.from('10.2.0.2', 80).to('10.1.0.2', 1000).frame(macs)];
};
const opened = [client(2, 100), server(0x12, 500, 101), client(0x10, 101, 501)];

/** By what a reset of REJECT's does to the connection afterwards. */
const CONVERSATIONS: Readonly<Record<string, readonly Sent[]>> = {
  'SYN after SYN': [client(2, 100), client(2, 200), client(2, 100)],
  'data, then a new SYN': [
    ...opened,
    client(0x18, 101, 501, 10),
    server(0x10, 501, 111),
    client(2, 9000),
    server(0x12, 700, 9001),
  ],
  'data of the server, then a new SYN': [
    ...opened,
    server(0x18, 501, 101, 10),
    client(2, 9000),
    client(0x10, 101, 511),
  ],
  'closed, then a new SYN': [
    ...opened,
    client(0x11, 101, 501),
    server(0x11, 501, 102),
    client(0x10, 102, 502),
    client(2, 9000),
  ],
  'picked up': [client(0x10, 5, 6), client(0x18, 5, 6, 20), server(0x10, 6, 25), client(2, 77)],
};

t.test('a reset of REJECT closes the connection it refuses', { skip }, async (t) => {
  const ask = new Question(t);
  const seen = `${states('PREROUTING')}-A PREROUTING -m conntrack --ctstatus ASSURED\n`;
  for (const which of [
    '-p tcp',
    '-p tcp -m length --length 50:2000',
    '-i eth1 -p tcp',
    '-p tcp -m tcp --tcp-flags FIN FIN',
    '-p tcp -m conntrack --ctstate ESTABLISHED',
  ]) {
    const rule = `-A FORWARD ${which} -j REJECT --reject-with tcp-reset\n`;
    const iptables =
      table('mangle', ['PREROUTING'], seen) +
      table('filter', ['FORWARD'], states('FORWARD') + rule);
    for (const [name, frames] of Object.entries(CONVERSATIONS)) {
      await ask.agree(`${which}: ${name}`, router({ iptables }), frames);
    }
  }
});

t.test('what a host answers may be refused in OUTPUT', { skip }, async (t) => {
  const ask = new Question(t);
  const rules =
    '-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n-A FORWARD -p udp -j REJECT\n' +
    '-A OUTPUT -j REJECT\n-A INPUT\n';
  const iptables = table('filter', ['INPUT', 'FORWARD', 'OUTPUT'], rules);
  const syn = tcp().syn().from('10.1.0.2', 1).to('10.2.0.2', 80);
  await ask.agree('a reset', router({ iptables }), [['eth0', syn.frame(toHost)]]);
  const left = ['eth0', syn.offloaded().frame(toHost), [34, 16]] as const;
  await ask.agree('a reset of a SYN without a sum', router({ iptables }), [left]);
  const datagram = udp().from('10.1.0.2', 1).to('10.2.0.2', 80);
  await ask.agree('an error', router({ iptables }), [['eth0', datagram.frame(toHost)]]);
  await ask.agree('TTL', router({ iptables }), [['eth0', datagram.ttl(1).frame(toHost)]]);
  const zero = udp().from('2001:db8:1::2', 1).to('2001:db8:2::2', 2).frame(toHost);
  zero.fill(0, 60, 62);
  const ip6tables = table('filter', ['FORWARD'], '-A FORWARD -j REJECT\n');
  await ask.agree('UDP of IPv6 without a sum', router({ ip6tables }), [['eth0', zero]]);
});

t.test(
  'the MSS of what comes from the host itself is that of its own loopback',
  { skip },
  async (t) => {
    const ask = new Question(t);
    const clamp =
      '-A POSTROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n';
    const ip6tables = table('mangle', ['POSTROUTING'], clamp);
    const options = Uint8Array.of(2, 4, 5, 180);
    for (const from of ['2001:db8:1::1', '2001:db8:2::1', '2001:db8:1::2']) {
      const syn = tcp().syn().tcpOptions(options).from(from, 1).to('2001:db8:2::2', 2);
      await ask.agree(from, router({ ip6tables }, 1400), [['eth0', syn.frame(toHost)]]);
    }
  },
);
