import t from 'tap';
import { readDatagram } from '../../src/lab/datagram/datagram.ts';
import { ClockOffsets } from '../../src/lab/traffic/clock-offsets.ts';
import { udp } from '../support/packets.ts';

function datagram(n: number) {
  const packet = udp()
    .from('10.0.0.1', 1000 + n)
    .to('10.0.0.2', 53)
    .payload(n)
    .packet();
  const read = readDatagram(n, packet, 0, packet.length);
  if (typeof read === 'string') throw new Error(read);
  return read;
}

const SECOND = 1_000_000_000n;

/** Two files that share `count` packets, the second's clock `aheadNs` ahead, 1 ms of way between. */
function twoFiles(count: number, aheadNs: bigint): ClockOffsets {
  const offsets = new ClockOffsets();
  for (let n = 0; n < count; n++) {
    offsets.add('a.pcap', datagram(n), BigInt(n) * SECOND);
    offsets.add('b.pcap', datagram(n), BigInt(n) * SECOND + aheadNs + 1_000_000n);
  }
  return offsets;
}

t.test('a clock that is off by hours is found from the packets both files hold', async (t) => {
  const [found] = twoFiles(20, 3600n * SECOND).estimate();
  t.match(found, { file: 'b.pcap', reference: 'a.pcap', sharedPackets: 20 });
  t.equal(found?.addNs, -3600n * SECOND - 1_000_000n);
});

t.test('the way a packet needs is no wrong clock, and few packets prove nothing', async (t) => {
  t.strictSame(twoFiles(20, 0n).estimate(), []);
  t.strictSame(twoFiles(4, 3600n * SECOND).estimate(), []);
});

t.test('a packet that one file holds twice is not used', async (t) => {
  const offsets = twoFiles(5, 3600n * SECOND);
  offsets.add('b.pcap', datagram(0), 0n);
  t.strictSame(offsets.estimate(), []);
});

t.test('a third file is held against whichever file it shares packets with', async (t) => {
  const offsets = twoFiles(10, -60n * SECOND);
  for (let n = 100; n < 110; n++) {
    offsets.add('b.pcap', datagram(n), BigInt(n) * SECOND);
    offsets.add('c.pcap', datagram(n), BigInt(n + 5) * SECOND);
  }
  const found = offsets.estimate();
  t.strictSame(
    found.map((f) => [f.file, f.reference, f.addNs / SECOND]),
    [
      ['b.pcap', 'a.pcap', 59n],
      ['c.pcap', 'b.pcap', 54n],
    ],
  );
});
