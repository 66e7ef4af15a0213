/**
 * What a capture's frames are taken to be, before any stack judges them: duplicates, openings,
 * offload, aggregates, cuts, TTLs, clocks.
 * @module
 */
import t from 'tap';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import { Identities } from '../../src/lab/identity.ts';
import type { Captured } from '../../src/lab/traffic/captured.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { Traffic, type TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { twoNodesShop } from '../support/clusters.ts';
import { tcp, udp } from '../support/packets.ts';

const { cluster } = twoNodesShop();
const pods = cluster.pods.filter((p) => !p.hostNetwork && p.addresses.length > 0);
const text = (i: number) =>
  [24, 16, 8, 0].map((s) => (pods[i]!.addresses[0]!.w3 >>> s) & 255).join('.');
const WEB = text(0);
const DB = text(1);
const OUTSIDE = '203.0.113.9';

interface Given {
  readonly frame: Uint8Array;
  readonly atS?: number;
  readonly iface?: number;
  readonly wireLength?: number;
}

function take(given: readonly Given[], options: Partial<TrafficOptions> = {}): readonly Captured[] {
  const records = given.map(
    ({ frame, atS = 0, iface = 0, wireLength = frame.length }, i): PacketRecord => ({
      frame: i + 1,
      iface: { id: iface, file: `f${iface}.pcap`, linkType: LinkType.ethernet, snapLength: 65535 },
      timeNs: BigInt(Math.round(atS * 1e9)),
      data: frame,
      wireLength,
    }),
  );
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const traffic = new Traffic({
    identities: new Identities(cluster, addressPlan(cluster)),
    map: new AddressMap([]),
    checksums: 'auto',
    survey: survey.checksums,
    midstream: 'assume',
    vantages: new Vantages([]),
    entryIsGiven: false,
    ...options,
  });
  return records.map((record) => traffic.take(record));
}

const SYN = tcp().from(WEB, 40000).to(DB, 5432).syn().id(7);

t.test('the same packet further on is an observation, a retransmission is not', async (t) => {
  const [first, beyond, again, elsewhere, next, late] = take([
    { frame: SYN.frame() },
    { frame: SYN.ttl(63).frame({ srcMac: '02:00:00:00:00:09' }), iface: 1, atS: 0.001 },
    { frame: SYN.frame(), atS: 0.2 },
    { frame: SYN.frame(), atS: 5, iface: 1 },
    { frame: SYN.id(8).frame(), atS: 6.5 },
    { frame: SYN.id(8).frame(), atS: 8, iface: 1 },
  ]);
  t.equal(first?.kind, 'datagram');
  t.match(beyond, { kind: 'observed', beyondSender: true });
  t.equal(again?.kind, 'datagram', 'same place, same TTL: a retransmission');
  t.equal(elsewhere?.kind, 'datagram', 'five seconds later it is another packet');
  t.equal(next?.kind, 'datagram');
  t.equal(late?.kind, 'datagram', 'one and a half, too');
});

t.test(
  'a copy of a packet shows that its conversation goes on, and counts for nothing',
  async (t) => {
    const packet = udp().from(WEB, 40000).to(DB, 5353).payload(9);
    const asked = packet.id(1);
    const late = { frame: packet.id(2).frame(), atS: 180.2 };
    const copy = {
      frame: asked.ttl(63).frame({ srcMac: '02:00:00:00:00:09' }),
      iface: 1,
      atS: 0.5,
    };
    const idsOf = (rows: readonly Captured[]) => rows.map((r) => r.membership?.conversation.id);
    t.strictSame(
      idsOf(take([{ frame: asked.frame() }, late])),
      [1, 2],
      'a silence of 180 s ends it',
    );
    const copied = take([{ frame: asked.frame() }, copy, late]);
    t.equal(copied[1]?.kind, 'observed');
    t.strictSame(idsOf(copied), [1, 1, 1]);
    t.equal(copied[0]?.membership?.conversation.packets, 2);
  },
);

