/**
 * Every real capture replays: no crash, every packet in one outcome, the same result whatever the
 * batch size, and, for `--map auto` on a cluster with pods enough, almost no packet unjudged.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openCaptures } from '../../src/capture/reader.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { replay } from '../../src/lab/replay.ts';
import type { RunSummary } from '../../src/lab/tally.ts';
import { autoMap } from '../../src/lab/traffic/auto-map.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World, type WorldInput } from '../../src/lab/world.ts';
import { frameJson } from '../../src/report/json-shape.ts';
import { bigCluster } from '../support/big-cluster.ts';

// Forty captures on two stacks, most of them twice.
t.setTimeout(900_000);

const FOLDER = join(process.cwd(), '..', 'shared', 'data', 'captures');
const have = existsSync(FOLDER);
const { cluster, policies } = bigCluster({ nodes: 2, podsPerNode: 300 });

/** Captures in which much can not be judged, and why: the encapsulations that are not emulated. */
const EXPECTED_UNKNOWN: Readonly<Record<string, readonly string[]>> = {
  'pppoe-over-qinq.pcap': ['unsupportedEncapsulation'],
  'igmp-v1-v2-rgmp-multicast.pcap': ['multicast'],
  'bigendian-nfs3.pcap': [],
};

interface Ran {
  readonly summary: RunSummary;
  readonly rows: readonly string[];
}

async function run(file: string, on: WorldInput, batchSize: number): Promise<Ran> {
  const world = new World(on);
  const paths = [join(FOLDER, file)];
  const survey = new Survey();
  for await (const batch of openCaptures(paths)) for (const record of batch) survey.add(record);
  const assigned = autoMap(world, survey.pairs(), []);
  const rows: string[] = [];
  const { summaries } = await replay({
    records: openCaptures(paths, { batchSize }),
    traffic: {
      identities: world.identities,
      map: new AddressMap(assigned),
      checksums: 'auto',
      survey: survey.checksums,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: [
      {
        world,
        sink: {
          frame: (row) => rows.push(JSON.stringify(frameJson(row))),
          connection: (row) => rows.push(`${row.id} ${row.verdict} ${row.forward.result}`),
        },
      },
    ],
    options: { openLoop: false },
  });
  const [summary] = summaries;
  if (!summary) throw new Error('no summary');
  return { summary, rows };
}

async function framesIn(file: string): Promise<number> {
  let frames = 0;
  for await (const batch of openCaptures([join(FOLDER, file)])) frames += batch.length;
  return frames;
}

for (const stack of ['azure-bridge+npm', 'azure-transparent+calico']) {
  t.test(
    `every capture replays on ${stack}`,
    { skip: have ? false : 'needs ../shared' },
    async (t) => {
      const input = { cluster, policies, stack: parseStack(stack) };
      const on = { ...input, network: new World(input).network };
      for (const file of readdirSync(FOLDER).sort()) {
        const { summary, rows } = await run(file, on, 256);
        const { counts, reasons } = summary;
        t.equal(counts.packets, await framesIn(file), `${file}: every frame has one outcome`);
        const judged = 1 - counts.outcomes.unknown / Math.max(1, counts.packets);
        const named = Object.keys(reasons);
        const allowed = EXPECTED_UNKNOWN[file] ?? [];
        if (judged < 0.95) {
          t.comment(`${file}: ${(judged * 100).toFixed(1)} % judged; ${JSON.stringify(reasons)}`);
          t.ok(named.length > 0 || allowed.length > 0, `${file}: what is not judged has a reason`);
        }
        if (counts.packets > 10_000) continue;
        const other = await run(file, on, 7);
        t.strictSame(other.rows, rows, `${file}: batches of 7 give the same rows`);
      }
    },
  );
}
