/**
 * A host with virtual servers between a client and two real servers: what each packet looks like on
 * the other side, who answers for whom, when connections end.
 *
 * From the source of net/netfilter/ipvs (Linux 6.1); no kernel with IPVS was at hand.
 *
 *   client 10.1.0.2 ── eth0 [host: 10.96.0.1 on a dummy] eth1 ── real servers 10.2.0.2, 10.2.0.3
 */
import t from 'tap';
import type { Injection, Journey } from '../../src/engine/engine.ts';
import type { ReferenceEngine } from '../../src/engine/reference.ts';
import { packetEnds } from '../../src/packet/ends.ts';
import { verifyChecksum } from '../../src/packet/transport-checksum.ts';
import { parseVirtualServers } from '../../src/plan/virtual-server-text.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import * as icmp from '../../src/wire/header/icmp.ts';
import * as ipv4 from '../../src/wire/header/ipv4.ts';
import { engineOf, hostPlan, iface, route, sentBy } from '../support/hosts.ts';
import {
  icmpEcho,
  icmpError,
  type PacketBuilder,
  parsed,
  sctp,
  sctpInit,
  tcp,
  udp,
} from '../support/packets.ts';

const SERVICE = '10.96.0.1';
const CLIENT = '10.1.0.2';
const ONE = '10.2.0.2';
const TWO = '10.2.0.3';
const HOST = '10.1.0.1';
const S = 1e9;

const SETTINGS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.ipv4.vs.conntrack': '1',
  'net.ipv4.vs.expire_nodest_conn': '1',
  'net.ipv4.vs.expire_quiescent_template': '1',
};