t.test('who opened a connection whose opening is not in the capture', async (t) => {
  const [answer, unclear, synAck, dns] = take([
    { frame: tcp().from(DB, 443).to(WEB, 50001).ack(1).payload(4).frame() },
    { frame: tcp().from(WEB, 50001).to(DB, 50002).ack(1).payload(4).frame() },
    { frame: tcp().from(DB, 50003).to(WEB, 50004).syn().ack(1).frame() },
    { frame: udp().from(DB, 53).to(WEB, 50005).payload(4).frame() },
  ]);
  const facts = (c: Captured | undefined) => [
    c?.membership?.conversation.opening,
    c?.membership?.direction,
  ];
  t.strictSame(facts(answer), ['assumed', 'reply'], 'port 443 is the server');
  t.strictSame(facts(unclear), ['unknown', 'original'], 'two ephemeral ports tell nothing');
  t.strictSame(facts(synAck), ['assumed', 'reply'], 'a SYN-ACK is an answer');
  t.strictSame(facts(dns), ['assumed', 'reply'], 'from port 53 to an ephemeral one: an answer');
});

t.test(
  "unfilled checksums are the device's business, wrong ones among right ones are wrong",
  async (t) => {
    const wrong = (port: number) => tcp().from(WEB, port).to(DB, 80).syn().badChecksum();
    const right = tcp().from(DB, 80).to(WEB, 1).syn().ack(1);
    const rows = take([
      { frame: SYN.offloaded().frame() },
      { frame: wrong(1).frame() },
      { frame: wrong(2).frame() },
      { frame: right.frame() },
      { frame: right.badChecksum().frame() },
    ]);
    t.strictSame(
      rows.map((r) => r.offloaded),
      [true, true, true, false, false],
    );
    const strict = take([{ frame: SYN.offloaded().frame() }], { checksums: 'strict' });
    t.equal(strict[0]?.offloaded, false);
  },
);

t.test('aggregates and cut packets are told apart from malformed ones', async (t) => {
  const big = tcp().from(WEB, 40000).to(DB, 5432).ack(1).payload(9000);
  const whole = SYN.payload(100).frame();
  const [aggregate, cut, inHeader, bad] = take([
    { frame: big.frame() },
    { frame: whole.slice(0, 60), wireLength: whole.length },
    { frame: whole.slice(0, 30), wireLength: whole.length },
    { frame: whole.slice(0, 30) },
  ]);
  t.match(aggregate, { kind: 'datagram', segmentSize: 1460, notes: ['offloadAggregate'] });
  t.match(cut, { kind: 'datagram', notes: ['cutBySnaplen'] });
  t.match(inHeader, { kind: 'unknown', reason: 'headerCut' });
  t.match(bad, { kind: 'malformed', reason: 'ipv4Truncated' });
});

t.test('where no host can be named there is no verdict', async (t) => {
  const rows = take([
    { frame: tcp().from(OUTSIDE, 1).to('198.51.100.7', 80).syn().frame() },
    { frame: udp().from(WEB, 1).to('239.1.1.1', 5000).frame() },
    { frame: udp().from(WEB, 1).to('127.0.0.1', 5000).frame() },
    { frame: tcp().from(OUTSIDE, 1).to(WEB, 80).syn().frame() },
  ]);
  t.strictSame(
    rows.map((r) => (r.kind === 'unknown' ? r.reason : r.kind)),
    ['notInCluster', 'multicast', 'loopback', 'datagram'],
  );
});

t.test('a TTL just below a usual one was lowered on the way', async (t) => {
  const rows = take(
    [64, 63, 125, 40, 255].map((ttl, i) => ({
      frame: SYN.id(100 + i)
        .ttl(ttl)
        .frame(),
    })),
  );
  t.strictSame(
    rows.map((r) => r.ttl),
    [64, 64, 128, 40, 255],
  );
  const outside = take([{ frame: tcp().from(OUTSIDE, 1).to(WEB, 80).syn().ttl(63).frame() }]);
  t.equal(outside[0]?.ttl, 63, 'an outside sender is as far away as it is');
});

t.test('the clock never goes back, and says how often it was asked to', async (t) => {
  const rows = take([
    { frame: SYN.frame(), atS: 10 },
    { frame: SYN.id(8).frame(), atS: 9 },
    { frame: SYN.id(9).frame(), atS: 11 },
  ]);
  t.strictSame(
    rows.map((r) => r.nowNs),
    [0, 0, 1e9],
  );
});
