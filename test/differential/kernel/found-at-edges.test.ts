/**
 * Ends that packets seldom have, and what is said about them: nobody's addresses, everybody's, the
 * loopback's; options that a host filled in; marks before an answer is routed again; ebtables rules
 * that answer or rewrite more than once. Needs root.
 * @module
 */
import t from 'tap';
import type { Plan } from '../../../src/plan/model.ts';
import { route } from '../../support/hosts.ts';
import { arpRequest, icmpEcho, rawIp, tcp, udp } from '../../support/packets.ts';
import {
  BRIDGE,
  bridged,
  ETH0,
  M1,
  M2,
  M3,
  QUIET,
  Question,
  router,
  type Sent,
  skip,
  states,
  table,
  withOptions,
} from './found-lab.ts';

const toHost = { srcMac: M1, dstMac: ETH0 };
const between = { srcMac: M1, dstMac: M2 };
const toBridge = { srcMac: M1, dstMac: BRIDGE };
const ANSWERS = table(
  'mangle',
  ['OUTPUT', 'POSTROUTING'],
  states('OUTPUT') + states('POSTROUTING'),
);
const REFUSALS = ['icmp-port-unreachable', 'tcp-reset', 'icmp-host-prohibited'];

t.setTimeout(600_000);

t.test(
  'REJECT answers what has its route recorded, where conntrack summed it',
  { skip },
  async (t) => {
    const ask = new Question(t);
    const tracked = '-A PREROUTING -m conntrack --ctstate NEW\n';
    for (const before of ['', tracked, '-A PREROUTING -j CT --notrack\n']) {
      for (const refusal of REFUSALS) {
        const name = before.includes('notrack') ? 'raw' : 'mangle';
        const first = before === '' ? '' : table(name, ['PREROUTING'], before);
        const refuse = `-p tcp -j REJECT --reject-with ${refusal}\n`;
        const icmp = refusal === 'tcp-reset' ? '' : `-j REJECT --reject-with ${refusal}\n`;
        for (const chain of ['FORWARD', 'INPUT']) {
          const rules = [refuse, icmp].map((rule) => (rule === '' ? '' : `-A ${chain} ${rule}`));
          const iptables = first + table('filter', [chain], rules.join(''));
          const to = chain === 'INPUT' ? '10.1.0.1' : '10.2.0.2';
          const frames = [
            tcp().syn().from('10.1.0.2', 1).to(to, 2),
            tcp().flags(0x10).from('10.1.0.2', 3).to(to, 2),
            tcp().syn().from('10.1.0.2', 4).to(to, 2).badChecksum(),
            udp().from('10.1.0.2', 5).to(to, 2).payload(4),
            udp().from('10.1.0.2', 6).to(to, 2).payload(4).noChecksum(),
            icmpEcho(1, 1).from('10.1.0.2').to(to).payload(4),
            rawIp(47).from('10.1.0.2').to(to).payload(8),
            rawIp(99).from('10.1.0.2').to(to).payload(8),
          ].map(
            (one): Sent => ['eth0', withOptions(one.frame(toHost), '01070b040000000000000000')],
          );
          await ask.agree(`${before} ${refusal} ${chain}`, router({ iptables }), frames);
        }
      }
    }
  },
);

t.test('an answer to a packet without bytes', { skip }, async (t) => {
  const ask = new Question(t);
  const refused = '-A FORWARD -j REJECT --reject-with icmp-proto-unreachable\n';
  const iptables = ANSWERS + table('filter', ['FORWARD'], refused);
  for (const protocol of [0, 99, 47, 1, 6]) {
    for (const [from, to] of [
      ['0.0.0.0', '0.0.0.0'],
      ['10.1.0.11', '0.0.0.0'],
      ['0.0.0.0', '10.1.0.12'],
      ['10.1.0.11', '10.1.0.12'],
    ] as const) {
      for (const bytes of [new Uint8Array(0), new Uint8Array(8)]) {
        const frame = rawIp(protocol).from(from).to(to).payload(bytes).frame(between);
        await ask.agree(
          `${from} > ${to} protocol ${protocol}, ${bytes.length}`,
          bridged({ iptables }),
          [['p1', frame]],
        );
      }
    }
  }
});

