/**
 * Connection tracking, translation and fragments on the path through a host, against the real
 * kernel, routed and bridged: as host-path.test.ts, with rules that look at connections.
 * @module
 */
import t from 'tap';
import { parseEbtables } from '../../../src/plan/ebtables/parser.ts';
import type { Plan } from '../../../src/plan/model.ts';
import * as ipv4 from '../../../src/wire/header/ipv4.ts';
import { hostPlan, iface, route } from '../../support/hosts.ts';
import { icmpEcho, icmpEchoReply, icmpError, tcp, udp } from '../../support/packets.ts';
import { kernelMissing } from './harness/laboratory.ts';
import type { Backend } from './harness/trial.ts';
import { compare, edited, QUIET, type Shot } from './host-path-compare.ts';

const CLIENT = '02:00:00:00:00:10';
const SERVER = '02:00:00:00:00:11';
const OUTSIDE = '02:00:00:00:00:fe';
const BRIDGE = '02:00:00:00:0b:00';
const UPLINK = '02:00:00:00:02:00';

const STATES = ['NEW', 'ESTABLISHED', 'RELATED', 'INVALID']
  .map((state) => `-A FORWARD -m conntrack --ctstate ${state}\n`)
  .join('');
const FILTER =
  '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n' +
  // No process of the node shall answer: it has none in the engine.
  '-A INPUT\n-A INPUT -p udp -j DROP\n-A OUTPUT\n' +
  `${STATES}-A FORWARD -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset\n` +
  '-A FORWARD -p udp -m udp --dport 82 -j REJECT --reject-with icmp-port-unreachable\n' +
  '-A FORWARD -p 99 -j REJECT --reject-with icmp-proto-unreachable\n' +
  '-A FORWARD -i br0 -o br0\n-A FORWARD -i br0 -o eth0\n-A FORWARD -i eth0 -o br0\nCOMMIT\n';
const NAT =
  '*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n' +
  '-A PREROUTING -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.11:8080\n' +
  '-A PREROUTING -d 172.30.0.2/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.10:8080\n' +
  '-A PREROUTING -d 172.30.0.3/32 -p udp -m udp --dport 53 -j DNAT --to-destination 192.168.0.7:53\n' +
  '-A PREROUTING -d 172.30.0.4/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.1.0.1:53\n' +
  '-A POSTROUTING -s 10.1.0.10/32 -d 10.1.0.10/32 -j MASQUERADE\n' +
  '-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n';
const EBTABLES = `*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -p IPv4 --ip-dst 169.254.20.10 -j redirect --redirect-target ACCEPT
`;

interface Options {
  readonly call: boolean;
  readonly hairpin: boolean;
}

function node({ call, hairpin }: Options): Plan {
  const port = (name: string, mac: string) => iface(name, mac, { master: 'br0', hairpin });
  return hostPlan('node', {
    interfaces: [
      iface('br0', BRIDGE, { kind: 'bridge', addresses: ['10.1.0.1/24'] }),
      port('p0', '02:00:00:00:01:10'),
      port('p1', '02:00:00:00:01:11'),
      iface('eth0', UPLINK, { addresses: ['192.168.0.1/24'], mtu: 1400 }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'br0', source: '10.1.0.1' }),
      route('192.168.0.0/24', { device: 'eth0', source: '192.168.0.1' }),
      route('0.0.0.0/0', { device: 'eth0', via: '192.168.0.254' }),
    ],
    neighbors: [
      ['10.1.0.10', 'br0', CLIENT],
      ['10.1.0.11', 'br0', SERVER],
      ['192.168.0.7', 'eth0', OUTSIDE],
      ['192.168.0.254', 'eth0', OUTSIDE],
    ],
    sysctls: {
      ...QUIET,
      'net.bridge.bridge-nf-call-iptables': call ? '1' : '0',
      'net.bridge.bridge-nf-call-ip6tables': '0',
    },
    iptables: NAT + FILTER,
    extend: (builder) => {
      builder.fdb.push(
        { mac: CLIENT, bridge: 'br0', port: 'p0', kind: 'static' },
        { mac: SERVER, bridge: 'br0', port: 'p1', kind: 'static' },
      );
      builder.ebtables.push(...parseEbtables(EBTABLES, 'test'));
    },
  });
}

/** Protocol 99 with a payload: REJECT holds it to a plain sum, which it does not have. */
function unknownProtocol(macs: { srcMac: string; dstMac: string }): Uint8Array {
  const frame = udp().from('10.1.0.10', 1).to('10.1.0.11', 2).payload(6).frame(macs);
  const other = edited(frame, 23, 99);
  ipv4.fillChecksum(other, 14);
  return other;
}

type Row = readonly [what: string, device: string, frame: Uint8Array];

