/**
 * The path through a host against the real kernel: the same plan in a network namespace and in the
 * engine, the same frames in, and every frame that comes out equal byte for byte, every rule
 * counter equal. The identification of ICMP errors and the flow label of ICMPv6 ones are drawn by
 * the kernel and left out.
 * @module
 */
import t from 'tap';
import { parseEbtables } from '../../../src/plan/ebtables/parser.ts';
import type { Plan } from '../../../src/plan/model.ts';
import * as arp from '../../../src/wire/header/arp.ts';
import * as ethernet from '../../../src/wire/header/ethernet.ts';
import { EtherType } from '../../../src/wire/protocol.ts';
import { hostPlan, iface, route } from '../../support/hosts.ts';
import { address, icmpEcho, icmpError, tcp, udp } from '../../support/packets.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Backend } from './harness/trial.ts';
import { compare, edited, QUIET, type Shot } from './host-path-compare.ts';

const A_MAC = '02:00:00:00:00:0a';
const B_MAC = '02:00:00:00:00:0b';
const E0 = '02:00:00:00:01:00';
const E1 = '02:00:00:00:01:01';
const BR = '02:00:00:00:0b:00';

const COUNT = '-A FORWARD\n-A FORWARD -i eth0 -o eth1\n-A FORWARD -i eth1 -o eth0\n';
const REJECTS =
  '-A FORWARD -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset\n' +
  '-A FORWARD -p tcp -m tcp --dport 82 -j DROP\n';
const REJECT4 =
  '-A FORWARD -p udp -m udp --dport 80 -j REJECT --reject-with icmp-port-unreachable\n' +
  '-A FORWARD -p udp -m udp --dport 83 -j REJECT --reject-with icmp-host-prohibited\n';
const REJECT6 =
  '-A FORWARD -p udp -m udp --dport 80 -j REJECT --reject-with icmp6-port-unreachable\n' +
  '-A FORWARD -p udp -m udp --dport 83 -j REJECT --reject-with icmp6-adm-prohibited\n';
const BUILTIN = ':INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n';
/** What a host says to IPv6 groups by itself is left out. */
const LOCAL4 = '-A INPUT\n-A OUTPUT\n';
const LOCAL6 = '-A INPUT ! -d ff00::/8\n-A OUTPUT ! -d ff00::/8\n';
const filter4 = (rules: string) => `*filter\n${BUILTIN}${LOCAL4}${rules}COMMIT\n`;
const filter6 = (rules: string) => `*filter\n${BUILTIN}${LOCAL6}${rules}COMMIT\n`;
const MANGLE =
  '*mangle\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A PREROUTING\n-A POSTROUTING\nCOMMIT\n';
const MANGLE6 = MANGLE.replace('-A POSTROUTING', '-A POSTROUTING ! -d ff00::/8');

function routedNode(): Plan {
  return hostPlan('node', {
    interfaces: [
      iface('eth0', E0, { addresses: ['10.0.0.1/24', '2001:db8::1/64'] }),
      iface('eth1', E1, { addresses: ['10.0.1.1/24', '2001:db8:1::1/64'], mtu: 1400 }),
    ],
    routes: [
      route('10.0.0.0/24', { device: 'eth0', source: '10.0.0.1' }),
      route('10.0.1.0/24', { device: 'eth1', source: '10.0.1.1' }),
      route('192.0.2.0/26', { type: 'blackhole' }),
      route('192.0.2.64/26', { type: 'unreachable' }),
      route('192.0.2.128/26', { type: 'prohibit' }),
      route('2001:db8::/64', { device: 'eth0' }),
      route('2001:db8:1::/64', { device: 'eth1' }),
    ],
    neighbors: [
      ['10.0.0.2', 'eth0', A_MAC],
      ...[3, 4, 5].map((n) => [`10.0.0.${n}`, 'eth0', A_MAC] as const),
      ['10.0.1.2', 'eth1', B_MAC],
      ['2001:db8::2', 'eth0', A_MAC],
      ['2001:db8:1::2', 'eth1', B_MAC],
    ],
    sysctls: { ...QUIET, 'net.ipv4.conf.eth0.proxy_arp': '1' },
    iptables: MANGLE + filter4(REJECTS + REJECT4 + COUNT),
    ip6tables: MANGLE6 + filter6(REJECTS + REJECT6 + COUNT),
  });
}