const TRACKED = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
`;
const MASQUERADING = `${TRACKED}*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
`;
const ONLY_ONE = `-A -t ${SERVICE}:80 -s rr\n-a -t ${SERVICE}:80 -r ${ONE}:8080 -m -w 1\n`;

interface Options {
  readonly rules?: string;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly mtu?: number;
}

function hostWith(servers: string, options: Options = {}): ReferenceEngine {
  const { rules = TRACKED, sysctls = {}, mtu = 1500 } = options;
  const plan = hostPlan('host', {
    interfaces: [
      iface('eth0', '02:00:00:00:00:0a', { addresses: [`${HOST}/24`, 'fd00:1::1/64'] }),
      iface('eth1', '02:00:00:00:00:0b', { addresses: ['10.2.0.1/24', 'fd00:2::1/64'], mtu }),
      iface('svc0', '02:00:00:00:00:0c', {
        kind: 'dummy',
        up: false,
        addresses: [`${SERVICE}/32`, 'fd00:96::1/128'],
      }),
    ],
    routes: [
      route('10.1.0.0/24', { device: 'eth0', source: HOST }),
      route('10.2.0.0/24', { device: 'eth1', source: '10.2.0.1' }),
      route('fd00:1::/64', { device: 'eth0' }),
      route('fd00:2::/64', { device: 'eth1' }),
    ],
    neighbors: [
      [CLIENT, 'eth0', '02:00:00:00:00:01'],
      ['10.1.0.3', 'eth0', '02:00:00:00:00:03'],
      [ONE, 'eth1', '02:00:00:00:00:02'],
      [TWO, 'eth1', '02:00:00:00:00:02'],
      ['fd00:1::2', 'eth0', '02:00:00:00:00:01'],
      ['fd00:2::2', 'eth1', '02:00:00:00:00:02'],
    ],
    sysctls: { ...SETTINGS, ...sysctls },
    iptables: rules,
    ip6tables: TRACKED,
    extend: (builder) => {
      builder.virtualServers = parseVirtualServers(servers, 'test');
    },
  });
  return engineOf([plan]);
}

let frame = 1;

function received(device: string, packet: PacketBuilder, nowNs: number): Injection {
  return { as: 'received', frame: frame++, host: 'host', device, packet: packet.packet(), nowNs };
}

const fromClient = (engine: ReferenceEngine, packet: PacketBuilder, nowNs = 0) =>
  engine.inject(received('eth0', packet, nowNs));
const fromReal = (engine: ReferenceEngine, packet: PacketBuilder, nowNs = 0) =>
  engine.inject(received('eth1', packet, nowNs));

/** `DEVICE SRC:PORT > DST:PORT` of each frame that left; the sum must be right. */
function sent(
  t: { equal(a: unknown, b: unknown, c: string): boolean },
  journey: Journey,
): readonly string[] {
  return sentBy(journey).map(({ device, frame: bytes }) => {
    const packet = parsed(bytes);
    t.equal(verifyChecksum(packet), 'right', 'its checksum');
    const { src, dst, sport, dport } = packetEnds(packet);
    return `${device} ${formatAddress(src)}:${sport} > ${formatAddress(dst)}:${dport}`;
  });
}

const syn = (port = 40_000, to = SERVICE, dport = 80) =>
  tcp().from(CLIENT, port).to(to, dport).syn().seq(1);

t.test('a request goes to the real server, its answer comes from the Service', async (t) => {
  const engine = hostWith(ONLY_ONE);
  const there = fromClient(engine, syn());
  t.strictSame(sent(t, there), [`eth1 ${CLIENT}:40000 > ${ONE}:8080`]);
  t.equal(ipv4.ttl(sentBy(there)[0]!.frame, 14), 63, 'as a router lowers it');
  const back = fromReal(engine, tcp().from(ONE, 8080).to(CLIENT, 40_000).syn().seq(9).ack(2));
  t.strictSame(sent(t, back), [`eth0 ${SERVICE}:80 > ${CLIENT}:40000`]);
  t.equal(back.steps.find((s) => s.stage === 'forward')?.fact, 'conntrack: established');
  t.match(engine.connections('host'), [{ original: /dst=10.96.0.1/, reply: /src=10.2.0.2.*8080/ }]);
});

t.test('what it masquerades comes back to the client all the same', async (t) => {
  const engine = hostWith(ONLY_ONE, { rules: MASQUERADING });
  const [out = ''] = sent(t, fromClient(engine, syn()));
  const port = Number(/^eth1 10\.2\.0\.1:(\d+) > 10\.2\.0\.2:8080$/.exec(out)?.[1]);
  t.ok(port > 0, out);
  const answer = tcp().from(ONE, 8080).to('10.2.0.1', port).syn().seq(9).ack(2);
  t.strictSame(sent(t, fromReal(engine, answer)), [`eth0 ${SERVICE}:80 > ${CLIENT}:40000`]);
});

t.test('UDP, SCTP and IPv6', async (t) => {
  const engine = hostWith(
    [
      `-A -u ${SERVICE}:53 -s rr\n-a -u ${SERVICE}:53 -r ${ONE}:5353 -m -w 1`,
      `-A --sctp-service ${SERVICE}:7 -s rr\n-a --sctp-service ${SERVICE}:7 -r ${ONE}:70 -m -w 1`,
      '-A -t [fd00:96::1]:80 -s rr\n-a -t [fd00:96::1]:80 -r [fd00:2::2]:8080 -m -w 1',
    ].join('\n'),
  );
  const query = udp().from(CLIENT, 5).to(SERVICE, 53).payload(4);
  t.strictSame(sent(t, fromClient(engine, query)), [`eth1 ${CLIENT}:5 > ${ONE}:5353`]);
  const reply = udp().from(ONE, 5353).to(CLIENT, 5).payload(4);
  t.strictSame(sent(t, fromReal(engine, reply)), [`eth0 ${SERVICE}:53 > ${CLIENT}:5`]);
  const init = sctp().from(CLIENT, 6).to(SERVICE, 7).chunks(sctpInit(1));
  t.strictSame(sent(t, fromClient(engine, init)), [`eth1 ${CLIENT}:6 > ${ONE}:70`]);
  const syn6 = tcp().from('fd00:1::2', 9).to('fd00:96::1', 80).syn();
  t.strictSame(sent(t, fromClient(engine, syn6)), ['eth1 fd00:1::2:9 > fd00:2::2:8080']);
});

t.test('ports that no virtual server has are the host’s own', async (t) => {
  const engine = hostWith(ONLY_ONE);
  t.equal(fromClient(engine, syn(1, SERVICE, 81)).outcome, 'delivered');
  t.equal(fromClient(engine, icmpEcho().from(CLIENT).to(SERVICE)).outcome, 'delivered');
  const stray = tcp().from(CLIENT, 2).to(SERVICE, 80).ack();
  t.equal(fromClient(engine, stray).outcome, 'delivered', 'no SYN opens nothing');
});

t.test('data connections of FTP are never given away', async (t) => {
  const journey = fromClient(hostWith(ONLY_ONE), syn(20));
  t.equal(journey.outcome, 'delivered');
});

t.test('a virtual server without real servers says so by ICMP, whatever is asked', async (t) => {
  const none = `-A -t ${SERVICE}:80 -s rr\n-A -u ${SERVICE}:53 -s rr\n`;
  const away = `${none}-a -t ${SERVICE}:80 -r ${ONE}:8080 -m -w 0\n`;
  for (const servers of [none, away]) {
    const engine = hostWith(servers);
    for (const packet of [syn(), udp().from(CLIENT, 5).to(SERVICE, 53).payload(4)]) {
      const journey = fromClient(engine, packet);
      t.match(journey, { outcome: 'dropped', reason: 'rejected' });
      t.match(journey.decision?.text, /virtual server 10.96.0.1:\d+ has no real server/);
      const [error] = sentBy(journey);
      t.ok(error, 'an error is sent');
      const p = parsed(error!.frame);
      t.equal(`${formatAddress(p.src)} ${icmp.type(p.bytes, p.l4)}`, `${SERVICE} 3`);
    }
  }
});

t.test('errors about requests come from the Service and quote what was sent to it', async (t) => {
  const engine = hostWith(ONLY_ONE);
  const [request] = sentBy(fromClient(engine, syn()));
  const error = icmpError(request!.frame.subarray(14)).from(ONE).to(CLIENT);
  const [out] = sentBy(fromReal(engine, error));
  const p = parsed(out!.frame);
  t.equal(verifyChecksum(p), 'right');
  t.equal(`${formatAddress(p.src)} > ${formatAddress(p.dst)}`, `${SERVICE} > ${CLIENT}`);
  t.strictSame(quoted(p.bytes, p.l4), [`${CLIENT}:40000`, `${SERVICE}:80`]);
});

t.test('errors about answers go to the real server and quote what it sent', async (t) => {
  const engine = hostWith(ONLY_ONE);
  fromClient(engine, syn());
  const answer = tcp().from(ONE, 8080).to(CLIENT, 40_000).syn().seq(9).ack(2);
  const [back] = sentBy(fromReal(engine, answer));
  const error = icmpError(back!.frame.subarray(14), { code: 4, rest: 1400 })
    .from(CLIENT)
    .to(SERVICE);
  const [out] = sentBy(fromClient(engine, error));
  t.equal(out?.device, 'eth1');
  const p = parsed(out!.frame);
  t.equal(verifyChecksum(p), 'right');
  t.equal(`${formatAddress(p.src)} > ${formatAddress(p.dst)}`, `${CLIENT} > ${ONE}`);
  t.strictSame(quoted(p.bytes, p.l4), [`${ONE}:8080`, `${CLIENT}:40000`]);
});

function quoted(bytes: Uint8Array, l4: number): readonly string[] {
  const at = l4 + icmp.HEADER_LENGTH;
  const port = (off: number) => (bytes[at + 20 + off]! << 8) | bytes[at + 21 + off]!;
  const [src, dst] = [ipv4.src(bytes, at), ipv4.dst(bytes, at)].map(formatAddress);
  return [`${src}:${port(0)}`, `${dst}:${port(2)}`];
}

t.test('size and TTL are judged as a router judges them', async (t) => {
  const engine = hostWith(ONLY_ONE, { mtu: 1000 });
  t.match(fromClient(engine, syn().ttl(1)), { outcome: 'dropped', reason: 'ttlExpired' });
  fromClient(engine, syn(2));
  const large = tcp().from(CLIENT, 2).to(SERVICE, 80).ack().seq(2).payload(1200);
  const journey = fromClient(engine, large);
  t.match(journey, { outcome: 'dropped', reason: 'tooBig' });
  t.equal(journey.generated.length, 1, 'and the client is told');
});

t.test('a client is kept at its real server for as long as persistence says', async (t) => {
  const engine = hostWith(
    [ONE, TWO]
      .map((real) => `-a -t ${SERVICE}:80 -r ${real}:8080 -m -w 1\n`)
      .reduce((text, line) => text + line, `-A -t ${SERVICE}:80 -s rr -p 100\n`),
  );
  const realOf = (port: number, nowNs: number) =>
    /> (\S+):/.exec(sent(t, fromClient(engine, syn(port), nowNs))[0] ?? '')?.[1];
  const first = realOf(1, 0);
  const same = Array.from({ length: 20 }, (_, i) => realOf(1002 + i, i * S));
  t.strictSame(new Set([first, ...same]), new Set([first]));
  // Connections that got no further than their SYN are kept a minute; so long the template stays.
  const later = Array.from({ length: 40 }, (_, i) => realOf(2000 + i, (200 + i * 300) * S));
  t.equal(new Set(later).size, 2, 'and drawn anew when it is over');
});

t.test('weights are probabilities; weight 0 takes nobody', async (t) => {
  const weights = (one: number, two: number, scheduler: string) =>
    hostWith(
      `-A -t ${SERVICE}:80 -s ${scheduler}\n` +
        `-a -t ${SERVICE}:80 -r ${ONE}:8080 -m -w ${one}\n` +
        `-a -t ${SERVICE}:80 -r ${TWO}:8080 -m -w ${two}\n`,
    );
  const shares = (engine: ReferenceEngine) =>
    engine
      .courses(received('eth0', syn(), 0), () => null)
      .courses.map((c) => Math.round(c.probability * 1000))
      .toSorted((a, b) => a - b);
  for (const scheduler of ['wrr', 'wlc', 'sed', 'nq', 'lblc', 'lblcr', 'sh', 'mh']) {
    t.strictSame(shares(weights(1, 3, scheduler)), [250, 750], scheduler);
  }
  for (const scheduler of ['rr', 'lc', 'dh']) {
    t.strictSame(shares(weights(1, 3, scheduler)), [500, 500], scheduler);
  }
  for (const scheduler of ['rr', 'wrr', 'lc', 'mh']) {
    t.strictSame(shares(weights(0, 3, scheduler)), [1000], `${scheduler}, one away`);
  }
  const half = weights(0, 1, 'sh').courses(received('eth0', syn(), 0), () => null);
  t.strictSame(half.courses.map((c) => c.forward.outcome).toSorted(), ['dropped', 'exited']);
});

t.test('hashes send a client, or a whole Service, to one real server', async (t) => {
  const servers = (scheduler: string) =>
    [ONE, TWO]
      .map((real) => `-a -t ${SERVICE}:80 -r ${real}:8080 -m -w 1\n`)
      .reduce((text, line) => text + line, `-A -t ${SERVICE}:80 -s ${scheduler}\n`);
  const realsOf = (scheduler: string, packets: readonly PacketBuilder[]) => {
    const engine = hostWith(servers(scheduler));
    const all = packets.map((p) => /> (\S+):/.exec(sent(t, fromClient(engine, p))[0] ?? '')?.[1]);
    return new Set(all).size;
  };
  const ports = Array.from({ length: 16 }, (_, i) => syn(1000 + i));
  const clients = Array.from({ length: 16 }, (_, i) =>
    tcp()
      .from(`10.1.0.${10 + i}`, 5)
      .to(SERVICE, 80)
      .syn(),
  );
  t.equal(realsOf('rr', ports), 2);
  t.equal(realsOf('sh', ports), 1);
  t.equal(realsOf('sh', clients), 2);
  t.equal(realsOf('dh', [...ports, ...clients]), 1);
  t.equal(realsOf('mh -b mh-port', ports), 2);
});

t.test('an idle connection ends, and the tracker forgets it with it', async (t) => {
  const engine = hostWith(ONLY_ONE);
  const answer = tcp().from(ONE, 8080).to(CLIENT, 40_000);
  fromClient(engine, syn(), 0);
  fromReal(engine, answer.syn().seq(9).ack(2), 1e6);
  const data = tcp().from(CLIENT, 40_000).to(SERVICE, 80).ack().seq(2).ack(10);
  t.equal(fromClient(engine, data, 2e6).end.device, 'eth1');
  t.equal(fromClient(engine, data, 899 * S).end.device, 'eth1', 'within a quarter of an hour');
  t.equal(engine.connections('host').length, 1);
  const late = fromClient(engine, data, (899 + 901) * S);
  t.equal(late.outcome, 'delivered', 'nobody is asked any more: the host itself takes it');
  t.match(engine.connections('host'), [{ reply: /src=10.96.0.1/ }], 'another connection by now');
});

t.test('a port used again while the tracker keeps the old connection costs one SYN', async (t) => {
  const closing = (engine: ReferenceEngine) => {
    const client = tcp().from(CLIENT, 40_000).to(SERVICE, 80);
    const real = tcp().from(ONE, 8080).to(CLIENT, 40_000);
    fromClient(engine, client.syn().seq(1), 0);
    fromReal(engine, real.syn().seq(9).ack(2), 1e6);
    fromClient(engine, client.seq(2).ack(10), 2e6);
    fromClient(engine, client.fin().seq(2).ack(10), 3e6);
    fromReal(engine, real.fin().seq(10).ack(3), 4e6);
    return engine;
  };
  const again = syn().seq(5_000_000);
  const engine = closing(hostWith(ONLY_ONE));
  t.match(fromClient(engine, again, 2 * S), { reason: 'virtualConnectionEnded' });
  t.equal(engine.connections('host').length, 0);
  t.equal(fromClient(engine, again, 3 * S).end.device, 'eth1', 'the next one opens it');
  const kept = closing(hostWith(ONLY_ONE, { sysctls: { 'net.ipv4.vs.conn_reuse_mode': '0' } }));
  t.equal(fromClient(kept, again, 2 * S).end.device, 'eth1', 'without conn_reuse_mode');
});

t.test('after a reset the tracker begins anew, and so does the virtual server', async (t) => {
  const engine = hostWith(ONLY_ONE);
  fromClient(engine, syn(), 0);
  fromReal(engine, tcp().from(ONE, 8080).to(CLIENT, 40_000).rst().ack(2).seq(0), 1e6);
  t.equal(fromClient(engine, syn().seq(5_000_000), 2 * S).end.device, 'eth1');
  t.equal(engine.connections('host').length, 1);
});

t.test('a real server on the host itself', async (t) => {
  const engine = hostWith(`-A -t ${SERVICE}:80 -s rr\n-a -t ${SERVICE}:80 -r ${HOST}:8080 -m -w 1`);
  const journey = fromClient(engine, syn());
  t.equal(journey.outcome, 'delivered');
  const packet = journeyEnds(journey);
  t.equal(packet, `${CLIENT}:40000 > ${HOST}:8080`);
  const answer = tcp().from(HOST, 8080).to(CLIENT, 40_000).syn().seq(9).ack(2).packet();
  const back = engine.inject({
    as: 'local',
    frame: frame++,
    host: 'host',
    packet: answer,
    nowNs: 1,
  });
  t.strictSame(sent(t, back), [`eth0 ${SERVICE}:80 > ${CLIENT}:40000`]);
});

t.test('what the host itself asks of a Service', async (t) => {
  const engine = hostWith(ONLY_ONE, { rules: MASQUERADING });
  const packet = tcp().from(SERVICE, 7).to(SERVICE, 80).syn().packet();
  const there = engine.inject({ as: 'local', frame: frame++, host: 'host', packet, nowNs: 0 });
  const [out = ''] = sent(t, there);
  t.match(out, /^eth1 10\.2\.0\.1:\d+ > 10\.2\.0\.2:8080$/, 'out by the output hook');
  const port = Number(/:(\d+) >/.exec(out)?.[1]);
  const answer = tcp().from(ONE, 8080).to('10.2.0.1', port).syn().seq(9).ack(1);
  const back = fromReal(engine, answer);
  t.equal(back.outcome, 'delivered');
  t.equal(journeyEnds(back), `${SERVICE}:80 > ${SERVICE}:7`, 'the answer is the Service’s');
  const looped = tcp().from('127.0.0.1', 7).to(SERVICE, 80).syn().packet();
  const lost = engine.inject({
    as: 'local',
    frame: frame++,
    host: 'host',
    packet: looped,
    nowNs: 1,
  });
  t.match(lost, { outcome: 'dropped', reason: 'martianSource' });
});

function journeyEnds({ packet }: Journey): string {
  const bytes = new Uint8Array(14 + (packet?.length ?? 0));
  bytes.set([8, 0], 12);
  bytes.set(packet ?? [], 14);
  const { src, dst, sport, dport } = packetEnds(parsed(bytes));
  return `${formatAddress(src)}:${sport} > ${formatAddress(dst)}:${dport}`;
}

t.test('rules may ask for the virtual server', async (t) => {
  const asks = (match: string) =>
    hostWith(ONLY_ONE, {
      rules: TRACKED.replace('COMMIT', `-A OUTPUT -m ipvs ${match} -j DROP\nCOMMIT`),
    });
  const drops = (match: string) => fromClient(asks(match), syn()).reason === 'ruleDenied';
  t.ok(drops('--ipvs'));
  t.notOk(drops('! --ipvs'));
  t.ok(drops(`--vaddr ${SERVICE} --vproto 6 --vport 80`));
  t.notOk(drops(`--vaddr ${SERVICE} --vport 81`));
  t.ok(drops(`--vaddr 10.96.0.0/16 ! --vport 81`));
  t.notOk(drops('! --vaddr 10.96.0.0/16'));
  t.ok(drops('--vdir ORIGINAL --vmethod MASQ'));
  t.notOk(drops('--vdir REPLY'));
  t.notOk(drops('! --vmethod MASQ'));
  t.notOk(drops('--vproto 17'));
});

t.test('connections open before the capture are kept as established ones', async (t) => {
  const engine = hostWith(ONLY_ONE);
  engine.assumeOpen(received('eth0', syn(), 0));
  const data = tcp().from(CLIENT, 40_000).to(SERVICE, 80).ack().seq(77).ack(10).payload(3);
  t.strictSame(sent(t, fromClient(engine, data, 800 * S)), [`eth1 ${CLIENT}:40000 > ${ONE}:8080`]);
});