function shots(): Shot[] {
  const straight = { srcMac: CLIENT, dstMac: SERVER };
  const up = { srcMac: CLIENT, dstMac: BRIDGE };
  const back = { srcMac: SERVER, dstMac: CLIENT };
  const inward = { srcMac: OUTSIDE, dstMac: UPLINK };
  const client = tcp().from('10.1.0.10', 1111);
  const asked = udp().from('10.1.0.10', 2222);
  const outside = client.to('203.0.113.9', 80);
  const answered = tcp().from('203.0.113.9', 80).to('192.168.0.1', 1111);
  const quoted = tcp().from('192.168.0.1', 1111).to('203.0.113.9', 80).syn().seq(1).packet();
  const service = client.to('172.30.0.1', 80);
  const big = udp().from('10.1.0.10', 7).to('203.0.113.9', 7).payload(2600);
  const bridged = udp().from('10.1.0.10', 8).to('10.1.0.11', 8).payload(2600).id(5);
  const rows: Row[] = [
    ['service: SYN to the gateway', 'p0', service.syn().seq(1).frame(up)],
    [
      'service: SYN-ACK straight back',
      'p1',
      tcp().from('10.1.0.11', 8080).to('10.1.0.10', 1111).syn().ack(2).seq(5).frame(back),
    ],
    ['service: ACK', 'p0', service.ack(6).seq(2).frame(up)],
    ['service whose backend is the caller', 'p0', client.to('172.30.0.2', 80).syn().frame(up)],
    ['service whose backend is outside', 'p0', asked.to('172.30.0.3', 53).payload(5).frame(up)],
    ['service whose backend is the node', 'p0', asked.to('172.30.0.4', 53).payload(5).frame(up)],
    ['masquerade: SYN', 'p0', outside.syn().seq(1).frame(up)],
    ['masquerade: SYN-ACK', 'eth0', answered.syn().ack(2).seq(9).frame(inward)],
    ['masquerade: ACK', 'p0', outside.ack(10).seq(2).frame(up)],
    [
      'masquerade: an error from a router',
      'eth0',
      icmpError(quoted, { type: 11, code: 0 }).from('192.0.2.77').to('192.168.0.1').frame(inward),
    ],
    ['masquerade: echo', 'p0', icmpEcho(9).from('10.1.0.10').to('203.0.113.9').frame(up)],
    [
      'masquerade: echo reply',
      'eth0',
      icmpEchoReply(9).from('203.0.113.9').to('192.168.0.1').frame(inward),
    ],
    ['masquerade: TTL runs out', 'p0', asked.to('203.0.113.9', 9).ttl(1).frame(up)],
    ['straight: new', 'p0', client.to('10.1.0.11', 90).syn().frame(straight)],
    ['straight: out of nowhere', 'p0', client.to('10.1.0.11', 91).rst().frame(straight)],
    ['straight: reset', 'p0', client.to('10.1.0.11', 81).syn().seq(3).frame(straight)],
    ['straight: refused', 'p0', asked.to('10.1.0.11', 82).frame(straight)],
    ['routed: refused', 'p0', asked.to('192.168.0.7', 82).frame(up)],
    ['routed: reset', 'p0', client.to('192.168.0.7', 81).syn().frame(up)],
    ['redirected to the node', 'p0', asked.to('169.254.20.10', 53).frame(straight)],
    ['an unknown protocol is not refused: its sum is wrong', 'p0', unknownProtocol(straight)],
    ['bridged in fragments: last first', 'p0', bridged.fragment(1480, false).frame(straight)],
    ['bridged in fragments: whole', 'p0', bridged.fragment(0, true, 1480).frame(straight)],
    ['routed in fragments: first', 'p0', big.id(6).fragment(0, true, 1200).frame(up)],
    ['routed in fragments: last', 'p0', big.id(6).fragment(1200, false).frame(up)],
    [
      'routed in fragments larger than the way out',
      'p0',
      big.id(7).fragment(0, true, 1480).frame(up),
    ],
    ['routed in fragments, cut smaller', 'p0', big.id(7).fragment(1480, false).frame(up)],
    [
      'routed, cut here',
      'p0',
      udp().from('10.1.0.10', 7).to('203.0.113.9', 9).payload(1450).frame(up),
    ],
    [
      'routed, too big',
      'p0',
      udp().from('10.1.0.10', 7).to('203.0.113.9', 10).payload(1450).dontFragment().frame(up),
    ],
  ];
  return rows.map(([what, device, frame]) => ({ what, device, frame }));
}

const skip =
  kernelMissing(['iptables-restore', 'ebtables-restore', 'bridge', 'conntrack']) ?? false;

for (const backend of ['nft', 'legacy'] satisfies Backend[]) {
  for (const call of [true, false]) {
    for (const hairpin of [true, false]) {
      const kind = `call-iptables ${call}, hairpin ${hairpin}, ${backend}`;
      t.test(`connections on a bridge node (${kind}) go as in the kernel`, { skip }, (t) =>
        compare(t, node({ call, hairpin }), shots(), backend),
      );
    }
  }
}
