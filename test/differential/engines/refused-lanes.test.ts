/**
 * Packets that are not let through, in lanes and by hand: on drawn traffic under strict policies
 * every row, connection, count and rule counter of a replay in bulk is that of the reference engine
 * packet by packet.
 *
 * `ENGINE_REFUSED` (packets a stack) and `ENGINE_SEED` roam.
 * @module
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseFilter } from '../../../src/capture/filter/filter.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { temporaryFolder } from '../../support/captures.ts';
import {
  isSameRun,
  LANE_STACKS,
  type LaneCase,
  laneRun,
  stacksRun,
} from '../../support/lane-replays.ts';
import { type RefusedOptions, writeRefused } from '../../support/refused-traffic.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';

t.setTimeout(900_000);

const PACKETS = Number(process.env['ENGINE_REFUSED'] ?? 3000);
const SEED = Number(process.env['ENGINE_SEED'] ?? 20_261_121);
const { addon } = findNative();
const skip = addon === null ? 'needs the addon' : false;
const folder = temporaryFolder();
t.teardown(() => folder.done());

/** Nothing but web to api by one port, and a Service that nobody is behind: it is rejected. */
const STRICT = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody-in, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns-stays, namespace: shop}
spec: {podSelector: {matchLabels: {tier: dns}}, policyTypes: [Egress]}
---
apiVersion: v1
kind: Service
metadata: {name: ghost, namespace: shop}
spec:
  clusterIP: "10.0.0.77"
  selector: {app: shop, tier: ghost}
  ports: [{name: t, port: 80}, {name: u, port: 80, protocol: UDP}, {name: o, port: 9999}]
`;
const { cluster, policies } = parseInputs('strict.yaml', `${SERVICES_SHOP}${STRICT}`);

const PODS = ['10.240.0.10', '10.240.0.40', '10.240.0.41', '10.240.0.11', '10.240.0.42'];
const PODS6 = ['fd00:240::10', 'fd00:240::40', 'fd00:240::41', 'fd00:240::11'];
const TALKERS: Omit<RefusedOptions, 'seed' | 'packets'> = {
  clients: [...PODS, ...PODS, ...PODS6, '10.240.0.4', '203.0.113.9', '10.240.0.200', '127.0.0.9'],
  servers: [
    ...[...PODS, ...PODS, ...PODS6, '10.240.0.35', 'fd00:240::35'],
    // Outside, of Services, of one without backends, of nobody, of many, and on a node's own link.
    ...['198.51.100.77', '10.0.0.10', '10.0.0.77', '10.0.0.99', '10.240.0.200', '224.0.0.9'],
    ...['169.254.1.1', '2001:db8:5::9', 'fd00:240::200'],
  ],
  ports: [80, 8080, 9999, 9998],
};

async function drawn(name: string, seed: number, packets = PACKETS): Promise<string> {
  const path = join(folder.path, `${name}.pcap`);
  await writeRefused(path, { ...TALKERS, seed, packets });
  return path;
}

async function same(t: Test, name: string, c: LaneCase): Promise<number> {
  const want = await laneRun(c, null);
  const got = await laneRun(c, addon);
  isSameRun(t, name, got, want);
  return got.inLanes;
}

t.test('what is refused says the same in lanes, on every stack', { skip }, async (t) => {
  for (const [n, stack] of LANE_STACKS.entries()) {
    const paths = [await drawn(`stack-${n}`, SEED + n)];
    const inLanes = await same(t, stack, { cluster, policies, stack, paths });
    t.ok(inLanes > PACKETS / 5, `${inLanes} of ${PACKETS} packets went in lanes`);
  }
});

const PARTS: readonly Partial<LaneCase>[] = [
  { part: { filter: parseFilter('tcp or len > 60') } },
  { part: { count: 900 } },
  { midstream: 'kernel' },
  { midstream: 'unknown' },
  { checksums: 'strict' },
];

t.test('a part of it, and what midstream and checksums mean, too', { skip }, async (t) => {
  const paths = [await drawn('parts', SEED + 20, PACKETS / 2)];
  for (const part of PARTS) {
    const c = { cluster, policies, stack: LANE_STACKS[0], paths, ...part };
    await same(t, JSON.stringify({ ...part, part: Object.keys(part.part ?? {}) }), c);
  }
});

t.test('several files that take turns', { skip }, async (t) => {
  const paths = [await drawn('one', SEED + 30, 1000), await drawn('two', SEED + 31, 1000)];
  await same(t, 'two files', {
    cluster,
    policies,
    stack: 'azure-transparent+calico,force=true',
    paths,
  });
});

t.test('stacks of which some let through what others do not', { skip }, async (t) => {
  const paths = [await drawn('stacks', SEED + 40)];
  const c = { cluster, policies, stack: '', paths };
  const stacks = ['azure-transparent+none', 'azure-bridge+npm,force=true', LANE_STACKS[1]];
  const { inLanes: _none, ...want } = await stacksRun(c, stacks, null);
  const { inLanes, ...got } = await stacksRun(c, stacks, addon);
  t.same(got, want);
  t.ok(inLanes > PACKETS / 8, `${inLanes} packets went in lanes`);
});