t.test('what was for everybody on a bridge, and is refused', { skip }, async (t) => {
  const ask = new Question(t);
  for (const chain of ['FORWARD', 'INPUT']) {
    for (const how of ['icmp-host-prohibited', 'tcp-reset']) {
      const refused = `-A ${chain} -p tcp -j REJECT --reject-with ${how}\n`;
      const iptables = ANSWERS + table('filter', [chain], refused);
      for (const to of ['255.255.255.255', '10.1.0.255', '224.0.0.1', '239.1.2.3']) {
        for (const dstMac of [BRIDGE, M2, 'ff:ff:ff:ff:ff:ff', '02:00:00:00:99:99']) {
          if (to === '239.1.2.3' && chain === 'INPUT') continue;
          const frame = tcp().syn().from('10.1.0.11', 1).to(to, 2).frame({ srcMac: M1, dstMac });
          await ask.agree(`${chain} ${how} ${to} ${dstMac}`, bridged({ iptables }), [
            ['p1', frame],
          ]);
        }
      }
    }
  }
});

t.test('to and from ::1 and :: by a bridge', { skip }, async (t) => {
  const ask = new Question(t);
  const heard = table('raw', ['PREROUTING', 'OUTPUT'], QUIET);
  const seen = table('mangle', ['PREROUTING', 'OUTPUT'], states('PREROUTING') + states('OUTPUT'));
  const masquerade = table('nat', ['POSTROUTING'], '-A POSTROUTING -j MASQUERADE\n');
  for (const more of [
    seen,
    ...['icmp6-port-unreachable', 'tcp-reset'].map(
      (how) =>
        seen + table('filter', ['FORWARD'], `-A FORWARD -p tcp -j REJECT --reject-with ${how}\n`),
    ),
    masquerade,
  ]) {
    for (const [from, to] of [
      ['fd00:b::11', '::1'],
      ['::1', 'fd00:b::12'],
      ['::', 'fd00:b::12'],
      ['fd00:b::11', '::'],
      ['::', 'fd00:b::1'],
      ['::', 'fd00:a::fe'],
    ] as const) {
      const frames = [
        tcp().syn().from(from, 1).to(to, 2),
        icmpEcho(3, 1, { v6: true }).from(from).to(to),
        rawIp(50).from(from).to(to).payload(8),
      ];
      for (const macs of [between, toBridge]) {
        const sent = frames.map((one): Sent => ['p1', one.frame(macs)]);
        await ask.agree(
          `${more} ${from} > ${to} ${macs.dstMac}`,
          bridged({ ip6tables: heard + more }),
          sent,
        );
      }
    }
  }
});

t.test('an ICMPv6 message without a type gets no error', { skip }, async (t) => {
  const ask = new Question(t);
  const ip6tables =
    table('raw', ['PREROUTING', 'OUTPUT'], QUIET) +
    table('filter', ['FORWARD'], '-A FORWARD -j REJECT\n');
  for (const bytes of [0, 1, 2, 4]) {
    for (const to of ['2001:db8:2::2', '2001:db8:9::2']) {
      for (const hops of [1, 64]) {
        const frame = rawIp(58)
          .from('2001:db8:1::2')
          .to(to)
          .ttl(hops)
          .payload(new Uint8Array(bytes).fill(128))
          .frame(toHost);
        const padded = Uint8Array.of(...frame, 128, 0, 0, 0, 0, 0, 0, 0);
        for (const rules of [ip6tables, '']) {
          await ask.agree(`${bytes} ${to} ${hops} ${rules === ''}`, router({ ip6tables: rules }), [
            ['eth0', frame],
            ['eth0', padded],
          ]);
        }
      }
    }
  }
});

