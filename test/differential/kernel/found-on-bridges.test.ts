/**
 * Small cases on bridges that generated trials, and what was tried because of them, showed to be
 * otherwise than thought. Needs root.
 * @module
 */
import t from 'tap';
import { route } from '../../support/hosts.ts';
import { arpRequest, tcp, udp } from '../../support/packets.ts';
import { BRIDGE, bridged, M1, M2, Question, skip, states, table } from './found-lab.ts';

const GROUP = '01:00:5e:01:02:03';
const toM2 = { srcMac: M1, dstMac: M2 };
const SENT = table('mangle', ['OUTPUT', 'POSTROUTING'], '-A OUTPUT\n-A POSTROUTING\n');
const reject = (how: string) =>
  SENT + table('filter', ['FORWARD'], `-A FORWARD -p tcp -j REJECT --reject-with ${how}\n`);

t.setTimeout(600_000);

t.test('what is for or from groups is refused on a bridge as for anybody', { skip }, async (t) => {
  const ask = new Question(t);
  const syn = tcp().syn();
  for (const how of ['tcp-reset', 'icmp-host-unreachable']) {
    for (const to of ['239.1.2.3', '255.255.255.255', '10.1.0.255']) {
      const frame = syn.from('10.1.0.11', 4).to(to, 80).frame(toM2);
      await ask.agree(`${how} to ${to}`, bridged({ iptables: reject(how) }), [['p1', frame]]);
    }
    for (const from of ['239.1.2.3', '0.0.0.0', '127.0.0.1', '10.1.0.1', '240.0.0.1']) {
      const frame = syn.from(from, 4).to('10.1.0.12', 80).frame(toM2);
      await ask.agree(`${how} from ${from}`, bridged({ iptables: reject(how) }), [['p1', frame]]);
    }
  }
});

t.test('nothing is refused aloud where no route leads back', { skip }, async (t) => {
  const ask = new Question(t);
  const frame = tcp().syn().from('10.9.0.1', 4).to('10.1.0.12', 80).frame(toM2);
  for (const type of ['blackhole', 'prohibit', 'unreachable', null] as const) {
    const routes = type === null ? [] : [route('10.9.0.0/16', { type })];
    const plan = bridged({ iptables: reject('tcp-reset'), gateway: false, routes });
    await ask.agree(String(type), plan, [['p1', frame]]);
  }
});

t.test(
  'flooded frames bring a connection up, but not to a promiscuous bridge',
  { skip },
  async (t) => {
    const ask = new Question(t);
    for (const promiscuous of [false, true]) {
      for (const rules of [
        '',
        '-A FORWARD -j DROP\n',
        '-A FORWARD -m physdev --physdev-out p2 -j DROP\n',
      ]) {
        const filter = table('filter', ['INPUT', 'FORWARD'], states('INPUT') + rules);
        for (const dstMac of [GROUP, 'ff:ff:ff:ff:ff:ff', M2, BRIDGE]) {
          const frame = udp().from('10.1.0.11', 4).to('10.1.0.1', 81).frame({ srcMac: M1, dstMac });
          const plan = bridged({ iptables: filter, promiscuous });
          await ask.agree(`${promiscuous} ${rules} ${dstMac}`, plan, [['p1', frame]]);
        }
      }
    }
  },
);

t.test(
  'a translated destination is bridged, routed, or answered by routing',
  { skip },
  async (t) => {
    const ask = new Question(t);
    const types = ['blackhole', 'prohibit', 'unreachable'] as const;
    const routes = [
      ...types.map((type, i) => route(`10.6${i}.0.0/16`, { type })),
      ...types.map((type, i) => route(`fd00:6${i}::/48`, { type, device: 'lo' })),
    ];
    const nat = (to: string) =>
      table(
        'nat',
        ['PREROUTING', 'POSTROUTING'],
        `-A PREROUTING -p udp -j DNAT --to-destination ${to}\n-A POSTROUTING -j MASQUERADE\n`,
      ) + table('mangle', ['INPUT', 'FORWARD'], '-A INPUT\n-A FORWARD\n');
    const off = { 'net.ipv4.conf.br0.forwarding': '0', 'net.ipv6.conf.all.forwarding': '0' };
    const hosts4 = ['203.0.113.1', '10.1.0.13', '10.1.0.1', '192.168.1.254', '127.0.0.1'];
    const hosts6 = ['fd00:b::13', 'fd00:b::1', '2001:db8::1'];
    for (const sysctls of [{}, off]) {
      for (const to of [...types.map((_, i) => `10.6${i}.0.1`), ...hosts4]) {
        const frame = udp().from('10.1.0.11', 1).to('10.1.0.12', 2).frame(toM2);
        await ask.agree(to, bridged({ iptables: nat(to), sysctls, routes }), [['p1', frame]]);
      }
      for (const to of [...types.map((_, i) => `fd00:6${i}::1`), ...hosts6]) {
        const frame = udp().from('fd00:b::11', 1).to('fd00:b::12', 2).frame(toM2);
        await ask.agree(to, bridged({ ip6tables: nat(to), sysctls, routes }), [['p1', frame]]);
      }
    }
  },
);

t.test('IPv6 masquerades even packets from nowhere', { skip }, async (t) => {
  const ask = new Question(t);
  const nat = table('nat', ['POSTROUTING'], '-A POSTROUTING -j MASQUERADE\n');
  const frame6 = udp().from('::', 1).to('fd00:b::12', 2).frame(toM2);
  await ask.agree('::', bridged({ ip6tables: nat }), [['p1', frame6]]);
  const frame4 = udp().from('0.0.0.0', 1).to('10.1.0.12', 2).frame(toM2);
  await ask.agree('0.0.0.0', bridged({ iptables: nat }), [['p1', frame4]]);
});

t.test('ebtables reads of short and foreign ARP what is there', { skip }, async (t) => {
  const ask = new Question(t);
  const whole = arpRequest({ senderMac: M1, senderIp: '10.1.0.11', targetIp: '10.1.0.12' });
  const changed = (at: number, value: number) => {
    const frame = whole.slice();
    frame[at] = value;
    return frame;
  };
  const nat = '*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n';
  const filter = '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n';
  const mac = '02:00:00:00:77:77';
  for (const ebtables of [
    `${nat}-A POSTROUTING -s ${M1} -j snat --to-source ${mac} --snat-arp --snat-target ACCEPT\n`,
    `${nat}-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.1.0.12 -j arpreply --arpreply-mac ${mac}\n`,
    `${nat}-A PREROUTING -p ARP -j arpreply --arpreply-mac ${mac} --arpreply-target DROP\n`,
    `${filter}-A FORWARD -p ARP --arp-ip-src 10.1.0.11 -j DROP\n`,
  ]) {
    for (const frame of [41, 30, 27, 20, 14].map((length) => whole.slice(0, length))) {
      await ask.agree(`${frame.length} bytes`, bridged({ ebtables }), [['p1', frame]]);
    }
    for (const [at, value] of [
      [18, 8],
      [19, 5],
      [16, 9],
      [18, 0],
    ] as const) {
      await ask.agree(`byte ${at} is ${value}`, bridged({ ebtables }), [
        ['p1', changed(at, value)],
      ]);
    }
  }
});
