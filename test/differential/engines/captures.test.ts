/**
 * P3 on real captures: every packet of every capture, malformed ones too, comes out of both engines
 * alike, and both end with the same connections and counters.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openCaptures } from '../../../src/capture/reader.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import { replay } from '../../../src/lab/replay.ts';
import { autoMap } from '../../../src/lab/traffic/auto-map.ts';
import { AddressMap } from '../../../src/lab/traffic/mapping.ts';
import { Survey } from '../../../src/lab/traffic/survey.ts';
import { Vantages } from '../../../src/lab/traffic/vantage.ts';
import { World, type WorldInput } from '../../../src/lab/world.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { type TwinEngine, twins } from '../../support/twin-engine.ts';

// Forty captures on two stacks through two engines.
t.setTimeout(900_000);

const FOLDER = join(process.cwd(), '..', 'shared', 'data', 'captures');
const have = existsSync(FOLDER);
const native = findNative();
const { cluster, policies } = bigCluster({ nodes: 2, podsPerNode: 300 });

async function run(file: string, on: Omit<WorldInput, 'makeEngine'>): Promise<TwinEngine> {
  const made: TwinEngine[] = [];
  const makeEngine = twins((twin) => made.push(twin));
  const world = new World({ ...on, makeEngine });
  const paths = [join(FOLDER, file)];
  const survey = new Survey();
  for await (const batch of openCaptures(paths)) for (const record of batch) survey.add(record);
  await replay({
    records: openCaptures(paths),
    traffic: {
      identities: world.identities,
      map: new AddressMap(autoMap(world, survey.pairs(), [])),
      checksums: 'auto',
      survey: survey.checksums,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: [{ world, sink: { frame: () => {}, connection: () => {} } }],
    options: { openLoop: true },
  });
  const [twin] = made;
  if (twin === undefined) throw new Error('a world has an engine');
  twin.compareState();
  return twin;
}

const skip = !have ? 'needs ../shared' : native.addon === null ? native.reason : false;
const files = have ? readdirSync(FOLDER).filter((name) => /\.(p?cap(ng)?)(\.gz)?$/.test(name)) : [];

for (const stack of ['azure-bridge+npm', 'azure-transparent+calico']) {
  t.test(`every capture comes out of both engines alike on ${stack}`, { skip }, async (t) => {
    const input = { cluster, policies, stack: parseStack(stack) };
    const { network } = new World(input);
    for (const file of files.toSorted()) {
      const twin = await run(file, { ...input, network });
      const { moved, slow } = twin.compiled.statistics();
      t.pass(`${file}: ${twin.packets} packets, ${moved} compiled, ${JSON.stringify(slow)}`);
    }
  });
}
