/**
 * P3 on drawn traffic: whatever conversations do, on every stack, both engines alike on each packet,
 * with the same connections and counters in between and at the end.
 *
 * `ENGINE_PACKETS` (of all stacks together) and `ENGINE_SEED` roam; `npm run test:compiled:million`
 * draws a million.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { World, type WorldInput } from '../../../src/lab/world.ts';
import { type Inputs, loadInputs, parseInputs } from '../../../src/policy/inputs.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../../support/clusters.ts';
import { Dice, DrawnTraffic } from '../../support/drawn-traffic.ts';
import { speakersOf } from '../../support/speakers.ts';
import { type TwinEngine, type TwinSizes, twins } from '../../support/twin-engine.ts';

const PACKETS = Number(process.env['ENGINE_PACKETS'] ?? 60_000);
// A packet through both engines takes a fraction of a millisecond; ten on a slow machine.
t.setTimeout(600_000 + PACKETS * 10);
const SEED = Number(process.env['ENGINE_SEED'] ?? 20_261_121);
const native = findNative();
const skip = native.addon === null ? native.reason : false;

/** Packets after which tables and counters are compared; a prime. */
const ROUND = 4999;

const SERVICES = `
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {clusterIP: 10.0.0.10, selector: {tier: api}, ports: [{port: 80, targetPort: 8080}]}
`;

interface Scene {
  readonly name: string;
  readonly inputs: Inputs;
  /** Addresses that nobody in the cluster has. */
  readonly others: readonly string[];
}

const SCENES: readonly Scene[] = [
  {
    name: 'a shop with policies and a Service',
    inputs: parseInputs('shop.yaml', `${TWO_NODES_SHOP}${SERVICES}---\n${SHOP_POLICIES}`),
    others: ['203.0.113.9', '198.51.100.7', '10.0.0.10'],
  },
  {
    name: 'both families on three nodes',
    inputs: bigCluster({ nodes: 3, podsPerNode: 4 }),
    others: ['203.0.113.9', '2001:db8:5::9'],
  },
  {
    name: 'the shop of the examples',
    inputs: loadInputs(['pcaps/shop']),
    others: ['203.0.113.9', '192.168.10.7'],
  },
];
const STACKS = [
  'azure-bridge+npm',
  'azure-transparent+npm',
  'azure-transparent+calico',
  'azure-transparent+none',
];

const each = Math.ceil(PACKETS / SCENES.length / STACKS.length);

interface Drawn {
  readonly scene: Scene;
  readonly stack: string;
  readonly seed: number;
  /** Entries that nodes' connection tables hold; absent: as many as Linux chooses. */
  readonly max?: number;
  readonly sizes?: TwinSizes;
}

/** Send drawn traffic through both engines; throws where they differ. */
function compareOn({ scene, stack, seed, max, sizes }: Drawn): TwinEngine {
  const made: TwinEngine[] = [];
  const { cluster, policies } = scene.inputs;
  const input = { cluster, policies, stack: parseStack(stack) };
  const makeEngine = twins((twin) => made.push(twin), sizes);
  const world = new World({ ...input, ...limited(input, max), makeEngine });
  const traffic = new DrawnTraffic(seed, speakersOf(world, scene.others));
  const [twin] = made;
  if (twin === undefined) throw new Error('a world has an engine');
  for (let n = 1; n <= each; n++) {
    world.engine.inject(traffic.next());
    if (n % ROUND === 0) twin.compareState();
  }
  twin.compareState();
  return twin;
}

function limited(input: WorldInput, max: number | undefined): Partial<WorldInput> {
  if (max === undefined) return {};
  const { network } = new World(input);
  const sysctls = { 'net.netfilter.nf_conntrack_max': String(max) };
  const nodes = network.nodes.map((plan) => ({
    ...plan,
    sysctls: { ...plan.sysctls, ...sysctls },
  }));
  return { network: { ...network, nodes } };
}

for (const scene of SCENES) {
  for (const [i, stack] of STACKS.entries()) {
    t.test(`${scene.name} on ${stack}: both engines alike`, { skip }, async (t) => {
      const twin = compareOn({ scene, stack, seed: new Dice(SEED + i).next() });
      const statistics = twin.compiled.statistics();
      t.ok(statistics.moved > each / 20, `compiled: ${JSON.stringify(statistics)}`);
    });
  }
}

const [shop] = SCENES;
if (shop === undefined) throw new Error('there is a shop');

t.test('connection tables that are always full evict the same connections', { skip }, async (t) => {
  const twin = compareOn({ scene: shop, stack: 'azure-bridge+npm', seed: SEED, max: 25 });
  t.ok(twin.compiled.statistics().slow.noRoom > 0, 'the compiled engine met a full table');
});

t.test(
  'a flow table and a decision table that are too small change nothing',
  {
    skip,
  },
  async (t) => {
    const sizes = { connections: 8, decisions: 16 };
    const twin = compareOn({ scene: shop, stack: 'azure-transparent+npm', seed: SEED, sizes });
    const { slow, decisions } = twin.compiled.statistics();
    t.ok(decisions <= 16, `${decisions} decisions are held`);
    t.ok(slow.noRoom > 0 || each < 4000, 'connections found no place');
  },
);

t.test(
  'IPv6 addresses and hosts that find no room in their tables change nothing',
  { skip },
  async (t) => {
    const scene = SCENES.find(({ inputs }) => inputs.cluster.nodes.length === 3) ?? shop;
    const sizes = { addresses: 3, hosts: 5, hostSets: 6 };
    const twin = compareOn({ scene, stack: 'azure-transparent+npm', seed: SEED, sizes });
    const { slow, moved } = twin.compiled.statistics();
    t.ok(moved > 0, 'some are moved all the same');
    t.ok(slow.notPlain > each / 4, 'most packets of IPv6 have no facts');
  },
);
