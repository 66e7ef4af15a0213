/**
 * Packets of lanes that are moved where they stand: of drawn traffic that is let through, with
 * silences around every timeout and segments out of window, every connection, count, rule counter
 * and timer of a replay that counts alone is that of the reference engine packet by packet.
 *
 * `ENGINE_SETTLED` (packets a stack) and `ENGINE_SEED` roam.
 * @module
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { temporaryFolder } from '../../support/captures.ts';
import { isSameRun, LANE_STACKS, type LaneCase, laneRun } from '../../support/lane-replays.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';
import { writeSettled } from '../../support/settled-traffic.ts';

t.setTimeout(900_000);

const PACKETS = Number(process.env['ENGINE_SETTLED'] ?? 6000);
const SEED = Number(process.env['ENGINE_SEED'] ?? 20_261_121);
const { addon } = findNative();
const skip = addon === null ? 'needs the addon' : false;
const folder = temporaryFolder();
t.teardown(() => folder.done());

/** Replies may go out, and what comes is counted by rules. */
const OPEN = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-shop, namespace: shop}
spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 203.0.113.0/24}}]}]}
`;
const { cluster, policies } = parseInputs('open.yaml', `${SERVICES_SHOP}${OPEN}`);

const PODS = ['10.240.0.10', '10.240.0.40', '10.240.0.11', 'fd00:240::10', 'fd00:240::40'];
const SERVERS: readonly (readonly [string, number])[] = [
  ...PODS.map((pod) => [pod, 8080] as const),
  // Outside, and two Services.
  ['198.51.100.77', 443],
  ['2001:db8:5::9', 443],
  ['10.0.0.10', 80],
  ['10.0.0.10', 80],
];

async function same(t: Test, name: string, c: LaneCase): Promise<number> {
  const counted = { ...c, isCounted: true };
  const want = await laneRun(counted, null);
  const got = await laneRun(counted, addon);
  isSameRun(t, name, got, want);
  t.ok(want.tables.includes('timeoutS'), 'connections are left');
  return got.settled;
}

async function drawn(seed: number, packets: number, talks: number): Promise<string> {
  const path = join(folder.path, `${seed}-${talks}.pcap`);
  await writeSettled(path, { seed, packets, talks, clients: [...PODS], servers: SERVERS });
  return path;
}

t.test('packets that are settled leave what those one by one leave', { skip }, async (t) => {
  for (const [n, stack] of LANE_STACKS.entries()) {
    const paths = [await drawn(SEED + n, PACKETS, n % 2 === 0 ? 8 : 40)];
    const settled = await same(t, stack, { cluster, policies, stack, paths });
    t.ok(settled > PACKETS / 12, `${settled} of ${PACKETS} packets were settled`);
  }
});

t.test('so do those of connections that nobody saw open', { skip }, async (t) => {
  const [stack] = LANE_STACKS;
  const paths = [await drawn(SEED + 50, PACKETS / 2, 12)];
  for (const midstream of ['kernel', 'unknown'] as const) {
    await same(t, midstream, { cluster, policies, stack, paths, midstream });
  }
});

t.test('files that take turns are settled each by itself', { skip }, async (t) => {
  const paths = [await drawn(SEED + 60, PACKETS / 3, 6), await drawn(SEED + 61, PACKETS / 3, 6)];
  const settled = await same(t, 'two files', {
    ...{ cluster, policies, paths },
    stack: 'azure-transparent+calico,force=true',
  });
  t.ok(settled > 0, `${settled} packets were settled`);
});
