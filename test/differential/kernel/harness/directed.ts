/**
 * Trials made by hand for planted faults that drawn traffic rarely shows: a connection that is closed
 * and opened again, windows that are scaled, associations opened twice, marks kept in part, overlaps,
 * redirects.
 * @module
 */
import { parseIpsets } from '../../../../src/plan/ipset/text.ts';
import type { Plan } from '../../../../src/plan/model.ts';
import { SctpChunk } from '../../../../src/wire/header/sctp.ts';
import { hostPlan, iface, route } from '../../../support/hosts.ts';
import { icmpError, sctp, sctpInit, tcp, udp } from '../../../support/packets.ts';
import type { Shot, Trial } from './trial.ts';

const [CLIENT, SERVER] = ['02:00:00:00:01:01', '02:00:00:00:01:02'];
const [NEAR, FAR] = ['02:00:00:00:03:01', '02:00:00:00:03:02'];

const STATES = ['NEW', 'ESTABLISHED', 'INVALID']
  .map((state) => `-A FORWARD -m conntrack --ctstate ${state}\n`)
  .join('');
/** Each rule or pair of rules is about one fault of mutants.ts. */
const RULES = [
  '*mangle',
  ':PREROUTING ACCEPT [0:0]',
  ':FORWARD ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
  ':BACK - [0:0]',
  '-A PREROUTING -j CONNMARK --set-xmark 0x404/0xffffffff',
  '-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0x4',
  '-A PREROUTING -p udp -j TTL --ttl-inc 3',
  '-A PREROUTING -p tcp -m tcp --tcp-option 3',
  '-A PREROUTING -p udp -j DSCP --set-dscp 0x04',
  '-A PREROUTING -m set --match-set second src',
  '-A PREROUTING -m set --match-set nets src',
  '-A FORWARD -m conntrack --ctreplsrcport 81',
  '-A FORWARD -m mark --mark 0x4',
  '-A FORWARD -m mark --mark 0x404',
  `${STATES}-A FORWARD -j BACK`,
  '-A BACK -j RETURN',
  '-A FORWARD -j MARK --set-xmark 0x3/0xffffffff',
  '-A FORWARD -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0xffffffff',
  '-A FORWARD -m connmark --mark 0x1',
  '-A FORWARD -j MARK --set-xmark 0x1/0x2',
  '-A POSTROUTING -m mark --mark 0x1',
  '-A POSTROUTING -m mark --mark 0x0',
  'COMMIT',
  '*filter',
  ':FORWARD ACCEPT [0:0]',
  '-A FORWARD -p tcp -m tcp --dport 99 -j REJECT --reject-with tcp-reset',
  'COMMIT',
  '*nat',
  ':PREROUTING ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
  '-A PREROUTING -p udp -m udp --dport 9 -j DNAT --to-destination 10.2.0.2:81',
  '-A POSTROUTING -p udp -m udp --sport 1005 -j SNAT --to-source 10.2.0.1',
  'COMMIT\n',
].join('\n');

const SETS = `create first hash:ip family inet hashsize 1024 maxelem 65536
add first 10.9.9.9
create other hash:ip family inet hashsize 1024 maxelem 65536
add other 10.1.0.2
create nets hash:net family inet hashsize 1024 maxelem 65536
add nets 10.0.0.0/8
add nets 10.1.0.0/24 nomatch
create second list:set size 8
add second first
add second other
`;

function router(): Plan {
  return hostPlan('node', {
    interfaces: [
      iface('eth0', NEAR, { addresses: ['10.1.0.1/24'] }),
      iface('eth1', FAR, { addresses: ['10.2.0.1/24'] }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'eth0', source: '10.1.0.1' }),
      route('10.2.0.0/24', { device: 'eth1', source: '10.2.0.1' }),
    ],
    neighbors: [
      ['10.1.0.2', 'eth0', CLIENT],
      ['10.2.0.2', 'eth1', SERVER],
    ],
    sysctls: { 'net.ipv4.ip_forward': '1', 'net.netfilter.nf_conntrack_tcp_loose': '0' },
    iptables: RULES,
    extend: (builder) => builder.ipsets.push(...parseIpsets(SETS, 'by hand')),
  });
}

interface Segment {
  readonly window?: number;
  readonly length?: number;
  readonly options?: Uint8Array;
}

/** One TCP connection, by the client's port: segments of either end. */
function connection(port: number) {
  const segment = (numbers: readonly [number, number, number], more: Segment) => {
    const [flags, seq, ack] = numbers;
    const numbered = tcp().seq(seq).ack(ack).flags(flags);
    const plain = numbered.payload(more.length ?? 0);
    const sized = plain.window(more.window ?? 64_240);
    return more.options === undefined ? sized : sized.tcpOptions(more.options);
  };
  const client = (flags: number, seq: number, ack = 0, more: Segment = {}): Shot => {
    const way = segment([flags, seq, ack], more).from('10.1.0.2', port).to('10.2.0.2', 80);
    return { kind: 'frame', device: 'eth0', frame: way.frame({ srcMac: CLIENT, dstMac: NEAR }) };
  };
  const server = (flags: number, seq: number, ack = 0, more: Segment = {}): Shot => {
    const way = segment([flags, seq, ack], more).from('10.2.0.2', 80).to('10.1.0.2', port);
    return { kind: 'frame', device: 'eth1', frame: way.frame({ srcMac: SERVER, dstMac: FAR }) };
  };
  return { client, server };
}

