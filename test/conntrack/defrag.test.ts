/**
 * Fragments: put together in any order, refused when they lie, given up in time, and cut up again.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { Defragmenter, type Reassembly } from '../../src/conntrack/fragment/defrag.ts';
import { needsFragmenting, refragment } from '../../src/conntrack/fragment/refragment.ts';
import { conntrackSettings } from '../../src/conntrack/protocol/timeouts.ts';
import type { Packet } from '../../src/packet/packet.ts';
import { ipBytes } from '../../src/packet/parse.ts';
import { verifyChecksum } from '../../src/packet/transport-checksum.ts';
import { type PacketBuilder, udp } from '../support/packets.ts';

const S = 1e9;
const SETTINGS = conntrackSettings({});

const v4 = (n: number, id = 5) => udp().payload(n).id(id).dontFragment(false);
const v6 = (n: number, id = 5) => udp().from('fd00::1', 1).to('fd00::2', 2).payload(n).id(id);

/** Cut at these offsets of the IP payload. */
function pieces(builder: PacketBuilder, total: number, ...cuts: number[]): Packet[] {
  const starts = [0, ...cuts];
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? total;
    return builder.fragment(start, end < total, end - start).parsed();
  });
}

function addAll(defragmenter: Defragmenter, packets: readonly Packet[], nowNs = 0): Reassembly {
  let last: Reassembly = { kind: 'waiting' };
  for (const packet of packets) last = defragmenter.add(packet, nowNs);
  return last;
}

for (const [family, base] of [
  ['IPv4', v4],
  ['IPv6', v6],
] as const) {
  t.test(`${family} fragments make one packet in any order`, async (t) => {
    const [a, b, c] = pieces(base(92), 100, 40, 80) as [Packet, Packet, Packet];
    for (const order of [
      [a, b, c],
      [c, b, a],
      [b, a, b, c],
      [b, c, a],
    ]) {
      const result = addAll(new Defragmenter(SETTINGS), order);
      if (result.kind !== 'complete') {
        t.fail(result.kind);
        continue;
      }
      t.same(
        ipBytes(result.packet),
        base(92)
          .id(family === 'IPv4' ? 5 : 0)
          .packet(),
      );
      t.equal(verifyChecksum(result.packet), 'right');
      t.same(result.packet.fragmentPieces, [40, 40, 20]);
      t.ok(needsFragmenting(result.packet, 1500), 'it leaves as it came');
    }
  });

  t.test(`${family} fragments that overlap are all refused`, async (t) => {
    const defragmenter = new Defragmenter(SETTINGS);
    const first = base(92).fragment(0, true, 48).parsed();
    const overlapping = base(92).fragment(40, false).parsed();
    t.equal(defragmenter.add(first, 0).kind, 'waiting');
    t.same(defragmenter.add(overlapping, 0), { kind: 'dropped', reason: 'fragmentOverlap' });
    t.equal(defragmenter.waiting, 0);
  });

  t.test(`${family} datagrams are given up in time`, async (t) => {
    const limit = family === 'IPv4' ? 30 * S : 60 * S;
    const [a, b] = pieces(base(92), 100, 40) as [Packet, Packet];
    const intime = new Defragmenter(SETTINGS);
    intime.add(a, 0);
    t.equal(intime.add(b, limit - 1).kind, 'complete');
    const late = new Defragmenter(SETTINGS);
    late.add(a, 0);
    t.equal(late.add(b, limit).kind, 'waiting', 'a datagram of its own now');
  });

  t.test(`${family} fragments of different datagrams are not mixed`, async (t) => {
    const [a] = pieces(base(92, 5), 100, 40) as [Packet];
    const [, b] = pieces(base(92, 6), 100, 40) as [Packet, Packet];
    t.equal(addAll(new Defragmenter(SETTINGS), [a, b]).kind, 'waiting');
  });

  t.test(`${family}: putting together what was cut up is identity`, async (t) => {
    const law = fc.property(fc.integer({ min: 200, max: 4000 }), fc.nat(3), (n, rotate) => {
      const total = n + 8;
      const size = (Math.floor(total / 3) + 7) & ~7;
      const cut = pieces(base(n), total, size, 2 * size).filter((p) => p.end - p.l3 > 20);
      const whole = addAll(new Defragmenter(SETTINGS), [
        ...cut.slice(rotate),
        ...cut.slice(0, rotate),
      ]);
      if (whole.kind !== 'complete') return false;
      const out = refragment(whole.packet, 1500);
      if (out === 'tooBig') return false;
      const again = addAll(new Defragmenter(SETTINGS), out);
      return (
        again.kind === 'complete' &&
        Buffer.compare(ipBytes(again.packet), ipBytes(whole.packet)) === 0
      );
    });
    fc.assert(law, { seed: 4, numRuns: 60 });
    t.pass('sizes and orders');
  });
}

t.test('IPv6 pieces that nothing can follow pass, and kill what waited', async (t) => {
  const defragmenter = new Defragmenter(SETTINGS);
  const odd = v6(92).fragment(0, true, 41);
  t.same(addAll(defragmenter, [odd.parsed()]), { kind: 'notFragment' });
  t.same(addAll(defragmenter, [v6(92).fragment(0, true, 40).parsed()]), { kind: 'waiting' });
  t.equal(defragmenter.waiting, 1);
  t.same(addAll(defragmenter, [odd.parsed()]), { kind: 'notFragment' });
  t.equal(defragmenter.waiting, 0);
});

t.test('sizes that contradict each other are refused', async (t) => {
  for (const [name, packets, want] of [
    [
      'past the last one',
      [v4(92).fragment(40, false, 8), v4(92).fragment(64, true, 16)],
      'fragmentOverlap',
    ],
  ] as const) {
    const result = addAll(
      new Defragmenter(SETTINGS),
      packets.map((p) => p.parsed()),
    );
    t.same(result, { kind: 'dropped', reason: want }, name);
  }
});

t.test('a whole packet is cut to the MTU unless it must not be', async (t) => {
  const whole = v4(2992).parsed();
  t.ok(needsFragmenting(whole, 1500));
  const out = refragment(whole, 1500);
  t.same(out === 'tooBig' ? out : out.map((p) => p.end - p.l3), [1500, 1500, 60]);
  t.equal(refragment(udp().payload(2992).parsed(), 1500), 'tooBig', 'Don’t Fragment');
  t.equal(refragment(v6(2992).parsed(), 1500), 'tooBig', 'IPv6 is not cut on the way');
  t.notOk(needsFragmenting(v4(100).parsed(), 1500));
});

t.test('a cut fragment can not be put together', async (t) => {
  const fragment = v4(92).fragment(0, true, 48).parsed();
  fragment.bytes = fragment.bytes.slice(0, 50);
  t.equal(new Defragmenter(SETTINGS).add(fragment, 0).kind, 'headerCut');
});