t.test('every ebtables answer to one question is sent', { skip }, async (t) => {
  const ask = new Question(t);
  const question = arpRequest({ senderMac: M1, senderIp: '10.1.0.11', targetIp: '10.1.0.12' });
  for (const last of ['ACCEPT', 'DROP', 'CONTINUE']) {
    const rules = [M2, M3, BRIDGE].map((mac, i) => {
      const verdict = i === 2 ? last : 'CONTINUE';
      return `-A PREROUTING -p ARP -j arpreply --arpreply-mac ${mac} --arpreply-target ${verdict}\n`;
    });
    const ebtables = `*nat\n:PREROUTING ACCEPT\n${rules.join('')}`;
    await ask.agree(last, bridged({ ebtables }), [['p1', question]]);
  }
});

t.test('nft asks filter before nat where a bridge itself sends', { skip }, async (t) => {
  const ask = new Question(t);
  const frame = icmpEcho(1, 1).from('10.1.0.11').to('10.1.0.1').frame(toBridge);
  for (const wanted of [M1, M2]) {
    const ebtables = `# Generated by ebtables-save v1.8.9 (nf_tables) on Sat Nov 21 08:46:46 2026\n*filter\n-A OUTPUT -d ${wanted} -j DROP\n*nat\n-A OUTPUT -p IPv4 -d ${M1} -j dnat --to-dst ${M2} --dnat-target ACCEPT\n`;
    await ask.agree(wanted, bridged({ ebtables }), [['p1', frame]]);
  }
});

t.test('a mark of raw leads an answer another way where nat asks again', { skip }, async (t) => {
  const ask = new Question(t);
  const elsewhere = [
    route('10.1.0.2/32', { device: 'eth1', via: '10.2.0.2' }),
    route('2001:db8:1::2/128', { device: 'eth1', via: '2001:db8:2::2' }),
  ];
  const byMark = (plan: Plan): Plan => ({
    ...plan,
    routes: [...plan.routes, ...elsewhere.map((way) => ({ ...way, table: 7 }))],
    routingRules: [
      ...plan.routingRules,
      ...([4, 6] as const).map((family) => {
        return { family, preference: 100, table: 7, fwmark: { value: 1, mask: 0xffffffff } };
      }),
    ],
  });
  const marked = (quiet: string) =>
    table('raw', ['PREROUTING', 'OUTPUT'], `${quiet}-A OUTPUT -j MARK --set-mark 1\n`);
  for (const nat of [
    '',
    '-A POSTROUTING -j ACCEPT\n',
    '-A POSTROUTING -o eth1 -j MASQUERADE\n',
    '-A PREROUTING -p tcp --dport 2 -j REDIRECT --to-ports 9\n',
  ]) {
    for (const how of ['tcp-reset', 'port-unreachable']) {
      const refused = (chain: string, icmp: string) =>
        `-A ${chain} -p tcp --dport 3 -j REJECT --reject-with ${how === 'tcp-reset' ? how : icmp + how}\n`;
      const filter = (icmp: string) =>
        table('filter', ['FORWARD', 'INPUT'], refused('FORWARD', icmp));
      const rules = (icmp: string) =>
        marked(icmp === 'icmp-' ? '' : QUIET) +
        (nat === '' ? '' : table('nat', ['PREROUTING', 'POSTROUTING'], nat)) +
        filter(icmp);
      const opened = (from: string, to: string): Sent[] => [
        ['eth0', tcp().syn().from(from, 1).to(to, 2).ttl(1).frame(toHost)],
        ['eth0', tcp().syn().from(from, 2).to(to, 3).frame(toHost)],
        ['eth0', udp().from(from, 3).to(to, 3).frame(toHost)],
        ['eth0', udp().from(from, 3).to(to, 3).ttl(1).frame(toHost)],
      ];
      const plan = byMark(router({ iptables: rules('icmp-'), ip6tables: rules('icmp6-') }));
      await ask.agree(`4 ${nat} ${how}`, plan, opened('10.1.0.2', '10.2.0.2'));
      await ask.agree(`6 ${nat} ${how}`, plan, opened('2001:db8:1::2', '2001:db8:2::2'));
    }
  }
});