const [FIN_ACK, SYN, PSH_ACK, ACK, SYN_ACK, RST] = [0x11, 0x02, 0x18, 0x10, 0x12, 0x04];

/** Closed by both ends, then the client takes the same port again. */
function reopened(): readonly Shot[] {
  const { client, server } = connection(1001);
  return [
    client(SYN, 100),
    server(SYN_ACK, 500, 101),
    client(ACK, 101, 501),
    client(FIN_ACK, 101, 501),
    server(FIN_ACK, 501, 102),
    client(ACK, 102, 502),
    client(SYN, 900_000),
    server(SYN_ACK, 700_000, 900_001),
    client(ACK, 900_001, 700_001),
  ];
}

/** The middle of a connection, on a host that picks none up. */
function midstream(): readonly Shot[] {
  const { client } = connection(1006);
  return [client(ACK, 100, 500), client(PSH_ACK, 100, 500, { length: 20 })];
}

/** A window that is large only when it is scaled by seven bits, and data at its far end. */
function scaled(): readonly Shot[] {
  const { client, server } = connection(1002);
  const options = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7);
  return [
    client(SYN, 100, 0, { options }),
    server(SYN_ACK, 500, 101, { options, window: 1000 }),
    client(ACK, 101, 501),
    server(ACK, 501, 101, { window: 500 }),
    client(PSH_ACK, 30_101, 501, { length: 10 }),
  ];
}

/** An association, and an INIT in it whose tag is not zero. */
function opened(): readonly Shot[] {
  const base = sctp().from('10.1.0.2', 1003).to('10.2.0.2', 80);
  const back = sctp().from('10.2.0.2', 80).to('10.1.0.2', 1003);
  const plain = (type: number) => ({ type, flags: 0, body: new Uint8Array(8) });
  const [mine, theirs] = [0x1111, 0x2222];
  const near = { srcMac: CLIENT, dstMac: NEAR };
  const far = { srcMac: SERVER, dstMac: FAR };
  const frames = [
    ['eth0', base.tag(0).chunks(sctpInit(mine)).frame(near)],
    [
      'eth1',
      back
        .tag(mine)
        .chunks({ ...sctpInit(theirs), type: SctpChunk.initAck })
        .frame(far),
    ],
    ['eth0', base.tag(theirs).chunks(plain(SctpChunk.cookieEcho)).frame(near)],
    ['eth1', back.tag(mine).chunks(plain(SctpChunk.cookieAck)).frame(far)],
    ['eth0', base.tag(7).chunks(sctpInit(mine)).frame(near)],
    ['eth0', base.tag(theirs).chunks(sctpInit(mine)).frame(near)],
  ] as const;
  return frames.map(([device, frame]) => ({ kind: 'frame', device, frame }));
}

/** Fragments of one datagram, two of which overlap: only what comes after them can be whole. */
function overlapping(): readonly Shot[] {
  const whole = udp().from('10.1.0.2', 1004).to('10.2.0.2', 80).payload(40);
  const pieces = [
    whole.fragment(0, true, 24),
    whole.fragment(16, true, 16),
    whole.fragment(32, false, 16),
    whole.fragment(0, true, 24),
    whole.fragment(24, true, 8),
  ];
  const macs = { srcMac: CLIENT, dstMac: NEAR };
  return pieces.map((piece) => ({ kind: 'frame', device: 'eth0', frame: piece.frame(macs) }));
}

/** A redirect about a connection that is translated; another port; a RST that is refused. */
function redirected(): readonly Shot[] {
  const out = udp().from('10.1.0.2', 1005).to('10.2.0.2', 80).tos(0x03);
  const translated = udp().from('10.2.0.1', 1005).to('10.2.0.2', 80).packet();
  const redirect = icmpError(translated, { type: 5, code: 1, rest: 0x0a020003, quote: 28 });
  const back = redirect.from('10.2.0.2').to('10.2.0.1');
  const near = { srcMac: CLIENT, dstMac: NEAR };
  const service = udp().from('10.1.0.2', 1007).to('10.2.0.9', 9);
  const reset = tcp().flags(RST).from('10.1.0.2', 1008).to('10.2.0.2', 99);
  return [
    { kind: 'frame', device: 'eth0', frame: out.frame(near) },
    { kind: 'frame', device: 'eth1', frame: back.frame({ srcMac: SERVER, dstMac: FAR }) },
    { kind: 'frame', device: 'eth0', frame: service.frame(near) },
    { kind: 'frame', device: 'eth0', frame: reset.frame(near) },
  ];
}

/** All of them on one host. */
export function directedTrial(): Trial {
  const shots = [
    ...reopened(),
    ...scaled(),
    ...opened(),
    ...overlapping(),
    ...redirected(),
    ...midstream(),
  ];
  return { name: 'made by hand', backend: 'legacy', plan: router(), shots };
}
