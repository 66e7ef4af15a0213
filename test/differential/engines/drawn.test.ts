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
import type { Injection } from '../../../src/engine/engine.ts';
import { World } from '../../../src/lab/world.ts';
import { type Inputs, loadInputs, parseInputs } from '../../../src/policy/inputs.ts';
import { formatAddress } from '../../../src/wire/address.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { SHOP_POLICIES, TWO_NODES_SHOP } from '../../support/clusters.ts';
import { Dice, DrawnTraffic, type Place, type Speaker } from '../../support/drawn-traffic.ts';
import { address } from '../../support/packets.ts';
import { type TwinEngine, twins } from '../../support/twin-engine.ts';

t.setTimeout(3_600_000);

const PACKETS = Number(process.env['ENGINE_PACKETS'] ?? 60_000);
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

function speakersOf(world: World, scene: Scene): readonly Speaker[] {
  const { pods, nodes } = scene.inputs.cluster;
  const own = [...pods, ...nodes].flatMap(({ addresses }) => addresses.map(formatAddress));
  return [...new Set([...own, ...scene.others])].map((text) => {
    const place = world.identities.placeOf(address(text));
    return {
      address: text,
      enter: (packet) => {
        const {
          frame: _f,
          nowNs: _n,
          ...at
        } = world.injectAt(place, packet, { frame: 0, nowNs: 0 });
        return at as Injection as Place;
      },
    };
  });
}

const each = Math.ceil(PACKETS / SCENES.length / STACKS.length);

for (const scene of SCENES) {
  for (const [i, stack] of STACKS.entries()) {
    t.test(`${scene.name} on ${stack}: both engines alike`, { skip }, async (t) => {
      const made: TwinEngine[] = [];
      const { cluster, policies } = scene.inputs;
      const makeEngine = twins((twin) => made.push(twin));
      const world = new World({ cluster, policies, stack: parseStack(stack), makeEngine });
      const seed = new Dice(SEED + i).next();
      const traffic = new DrawnTraffic(seed, speakersOf(world, scene));
      for (let n = 1; n <= each; n++) {
        world.engine.inject(traffic.next());
        if (n % ROUND === 0) made[0]?.compareState();
      }
      made[0]?.compareState();
      const statistics = made[0]?.compiled.statistics();
      t.ok((statistics?.moved ?? 0) > each / 20, `compiled: ${JSON.stringify(statistics)}`);
    });
  }
}
