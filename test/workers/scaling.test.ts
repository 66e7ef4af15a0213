/**
 * The scaling trial of the bench, small: the rows of two workers are the reference engine's, and no
 * figure comes without them.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { scale } from '../../bench/scaling.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';

// Six runs of the command.
t.setTimeout(600_000);
const skip = findNative().addon === null ? 'needs the addon' : false;

t.test('two workers write what one writes, and it is timed', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-scaling-test-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const trial = { name: 'small', engine: 'compiled', packets: 44_000, connections: 500 } as const;
  const found = await scale(folder, { ...trial, everyUs: 10 }, { samples: 1, workers: 2 });
  t.equal(found.packets, 44_000);
  t.match(found.digest, /^[0-9a-f]{16}$/);
  t.equal(found.note, '', 'no connection is in the ordered shard');
  t.equal(found.ordered, 0);
  t.ok(found.wholeWall > 0 && found.wholeCpu > 0);
});
