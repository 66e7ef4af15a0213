/**
 * Several stacks in lanes: a comparison says of every capture what it says packet by packet.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { stacksRun } from '../../support/lane-replays.ts';

const FOLDER = join(process.cwd(), '..', 'shared', 'data', 'captures');
const { addon } = findNative();
const { cluster, policies } = bigCluster({ nodes: 2, podsPerNode: 300 });
const skip = !existsSync(FOLDER) ? 'needs ../shared' : addon === null ? 'needs the addon' : false;

// Thousands of packets by hand, on three stacks.
t.setTimeout(600_000);

const CASES = [
  { file: 'vlan-isp-sanitized4k.pcap', stacks: ['azure-bridge+npm', 'azure-transparent+calico'] },
  {
    file: 'tcp-out-of-order-ctf.pcapng.gz',
    stacks: ['azure-transparent+none', 'azure-bridge+npm', 'azure-overlay+calico'],
  },
];

t.test('stacks compare the same in lanes as packet by packet', { skip }, async (t) => {
  let inLanes = 0;
  for (const { file, stacks } of CASES) {
    const c = { cluster, policies, stack: '', paths: [join(FOLDER, file)] };
    const { inLanes: _none, ...want } = await stacksRun(c, stacks, null);
    const { inLanes: lanes, ...got } = await stacksRun(c, stacks, addon);
    t.same(got, want, `${file} on ${stacks.join(', ')}: ${lanes} in lanes`);
    inLanes += lanes;
  }
  t.ok(inLanes > 3_000, `${inLanes} packets went in lanes`);
});