const toNode = { srcMac: A_MAC, dstMac: E0 };
const a4 = { tcp: tcp().from('10.0.0.2', 1000), udp: udp().from('10.0.0.2', 1000) };
const a6 = { tcp: tcp().from('2001:db8::2', 1000), udp: udp().from('2001:db8::2', 1000) };

function arpFrame(target: string, options: { sender?: string; destination?: string } = {}) {
  const { sender = '10.0.0.2', destination = 'ff:ff:ff:ff:ff:ff' } = options;
  const body = arp.emit({
    operation: arp.ArpOperation.request,
    senderMac: A_MAC,
    senderIp: address(sender),
    targetMac: '00:00:00:00:00:00',
    targetIp: address(target),
  });
  return ethernet.emit({ destination, source: A_MAC, tags: [], etherType: EtherType.arp }, body);
}

function routedShots(): Shot[] {
  const shots: [string, Uint8Array][] = [];
  for (const [family, from, to, no] of [
    ['IPv4', a4, '10.0.1.2', '172.16.0.1'],
    ['IPv6', a6, '2001:db8:1::2', '2001:db8:9::9'],
  ] as const) {
    const add = (what: string, frame: Uint8Array) => shots.push([`${family} ${what}`, frame]);
    add('TCP passes', from.tcp.to(to, 90).syn().frame(toNode));
    add('TTL 1', from.tcp.to(to, 90).syn().ttl(1).frame(toNode));
    add('TTL 0', from.tcp.to(to, 90).syn().ttl(0).frame(toNode));
    add('TTL 2', from.udp.to(to, 90).ttl(2).frame(toNode));
    add('too big', from.udp.to(to, 90).payload(1400).dontFragment().frame(toNode));
    add(
      'exactly the MTU',
      from.udp
        .to(to, 90)
        .payload(1400 - 28 - (family === 'IPv6' ? 20 : 0))
        .dontFragment()
        .frame(toNode),
    );
    add('too big and refused port', from.udp.to(to, 80).payload(1400).dontFragment().frame(toNode));
    add('refused with an error', from.udp.to(to, 80).payload(700).frame(toNode));
    add('refused with prohibited', from.udp.to(to, 83).tos(0x10).frame(toNode));
    add('reset for SYN', from.tcp.to(to, 81).syn().seq(100).frame(toNode));
    add('reset for data', from.tcp.to(to, 81).ack(77).seq(5).payload(30).frame(toNode));
    add('no reset for RST', from.tcp.to(to, 81).rst().frame(toNode));
    add('no answer to a bad checksum', from.udp.to(to, 80).badChecksum().frame(toNode));
    add('dropped', from.tcp.to(to, 82).syn().frame(toNode));
    if (family === 'IPv6') add('no route', from.udp.to(no, 9).frame(toNode));
    add('other host', from.udp.to(to, 90).frame({ srcMac: A_MAC, dstMac: B_MAC }));
    add(
      'broadcast frame',
      from.udp.to(to, 90).frame({ srcMac: A_MAC, dstMac: 'ff:ff:ff:ff:ff:ff' }),
    );
    add('VLAN 5', from.udp.to(to, 90).frame({ ...toNode, vlan: 5 }));
    add(
      'own address as source',
      udp()
        .from(family === 'IPv4' ? '10.0.1.1' : '2001:db8:1::1', 1)
        .to(to, 90)
        .frame(toNode),
    );
    add(
      'back out by the same device',
      from.udp.to(family === 'IPv4' ? '10.0.0.2' : '2001:db8::2', 90).frame(toNode),
    );
  }
  const passing = a4.udp.to('10.0.1.2', 90);
  const quoted = udp().from('10.0.1.2', 5).to('10.0.0.2', 6).packet();
  shots.push(
    ['VLAN 0', passing.frame({ ...toNode, vlan: 0 })],
    ['IPv4 fragmented to the MTU', a4.udp.to('10.0.1.2', 90).payload(1450).frame(toNode)],
    ['IPv4 later fragment', passing.payload(64).fragment(16, false).frame(toNode)],
    [
      'IPv4 later fragment refused',
      a4.udp.to('10.0.1.2', 80).payload(64).fragment(0, true, 32).frame(toNode),
    ],
    ['IPv4 blackhole', a4.udp.to('192.0.2.1', 9).frame(toNode)],
    // Each from its own source: `ip_error` counts answers per peer.
    ['IPv4 no route', udp().from('10.0.0.3', 1).to('172.16.0.1', 9).frame(toNode)],
    ['IPv4 unreachable', udp().from('10.0.0.4', 1).to('192.0.2.65', 9).frame(toNode)],
    ['IPv4 prohibit', udp().from('10.0.0.5', 1).to('192.0.2.129', 9).frame(toNode)],
    ['IPv4 loopback source', udp().from('127.0.0.1', 1).to('10.0.1.2', 90).frame(toNode)],
    ['IPv4 loopback destination', a4.udp.to('127.0.0.1', 90).frame(toNode)],
    ['IPv4 zero source', udp().from('0.0.0.0', 1).to('10.0.1.2', 90).frame(toNode)],
    ['IPv4 multicast source', udp().from('224.0.0.9', 1).to('10.0.1.2', 90).frame(toNode)],
    [
      'IPv4 limited broadcast',
      a4.udp.to('255.255.255.255', 90).frame({ srcMac: A_MAC, dstMac: 'ff:ff:ff:ff:ff:ff' }),
    ],
    ['IPv4 subnet broadcast of the other side', a4.udp.to('10.0.1.255', 90).frame(toNode)],
    ['IPv4 bad header checksum', edited(passing.frame(toNode), 24, 0, 0)],
    [
      'IPv4 TTL 1 ICMP error is not answered',
      icmpError(quoted).from('10.0.0.2').to('10.0.1.2').ttl(1).frame(toNode),
    ],
    [
      'IPv4 TTL 1 echo is answered',
      icmpEcho().from('10.0.0.2').to('10.0.1.2').ttl(1).frame(toNode),
    ],
    ['IPv4 echo to the node', icmpEcho().from('10.0.0.2').to('10.0.0.1').frame(toNode)],
    [
      'IPv4 echo to the other address of the node',
      icmpEcho().from('10.0.0.2').to('10.0.1.1').frame(toNode),
    ],
    ['ARP for the node', arpFrame('10.0.0.1')],
    ['ARP for the other address of the node', arpFrame('10.0.1.1')],
    ['ARP answered by proxy', arpFrame('10.0.1.77')],
    ['ARP for a neighbour', arpFrame('10.0.0.77')],
    ['ARP with no route', arpFrame('172.16.0.1')],
    ['ARP probe', arpFrame('10.0.0.1', { sender: '0.0.0.0' })],
    ['ARP to another host', arpFrame('10.0.0.1', { destination: B_MAC })],
    ['an unknown Ethernet type', edited(passing.frame(toNode), 12, 0x88, 0xb5)],
  );
  return shots.map(([what, frame]) => ({ what, device: 'eth0', frame }));
}

