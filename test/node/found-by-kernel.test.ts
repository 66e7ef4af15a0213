/**
 * What generated trials against the running kernel (test/differential/kernel/generated) showed to be
 * otherwise than thought, one smallest case each. Expectations are what Linux 6.18 did.
 * @module
 */
import t from 'tap';
import { engineOf, hostPlan, iface, inject, route, sentBy } from '../support/hosts.ts';
import { arpRequest, type PacketBuilder, rawIp, tcp, udp } from '../support/packets.ts';

const HOST = '02:00:00:00:03:01';
const OTHER = '02:00:00:00:03:02';
const PEER = '02:00:00:00:01:01';
const macs = { srcMac: PEER, dstMac: HOST };

const FILTER = (rules: string) => `*filter\n:FORWARD ACCEPT [0:0]\n${rules}COMMIT\n`;

function host(parts: { sysctls?: Record<string, string>; iptables?: string; ip6tables?: string }) {
  const { sysctls = {}, ...tables } = parts;
  const plan = hostPlan('node', {
    interfaces: [
      iface('eth0', HOST, { addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('eth1', OTHER, { addresses: ['10.2.0.1/24', '2001:db8:2::1/64'] }),
      iface('bare', '02:00:00:00:03:03'),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'eth0' }),
      route('10.2.0.0/24', { device: 'eth1' }),
      route('2001:db8:1::/64', { device: 'eth0' }),
      route('2001:db8:2::/64', { device: 'eth1' }),
    ],
    neighbors: [
      ['10.1.0.2', 'eth0', PEER],
      ['10.2.0.2', 'eth1', PEER],
      ['2001:db8:1::2', 'eth0', PEER],
      ['2001:db8:2::2', 'eth1', PEER],
    ],
    sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1', ...sysctls },
    ...tables,
  });
  return engineOf([plan]);
}

const from4 = (builder: PacketBuilder) => builder.from('10.1.0.2', 40_000).to('10.2.0.2', 80);
const from6 = (builder: PacketBuilder) =>
  builder.from('2001:db8:1::2', 40_000).to('2001:db8:2::2', 80);

t.test('GRE without a checksum is refused, not held to one', async (t) => {
  const engine = host({ iptables: FILTER('-A FORWARD -j REJECT\n') });
  const gre = rawIp(47).payload(Uint8Array.of(0, 0, 8, 0, 0, 4, 0, 9));
  const frame = gre.from('10.1.0.2').to('10.2.0.2').frame(macs);
  t.equal(engine.inject(inject.frame('node/eth0', frame)).generated[0]?.kind, 'icmpError');
});

t.test('loose rp_filter is strict on a device without an address', async (t) => {
  const engine = host({ sysctls: { 'net.ipv4.conf.bare.rp_filter': '2' } });
  const frame = from4(udp()).frame({ ...macs, dstMac: '02:00:00:00:03:03' });
  t.equal(engine.inject(inject.frame('node/bare', frame)).reason, 'reversePathFilter');
});

t.test('no rule sees IPv6 packets from ::1', async (t) => {
  const engine = host({ ip6tables: '*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING\nCOMMIT\n' });
  const frame = tcp().from('::1', 1).to('2001:db8:2::2', 2).frame(macs);
  t.equal(engine.inject(inject.frame('node/eth0', frame)).reason, 'martianSource');
  t.equal(engine.counters('node').get('6 raw/PREROUTING rule 1')?.packets, 0);
});

t.test('tracking takes the fragment header off a whole IPv6 packet', async (t) => {
  const rule = FILTER('-A FORWARD -m conntrack --ctstate NEW\n');
  const whole = from6(udp()).payload(20);
  for (const [ip6tables, taken] of [
    [rule, 8],
    [FILTER('-A FORWARD\n'), 0],
  ] as const) {
    const frame = whole.fragment(0, false).frame(macs);
    const [out] = sentBy(host({ ip6tables }).inject(inject.frame('node/eth0', frame)));
    t.equal(frame.length - (out?.frame.length ?? 0), taken);
  }
});

t.test('a first IPv6 fragment without its whole header is let by, not kept', async (t) => {
  const engine = host({ ip6tables: FILTER('-A FORWARD -m conntrack --ctstate NEW\n') });
  const frame = from6(tcp().syn()).fragment(0, true, 8).frame(macs);
  t.equal(engine.inject(inject.frame('node/eth0', frame)).outcome, 'exited');
});

t.test('errors of IPv6 come from the device that the packet came in by', async (t) => {
  const frame = udp().from('2001:db8:2::2', 1).to('2001:db8:9::9', 2).frame(macs);
  const [error] = sentBy(host({}).inject(inject.frame('node/eth0', frame)));
  t.equal(error?.device, 'eth1');
  const source = Buffer.from(error?.frame.subarray(22, 38) ?? []).toString('hex');
  t.equal(source, '20010db8000100000000000000000001', 'the address of eth0');
});

t.test('arp_ignore 2 does not answer askers of other networks', async (t) => {
  const engine = host({ sysctls: { 'net.ipv4.conf.eth0.arp_ignore': '2' } });
  for (const [senderIp, answers] of [
    ['10.1.0.2', 1],
    ['10.9.0.2', 0],
    ['0.0.0.0', 1],
  ] as const) {
    const frame = arpRequest({ senderMac: PEER, senderIp, targetIp: '10.1.0.1' });
    const made = engine.inject(inject.frame('node/eth0', frame)).generated;
    t.equal(made.length, answers, senderIp);
  }
});

t.test('a connection that is not in the table yet has no seconds left', async (t) => {
  const rules = ['0', '1:60'].map((range) => `-A FORWARD -m conntrack --ctexpire ${range}\n`);
  const engine = host({ iptables: FILTER(rules.join('')) });
  for (const counted of [
    [1, 0],
    [1, 1],
  ]) {
    engine.inject(inject.frame('node/eth0', from4(udp()).frame(macs)));
    const counters = [...engine.counters('node').values()].map(({ packets }) => packets);
    t.same(counters, counted);
  }
});
