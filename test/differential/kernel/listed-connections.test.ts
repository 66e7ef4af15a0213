/**
 * A real host's connections taken over: traffic begins in the kernel alone, its `conntrack -L` goes
 * into an engine that has seen nothing, and the rest of the traffic must come out of both the same,
 * translated as it was decided before; then both tables list the same. Needs root.
 * @module
 */
import t from 'tap';
import { parseConnections, printConnections } from '../../../src/plan/conntrack-text.ts';
import { MAIN_TABLE, type Plan } from '../../../src/plan/model.ts';
import { SctpChunk } from '../../../src/wire/header/sctp.ts';
import { engineOf, hostPlan, iface, route, sentBy } from '../../support/hosts.ts';
import {
  icmpEcho,
  icmpEchoReply,
  icmpError,
  type PacketBuilder,
  rawIp,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../../support/packets.ts';
import { comparable } from './harness/comparable.ts';
import { kernelMissing, Laboratory } from './harness/laboratory.ts';

const skip = kernelMissing(['iptables-restore', 'ip6tables-restore', 'conntrack']) ?? false;

const MACS = { eth0: '02:00:00:00:00:aa', eth1: '02:00:00:00:00:ab' } as const;
const CLIENTS = ['10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '2001:db8:1::2'];
const SERVERS = ['10.2.0.2', '10.2.0.3', '2001:db8:2::2'];

/** What a packet is to the tracker shows in its TOS; what rules ask of a connection in counters. */
const STATES = (
  [
    ['INVALID', 0x10],
    ['NEW', 0x20],
    ['RELATED', 0x30],
    ['ESTABLISHED', 0x40],
  ] as const
).map(
  ([state, tos]) =>
    `-A PREROUTING -m conntrack --ctstate ${state} -j TOS --set-tos 0x${tos.toString(16)}/0xff`,
);

const RULES4 = [
  '*raw',
  '-A PREROUTING -s 10.1.0.4/32 -j CT --zone 7',
  '-A PREROUTING -s 10.2.0.3/32 -j CT --zone 7',
  'COMMIT',
  '*mangle',
  ...STATES,
  '-A PREROUTING -m conntrack --ctstatus ASSURED',
  '-A PREROUTING -m conntrack --ctstatus SEEN_REPLY',
  '-A PREROUTING -m conntrack --ctstate SNAT',
  '-A PREROUTING -m conntrack --ctstate DNAT',
  '-A PREROUTING -m conntrack --ctdir REPLY',
  '-A PREROUTING -p tcp -m conntrack --ctorigdst 10.9.9.9',
  '-A PREROUTING -p tcp -m conntrack --ctreplsrc 10.2.0.2',
  '-A PREROUTING -m connmark --mark 0x5',
  // Its module has the kernel count packets by connection, and list the counts.
  '-A PREROUTING -m connbytes --connbytes 3 --connbytes-mode packets --connbytes-dir original',
  '-A FORWARD -p tcp -m tcp --dport 8080 -j CONNMARK --set-mark 0x5',
  'COMMIT',
  '*nat',
  '-A PREROUTING -d 10.9.9.9/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.2.0.2:8080',
  '-A PREROUTING -d 10.9.9.9/32 -p udp -j DNAT --to-destination 10.2.0.2:5353',
  '-A POSTROUTING -s 10.1.0.5/32 -p tcp -j SNAT --to-source 10.2.0.1:7000-7000',
  '-A POSTROUTING -s 10.1.0.3/32 -o eth1 -j MASQUERADE',
  'COMMIT',
  '*filter',
  ':FORWARD DROP',
  '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  '-A FORWARD -i eth0 -m conntrack --ctstate NEW -j ACCEPT',
  'COMMIT',
  '',
].join('\n');

const RULES6 = [
  '*mangle',
  ...STATES,
  'COMMIT',
  '*nat',
  '-A PREROUTING -d 2001:db8:9::9/128 -p tcp -j DNAT --to-destination [2001:db8:2::2]:8080',
  'COMMIT',
  '',
].join('\n');

function routerPlan(): Plan {
  const plan = hostPlan('router', {
    interfaces: [
      iface('eth0', MACS.eth0, { addresses: ['10.1.0.1/24', '2001:db8:1::1/64'] }),
      iface('eth1', MACS.eth1, { addresses: ['10.2.0.1/24', '2001:db8:2::1/64'] }),
    ],
    routes: ['10.1.0.0/24', '2001:db8:1::/64']
      .map((net) => route(net, { device: 'eth0' }))
      .concat(['10.2.0.0/24', '2001:db8:2::/64'].map((net) => route(net, { device: 'eth1' }))),
    neighbors: [
      ...CLIENTS.map((ip) => [ip, 'eth0', '02:00:00:00:00:cc'] as const),
      ...SERVERS.map((ip) => [ip, 'eth1', '02:00:00:00:00:bb'] as const),
    ],
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv6.conf.all.forwarding': '1',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '0',
    },
    iptables: RULES4,
    ip6tables: RULES6,
  });
  return { ...plan, routes: plan.routes.map((one) => ({ ...one, table: MAIN_TABLE })) };
}

/** A packet, and the side it comes from. */
type Step = readonly [device: 'eth0' | 'eth1', packet: PacketBuilder];

interface Talk {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Steps that the kernel alone sees. */
  readonly before: number;
}

/** Both ends of a TCP connection as each side of the router has them. */
function tcpTalk(
  client: readonly [string, number, string, number],
  server: readonly [string, number, string, number],
): readonly Step[] {
  const there = tcp().from(client[0], client[1]).to(client[2], client[3]);
  const back = tcp().from(server[0], server[1]).to(server[2], server[3]);
  return [
    ['eth0', there.seq(100).syn()],
    ['eth1', back.seq(900).syn().ack(101)],
    ['eth0', there.seq(101).ack(901)],
    ['eth0', there.seq(101).ack(901).psh().payload(50)],
    ['eth1', back.seq(901).ack(151).psh().payload(70)],
    ['eth0', there.seq(151).ack(971).fin()],
    ['eth1', back.seq(971).ack(152)],
    ['eth1', back.seq(971).ack(152).fin()],
    ['eth0', there.seq(152).ack(972)],
    // The same ports once more.
    ['eth0', there.seq(70_000).syn()],
    ['eth1', back.seq(80_000).syn().ack(70_001)],
  ];
}

const plainTcp = (port: number) =>
  tcpTalk(['10.1.0.2', port, '10.2.0.2', 80], ['10.2.0.2', 80, '10.1.0.2', port]);

/** Its client gives it up, and comes back. */
function resetTalk(port: number): readonly Step[] {
  const whole = plainTcp(port);
  const there = tcp().from('10.1.0.2', port).to('10.2.0.2', 80);
  return [...whole.slice(0, 3), ['eth0', there.seq(101).ack(901).rst()], ...whole.slice(9)];
}

function udpTalk(
  client: readonly [string, number, string, number],
  server: readonly [string, number, string, number],
): readonly Step[] {
  const there = udp().from(client[0], client[1]).to(client[2], client[3]).payload(9);
  const back = udp().from(server[0], server[1]).to(server[2], server[3]).payload(11);
  return [
    ['eth0', there],
    ['eth1', back],
    ['eth0', there],
    ['eth1', back],
  ];
}

function sctpTalk(port: number): readonly Step[] {
  const there = sctp().from('10.1.0.2', port).to('10.2.0.2', 5000);
  const back = there.reversed();
  const chunk = (type: number) => ({ type, flags: 0, body: new Uint8Array(8) });
  return [
    ['eth0', there.tag(0).chunks(sctpInit(0x11))],
    ['eth1', back.tag(0x11).chunks({ ...sctpInit(0x22), type: SctpChunk.initAck })],
    ['eth0', there.tag(0x22).chunks(chunk(SctpChunk.cookieEcho))],
    ['eth1', back.tag(0x11).chunks(chunk(SctpChunk.cookieAck))],
    ['eth0', there.tag(0x22).chunks(chunk(SctpChunk.data))],
    ['eth1', back.tag(0x11).chunks(chunk(SctpChunk.sack))],
    ['eth0', there.tag(0x22).chunks(chunk(SctpChunk.shutdown))],
    ['eth1', back.tag(0x11).chunks(chunk(SctpChunk.shutdownAck))],
  ];
}

/** The server's router can not deliver what the masqueraded client sent. */
function errorTalk(): readonly Step[] {
  const sent = udp().from('10.1.0.3', 6100).to('10.2.0.2', 6000).payload(9);
  const left = udp().from('10.2.0.1', 6100).to('10.2.0.2', 6000).payload(9);
  return [
    ['eth0', sent],
    ['eth1', icmpError(left.packet()).from('10.2.0.2').to('10.2.0.1')],
  ];
}

const TALKS: readonly Talk[] = [
  // Each state of a plain connection is the last that the kernel alone sees, once.
  ...Array.from({ length: 10 }, (_, i): Talk => {
    return { name: `tcp, ${i + 1} before`, steps: plainTcp(2000 + i), before: i + 1 };
  }),
  { name: 'tcp, reset before', steps: resetTalk(2100), before: 4 },
  ...[1, 2, 3, 5].map((before): Talk => {
    const port = 3000 + before;
    const steps = tcpTalk(['10.1.0.2', port, '10.9.9.9', 80], ['10.2.0.2', 8080, '10.1.0.2', port]);
    return { name: `tcp to another destination, ${before} before`, steps, before };
  }),
  {
    name: 'masqueraded tcp',
    steps: tcpTalk(['10.1.0.3', 4000, '10.2.0.2', 80], ['10.2.0.2', 80, '10.2.0.1', 4000]),
    before: 4,
  },
  {
    name: 'tcp with another source port',
    steps: tcpTalk(['10.1.0.5', 4000, '10.2.0.2', 80], ['10.2.0.2', 80, '10.2.0.1', 7000]),
    before: 3,
  },
  {
    name: 'the port that is taken',
    steps: [['eth0', tcp().from('10.1.0.5', 4001).to('10.2.0.2', 80).seq(5).syn()]],
    before: 0,
  },
  {
    name: 'tcp in a zone',
    steps: tcpTalk(['10.1.0.4', 4100, '10.2.0.3', 80], ['10.2.0.3', 80, '10.1.0.4', 4100]),
    before: 3,
  },
  {
    name: 'tcp over IPv6 to another destination',
    steps: tcpTalk(
      ['2001:db8:1::2', 4200, '2001:db8:9::9', 80],
      ['2001:db8:2::2', 8080, '2001:db8:1::2', 4200],
    ),
    before: 3,
  },
  ...[1, 2].map((before): Talk => {
    const port = 5000 + before;
    const steps = udpTalk(['10.1.0.2', port, '10.9.9.9', 53], ['10.2.0.2', 5353, '10.1.0.2', port]);
    return { name: `udp, ${before} before`, steps, before };
  }),
  {
    name: 'udp over IPv6',
    steps: udpTalk(
      ['2001:db8:1::2', 53, '2001:db8:2::2', 54],
      ['2001:db8:2::2', 54, '2001:db8:1::2', 53],
    ),
    before: 1,
  },
  {
    name: 'masqueraded echo',
    steps: [
      ['eth0', icmpEcho(77, 1).from('10.1.0.3').to('10.2.0.2')],
      ['eth1', icmpEchoReply(77, 1).from('10.2.0.2').to('10.2.0.1')],
      ['eth0', icmpEcho(77, 2).from('10.1.0.3').to('10.2.0.2')],
    ],
    before: 1,
  },
  { name: 'an error about what was masqueraded', steps: errorTalk(), before: 1 },
  ...[1, 3, 5].map((before): Talk => {
    return { name: `sctp, ${before} before`, steps: sctpTalk(700 + before), before };
  }),
  {
    name: 'gre and a protocol that nobody knows',
    steps: [
      [
        'eth0',
        rawIp(47)
          .from('10.1.0.2')
          .to('10.2.0.2')
          .payload(Uint8Array.of(0, 0, 8, 0)),
      ],
      ['eth0', rawIp(99).from('10.1.0.2').to('10.2.0.2').payload(8)],
      [
        'eth1',
        rawIp(47)
          .from('10.2.0.2')
          .to('10.1.0.2')
          .payload(Uint8Array.of(0, 0, 8, 0)),
      ],
      ['eth1', rawIp(99).from('10.2.0.2').to('10.1.0.2').payload(8)],
    ],
    before: 2,
  },
  {
    name: 'answers to what was never asked',
    steps: [['eth1', tcp().from('10.2.0.2', 80).to('10.1.0.2', 9999).seq(1).ack(2)]],
    before: 0,
  },
];

/** The steps of all talks that are next, round after round. */
function rounds(stepsOf: (talk: Talk) => readonly Step[]): readonly (readonly Step[])[] {
  const all = TALKS.map(stepsOf);
  const most = Math.max(...all.map((steps) => steps.length));
  return Array.from({ length: most }, (_, i) => all.flatMap((steps) => steps.slice(i, i + 1)));
}

function wired([device, packet]: Step) {
  return { device, frame: packet.frame({ dstMac: MACS[device] }) };
}

function lines(frames: readonly { readonly device: string; readonly frame: Uint8Array }[]) {
  return frames.flatMap(({ device, frame }) => comparable(device, frame) ?? []).toSorted();
}

for (const backend of ['nft', 'legacy'] as const) {
  t.test(`what the kernel listed goes on as it began (${backend})`, { skip }, async (t) => {
    const lab = new Laboratory(t);
    const plan = routerPlan();
    await lab.build(plan, backend);
    for (const steps of rounds(({ steps, before }) => steps.slice(0, before))) {
      await lab.send(steps.map(wired));
    }
    await lab.startClock();
    const list = await lab.run(['conntrack', '-L', '-o', 'extended']);
    const connections = parseConnections(list, 'conntrack.txt');
    t.ok(connections.length > 25, `${connections.length} connections are open`);
    t.strictSame(
      printConnections({ ...plan, connections })
        .trim()
        .split('\n'),
      list
        .trim()
        .replaceAll(/ use=\d+ *$/gm, ' use=1')
        .split('\n'),
      'and printed back as listed',
    );
    const before = await lab.read(plan, backend);
    const engine = engineOf([{ ...plan, connections }]);
    let frame = 0;
    for (const [at, steps] of rounds(({ steps, before: n }) => steps.slice(n)).entries()) {
      const frames = steps.map(wired);
      const heard = await lab.send(frames);
      const out = frames.flatMap(({ device, frame: frameBytes }) => {
        frame += 1;
        const nowNs = Math.round(lab.sentAt * 1e9) + frame * 1000;
        return sentBy(
          engine.inject({ as: 'frame', host: 'router', device, frameBytes, frame, nowNs }),
        );
      });
      t.strictSame(lines(out), lines(heard), `frames of round ${at + 1}`);
      t.ok(at > 2 || heard.length > 8, `${heard.length} came out`);
    }
    const after = await lab.read(plan, backend);
    const counted = [...after.counters].map(([rule, count]) => {
      const [packets = 0, bytes = 0] = count.split(':').map(Number);
      const [p = 0, b = 0] = (before.counters.get(rule) ?? '0:0').split(':').map(Number);
      return [rule, `${packets - p}:${bytes - b}`] as const;
    });
    const ours = [...engine.counters('router')].map(
      ([rule, { packets, bytes }]) => [rule, `${packets}:${bytes}`] as const,
    );
    t.strictSame(Object.fromEntries(ours), Object.fromEntries(counted), 'rules counted the same');
    const told = (all: readonly { original: string; reply: string; status: string }[]) =>
      all.map(({ original, reply, status }) => `${original} | ${reply} | ${status}`).toSorted();
    t.strictSame(told(engine.connections('router')), told(after.connections), 'the tables agree');
    const left = new Map(engine.connections('router').map((c) => [c.original, c.timeoutS]));
    t.strictSame(
      after.connections.filter((c) => Math.abs((left.get(c.original) ?? -9) - c.seconds) > 2),
      [],
      'for as long',
    );
  });
}
