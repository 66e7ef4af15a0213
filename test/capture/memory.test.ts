import t from 'tap';
import { measure } from '../../bench/large-capture.ts';

const MIB = 2 ** 20;
/**
 * Chunks in flight and the collector's slack, which on a busy machine came to 25 MiB; a reader that
 * kept what it reads would take four times that.
 */
const GROWTH_MAX = 64 * MIB;

t.test('memory does not grow with the length of the capture', async (t) => {
  const small = await measure(32 * MIB, 200, 64);
  const large = await measure(288 * MIB, 200, 64);
  for (const { packets, expectedPackets } of [small, large]) t.equal(packets, expectedPackets);
  const growth = large.peakRssBytes - small.peakRssBytes;
  t.ok(growth < GROWTH_MAX, `256 MiB more input took ${Math.round(growth / MIB)} MiB more memory`);
});
