import t from 'tap';
import { measure } from '../../bench/large-capture.ts';

const MIB = 2 ** 20;
/** Chunks in flight and the collector's slack; the larger input alone is three times that. */
const GROWTH_MAX = 24 * MIB;

t.test('memory does not grow with the length of the capture', async (t) => {
  const small = await measure(16 * MIB, 200, 64);
  const large = await measure(96 * MIB, 200, 64);
  for (const { packets, expectedPackets } of [small, large]) t.equal(packets, expectedPackets);
  const growth = large.peakRssBytes - small.peakRssBytes;
  t.ok(growth < GROWTH_MAX, `80 MiB more input took ${Math.round(growth / MIB)} MiB more memory`);
});
