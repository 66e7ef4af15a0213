/**
 * One golden case on one stack, through the lab as the command line drives it.
 * @module
 */
import { openCaptures } from '../../src/capture/reader.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { MakeEngine } from '../../src/engine/make-engine.ts';
import { Comparison, type Difference } from '../../src/lab/compare/compare.ts';
import { replay } from '../../src/lab/replay.ts';
import type { ConnectionResult, FrameResult } from '../../src/lab/result.ts';
import type { RunSink } from '../../src/lab/stack-run.ts';
import type { RunSummary } from '../../src/lab/tally.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import type { TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import { loadInputs } from '../../src/policy/inputs.ts';
import type { GoldenCase } from './case.ts';

export interface CaseRun {
  readonly frames: readonly FrameResult[];
  readonly connections: readonly ConnectionResult[];
  readonly summary: RunSummary;
  /** Captured lengths by frame number. */
  readonly lengths: ReadonlyMap<number, number>;
}

/** Run it; the size of batches must not matter. */
export async function runCase(
  golden: GoldenCase,
  stack: string,
  batchSize?: number,
  makeEngine?: MakeEngine,
): Promise<CaseRun> {
  const world = worldOf(golden, stack, makeEngine);
  const options = batchSize === undefined ? {} : { batchSize };
  const frames: FrameResult[] = [];
  const connections: ConnectionResult[] = [];
  const lengths = new Map<number, number>();
  const sink: RunSink = {
    frame: (row) => frames.push(row),
    connection: (row) => connections.push(row),
  };
  const output = await replay({
    records: openCaptures([golden.capture], options),
    traffic: await trafficOf(golden, world),
    stacks: [{ world, sink }],
    options: { openLoop: false },
    onFrame: (_captured, record) => lengths.set(record.frame, record.data.length),
  });
  const [summary] = output.summaries;
  if (summary === undefined) throw new Error('a run of one stack has one summary');
  return { frames, connections, summary, lengths };
}

/** The same traffic on several stacks: where they differ. */
export async function compareCase(
  golden: GoldenCase,
  stacks: readonly string[],
): Promise<readonly Difference[]> {
  const worlds = stacks.map((stack) => worldOf(golden, stack));
  const [first] = worlds;
  if (first === undefined) throw new Error('a comparison needs stacks');
  const differences: Difference[] = [];
  const comparison = new Comparison(worlds, (difference) => differences.push(difference));
  await replay({
    records: openCaptures([golden.capture]),
    traffic: await trafficOf(golden, first),
    stacks: worlds.map((world, i) => ({ world, sink: comparison.sink(i, () => {}) })),
    options: { openLoop: false },
    onClosed: (conversation, place) => comparison.closed(conversation, place),
  });
  return differences;
}

function worldOf(golden: GoldenCase, stack: string, makeEngine?: MakeEngine): World {
  const { cluster, policies } = loadInputs(golden.files);
  const made = makeEngine === undefined ? {} : { makeEngine };
  return new World({ cluster, policies, stack: parseStack(stack), ...made });
}

async function trafficOf(golden: GoldenCase, world: World): Promise<TrafficOptions> {
  const survey = new Survey();
  for await (const batch of openCaptures([golden.capture])) {
    for (const record of batch) survey.add(record);
  }
  return {
    identities: world.identities,
    map: new AddressMap([]),
    checksums: 'auto',
    survey: survey.checksums,
    translations: survey.translations,
    midstream: golden.midstream ?? 'assume',
    vantages: new Vantages([]),
    entryIsGiven: false,
  };
}