const EBTABLES = `*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -p ARP --arp-op Request --arp-ip-dst 10.1.0.11 -j arpreply --arpreply-mac 02:00:00:00:00:11 --arpreply-target DROP
-A PREROUTING -p IPv4 -i p2 --ip-dst 10.1.0.10 -j dnat --to-dst 02:00:00:00:00:10 --dnat-target ACCEPT
-A PREROUTING -p ARP -i p2 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT
-A POSTROUTING -s Unicast -o p2 -j snat --to-src 02:00:00:00:01:12 --snat-arp --snat-target ACCEPT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A FORWARD -p IPv4 --ip-src 10.1.0.66 -j DROP
`;

interface BridgeOptions {
  readonly call: boolean;
  readonly hairpin: boolean;
}

function bridgeNode({ call, hairpin }: BridgeOptions): Plan {
  const calls = call ? '1' : '0';
  const port = (name: string, mac: string) => iface(name, mac, { master: 'br0', hairpin });
  return hostPlan('node', {
    interfaces: [
      iface('br0', BR, { kind: 'bridge', addresses: ['10.1.0.1/24', '2001:db8:2::1/64'] }),
      port('p0', '02:00:00:00:01:10'),
      port('p1', '02:00:00:00:01:11'),
      port('p2', '02:00:00:00:01:12'),
      iface('eth0', E0, { addresses: ['10.0.0.1/24'] }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('10.0.0.0/24', { device: 'eth0', source: '10.0.0.1' }),
      route('2001:db8:2::/64', { device: 'br0' }),
    ],
    neighbors: [
      ['10.1.0.10', 'br0', '02:00:00:00:00:10'],
      ['10.1.0.11', 'br0', '02:00:00:00:00:11'],
      ['10.0.0.2', 'eth0', A_MAC],
      ['2001:db8:2::10', 'br0', '02:00:00:00:00:10'],
      ['2001:db8:2::11', 'br0', '02:00:00:00:00:11'],
    ],
    sysctls: {
      ...QUIET,
      'net.bridge.bridge-nf-call-iptables': calls,
      'net.bridge.bridge-nf-call-ip6tables': calls,
    },
    iptables:
      MANGLE +
      filter4(
        `${REJECTS + REJECT4}-A FORWARD -m physdev --physdev-in p0 --physdev-out p1\n` +
          '-A FORWARD -m physdev --physdev-is-bridged\n-A FORWARD -i br0 -o br0\n-A FORWARD -i br0 -o eth0\n',
      ),
    ip6tables: MANGLE6 + filter6(`${REJECTS + REJECT6}-A FORWARD -i br0 -o br0\n`),
    extend: (builder) => {
      for (const n of [0, 1]) {
        const mac = `02:00:00:00:00:1${n}`;
        builder.fdb.push({ mac, bridge: 'br0', port: `p${n}`, kind: 'static' });
      }
      builder.ebtables.push(...parseEbtables(EBTABLES, 'test'));
    },
  });
}

function bridgeShots(): Shot[] {
  const p0 = { srcMac: '02:00:00:00:00:10', dstMac: '02:00:00:00:00:11' };
  const up = { ...p0, dstMac: BR };
  const from = udp().from('10.1.0.10', 1000);
  const conn = tcp().from('10.1.0.10', 1000);
  const six = udp().from('2001:db8:2::10', 1000);
  const far = { srcMac: '02:00:00:00:00:77', dstMac: '02:00:00:00:01:12' };
  const reply = ethernet.emit(
    { destination: '02:00:00:00:01:12', source: far.srcMac, tags: [], etherType: EtherType.arp },
    arp.emit({
      operation: 2,
      senderMac: far.srcMac,
      senderIp: address('10.1.0.77'),
      targetMac: '02:00:00:00:01:12',
      targetIp: address('10.1.0.10'),
    }),
  );
  const rows: [string, string, Uint8Array][] = [
    ['between ports', 'p0', from.to('10.1.0.11', 90).frame(p0)],
    ['between ports, TTL 1 is kept', 'p0', from.to('10.1.0.11', 90).ttl(1).frame(p0)],
    ['refused with an error', 'p0', from.to('10.1.0.11', 80).frame(p0)],
    ['reset', 'p0', conn.to('10.1.0.11', 81).syn().seq(9).frame(p0)],
    ['dropped', 'p0', conn.to('10.1.0.11', 82).syn().frame(p0)],
    ['routed up and out', 'p0', from.to('10.0.0.2', 90).frame(up)],
    ['routed up, TTL 1', 'p0', from.to('10.0.0.2', 90).ttl(1).frame(up)],
    ['routed up and back to the bridge', 'p0', from.to('10.1.0.11', 90).frame(up)],
    ['routed up and back to its own port', 'p0', from.to('10.1.0.10', 90).frame(up)],
    ['to the MAC it came from', 'p0', from.to('10.1.0.11', 90).frame({ ...p0, dstMac: p0.srcMac })],
    [
      'to the MAC of its port',
      'p0',
      from.to('10.0.0.2', 90).frame({ ...p0, dstMac: '02:00:00:00:01:10' }),
    ],
    [
      'to the MAC of another port',
      'p0',
      from.to('10.0.0.2', 90).frame({ ...p0, dstMac: '02:00:00:00:01:11' }),
    ],
    [
      'to an unknown MAC',
      'p0',
      from.to('10.1.0.99', 90).frame({ ...p0, dstMac: '02:00:00:00:00:99' }),
    ],
    ['broadcast', 'p0', from.to('10.1.0.255', 90).frame({ ...p0, dstMac: 'ff:ff:ff:ff:ff:ff' })],
    [
      'group source is dropped',
      'p0',
      from.to('10.1.0.11', 90).frame({ ...p0, srcMac: '03:00:00:00:00:10' }),
    ],
    [
      'link control is not forwarded',
      'p0',
      from.to('10.1.0.11', 90).frame({ ...p0, dstMac: '01:80:c2:00:00:0e' }),
    ],
    ['ebtables drops in FORWARD', 'p0', udp().from('10.1.0.66', 1).to('10.1.0.11', 90).frame(p0)],
    [
      'ebtables rewrites the source MAC',
      'p0',
      from.to('10.1.0.77', 90).frame({ ...p0, dstMac: far.srcMac }),
    ],
    ['VLAN 5 is bridged past iptables', 'p0', from.to('10.1.0.11', 82).frame({ ...p0, vlan: 5 })],
    ['a bad IPv4 header', 'p0', edited(from.to('10.1.0.11', 90).frame(p0), 24, 0, 0)],
    ['an unknown Ethernet type', 'p0', edited(from.to('10.1.0.11', 90).frame(p0), 12, 0x88, 0xb5)],
    ['to the bridge address', 'p0', icmpEcho().from('10.1.0.10').to('10.1.0.1').frame(up)],
    ['ebtables sends to the pod', 'p2', udp().from('10.9.9.9', 7).to('10.1.0.10', 90).frame(far)],
    ['ebtables makes a reply everybodys', 'p2', reply],
    ['routed down to the bridge', 'eth0', a4.udp.to('10.1.0.10', 90).frame(toNode)],
    ['routed down, refused', 'eth0', a4.udp.to('10.1.0.10', 80).frame(toNode)],
    ['IPv6 between ports', 'p0', six.to('2001:db8:2::11', 90).frame(p0)],
    ['IPv6 refused', 'p0', six.to('2001:db8:2::11', 80).frame(p0)],
    ['IPv6 up and back', 'p0', six.to('2001:db8:2::11', 90).frame(up)],
  ];
  const asked = arpFrame('10.1.0.11', { sender: '10.1.0.10' });
  const own = arpFrame('10.1.0.1', { sender: '10.1.0.10' });
  rows.push(
    ['ebtables answers ARP', 'p0', edited(asked, 6, 2, 0, 0, 0, 0, 0x10)],
    ['the bridge answers ARP', 'p0', edited(own, 6, 2, 0, 0, 0, 0, 0x10)],
    ['ARP for a stranger is flooded', 'p0', arpFrame('10.1.0.77', { sender: '10.1.0.10' })],
  );
  return rows.map(([what, device, frame]) => ({ what, device, frame }));
}

const skip =
  kernelMissing(['iptables-restore', 'ebtables-restore', 'bridge', 'conntrack']) ?? false;

for (const backend of ['nft', 'legacy'] satisfies Backend[]) {
  t.test(`a routed node does with every frame what the kernel does (${backend})`, { skip }, (t) =>
    compare(t, routedNode(), routedShots(), backend),
  );
  for (const call of [true, false]) {
    for (const hairpin of [true, false]) {
      const name = `a bridge node (call-iptables ${call}, hairpin ${hairpin}, ${backend})`;
      t.test(`${name} does with every frame what the kernel does`, { skip }, (t) =>
        compare(t, bridgeNode({ call, hairpin }), bridgeShots(), backend),
      );
    }
  }
}
