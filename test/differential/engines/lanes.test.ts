/**
 * Packets in lanes and packets by hand: every row, connection, count and rule counter of a replay
 * with the compiled engine and its lanes is that of the reference engine without.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseFilter } from '../../../src/capture/filter/filter.ts';
import type { CaptureOptions } from '../../../src/capture/reader.ts';
import { parseTimeBound } from '../../../src/capture/time-bound.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { World } from '../../../src/lab/world.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { isSameRun, type LaneCase, laneRun } from '../../support/lane-replays.ts';

// Forty captures on two stacks through two engines.
t.setTimeout(900_000);

const FOLDER = join(process.cwd(), '..', 'shared', 'data', 'captures');
const have = existsSync(FOLDER);
const { addon } = findNative();
const { cluster, policies } = bigCluster({ nodes: 2, podsPerNode: 300 });
const skip = !have ? 'needs ../shared' : addon === null ? 'needs the addon' : false;
const files = have ? readdirSync(FOLDER).filter((name) => /\.(p?cap(ng)?)(\.gz)?$/.test(name)) : [];

async function compare(t: Test, name: string, c: LaneCase): Promise<number> {
  const want = await laneRun(c, null);
  const got = await laneRun(c, addon);
  isSameRun(t, name, got, want);
  t.same(got.inputs, want.inputs, `${name}: what was read`);
  t.equal(got.look, want.look, `${name}: first look`);
  const counted = await laneRun({ ...c, isCounted: true }, addon);
  t.same(counted.summary, want.summary, `${name}: counts alone, ${counted.settled} settled`);
  t.equal(counted.clock, want.clock, `${name}: clock of counts alone`);
  t.equal(counted.counters, want.counters, `${name}: rule counters of counts alone`);
  t.equal(counted.tables, want.tables, `${name}: connection tables of counts alone`);
  settled += counted.settled;
  return got.inLanes;
}

let settled = 0;
const STACK = 'azure-bridge+npm';
/** Rendered once: replays of a stack differ in what they read. */
const { network } = new World({ cluster, policies, stack: parseStack(STACK) });

t.test('every capture says the same in lanes', { skip }, async (t) => {
  let inLanes = 0;
  for (const file of files.toSorted()) {
    const paths = [join(FOLDER, file)];
    inLanes += await compare(t, file, { cluster, policies, stack: STACK, network, paths });
  }
  t.ok(inLanes > 5_000, `${inLanes} packets went in lanes`);
  t.ok(settled > 1_000, `${settled} packets were settled`);
});

t.test('several captures merged by time say the same in lanes', { skip }, async (t) => {
  const paths = files.filter((name) => name.startsWith('k8s-')).map((name) => join(FOLDER, name));
  await compare(t, 'all of k8s', { cluster, policies, stack: 'azure-transparent+calico', paths });
});

const PARTS: readonly CaptureOptions[] = [
  { filter: parseFilter('tcp or udp port 53') },
  { filter: parseFilter('len > 70'), count: 700 },
  { count: 333 },
  { since: parseTimeBound('3s', '--since') },
];

t.test('a part of a capture says the same in lanes', { skip }, async (t) => {
  let inLanes = 0;
  // Some with long connections.
  const most = [
    'sll2-http-gso.pcap',
    'vlan-isp-sanitized4k.pcap',
    'tcp-out-of-order-ctf.pcapng.gz',
  ];
  for (const file of most) {
    const paths = [join(FOLDER, file)];
    for (const [n, part] of PARTS.entries()) {
      const c = { cluster, policies, stack: STACK, network, paths, part };
      inLanes += await compare(t, `${file}, part ${n}`, c);
    }
  }
  t.ok(inLanes > 500, `${inLanes} packets went in lanes`);
});
