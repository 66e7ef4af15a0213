/**
 * Packets of a benchmark's connections: each is a whole one, and one connection's alone.
 * @module
 */
import t from 'tap';
import { framed } from '../../src/engine/execution.ts';
import { type Pairs, Talks, type TalksOptions } from '../../src/lab/bench/talks.ts';
import { drawWorkload } from '../../src/lab/bench/workload.ts';
import { packetEnds } from '../../src/packet/ends.ts';
import { newPacket, parseFrame } from '../../src/packet/parse.ts';
import { verifyChecksum } from '../../src/packet/transport-checksum.ts';
import { formatAddress } from '../../src/wire/address/address.ts';
import { address } from '../support/packets.ts';

const party = (text: string) => ({
  address: address(text),
  entry: { as: 'local', host: text } as const,
});
const PAIRS: Pairs = [
  [party('10.0.0.1'), party('10.0.0.2')],
  [party('fd00::1'), party('fd00::2')],
  [party('10.0.0.3'), party('10.0.0.1')],
];
const OPTIONS: TalksOptions = {
  ...{ connections: 1001, ports: [80, 5432], protocol: 'both', payload: 13, isOneWay: false },
};

function read(bytes: Uint8Array) {
  const packet = newPacket({ frame: 0, bytes: framed(bytes) });
  if (parseFrame(packet) !== null) throw new Error('a whole packet');
  const { src, dst, sport, dport } = packetEnds(packet);
  const ends = [src, dst].map(formatAddress);
  return { checksum: verifyChecksum(packet), sport, dport, ends };
}

t.test('every packet of every connection has the right checksum', async (t) => {
  const talks = new Talks(PAIRS, { ...OPTIONS, connections: 200_000 });
  const verdicts = new Set<string>();
  // Ports of all sizes, and both ways of one that is not the first of its pair.
  for (let talk = 0; talk < talks.length; talk += 97) {
    for (const { packet } of talks.opening(talk)) verdicts.add(read(packet).checksum);
  }
  t.strictSame([...verdicts], ['right']);
});

t.test('no two connections have the same ends', async (t) => {
  const talks = new Talks(PAIRS, OPTIONS);
  const seen = new Set<string>();
  for (let talk = 0; talk < talks.length; talk++) {
    const { packet, entry } = talks.there(talk);
    const { sport, dport, ends } = read(packet);
    t.equal(entry.as === 'local' && entry.host, ends[0], 'it enters where its sender is');
    seen.add(`${packet[9]} ${ends} ${sport} ${dport}`);
    const back = read(talks.back(talk).packet);
    if (back.sport !== dport || back.dport !== sport) throw new Error('an answer turns the ends');
  }
  t.equal(seen.size, OPTIONS.connections);
});

t.test('openings by place are those in order', async (t) => {
  for (const protocol of ['tcp', 'udp', 'both'] as const) {
    const talks = new Talks(PAIRS, { ...OPTIONS, connections: 41, protocol });
    for (const [from, to] of [
      [0, 41],
      [7, 30],
    ] as const) {
      const all = talks.openings(from, to);
      const inOrder = [...all].map(({ packet }) => packet);
      t.equal(inOrder.length, all.length);
      t.strictSame(
        inOrder.map((_, i) => all.at(i)?.packet),
        inOrder,
      );
      t.equal(all.at(all.length), undefined);
    }
  }
});

t.test('a sample is of connections all over the workload, opened in it', async (t) => {
  const options = { kind: 'established', packets: 10, seed: 1, checked: 500 } as const;
  const { sample } = drawWorkload(PAIRS, { ...OPTIONS, connections: 100_000, ...options });
  if (sample === undefined) throw new Error('it has one');
  const name = (bytes: Uint8Array) => {
    const { ends, sport, dport } = read(bytes);
    return [`${ends[0]} ${sport}`, `${ends[1]} ${dport}`].sort().join(' ');
  };
  const opened = new Set([...sample.openings].map(({ packet }) => name(packet)));
  t.equal(opened.size, 100);
  t.equal(sample.packets.length, 500);
  t.ok(sample.packets.every(({ packet }) => opened.has(name(packet))));
});
