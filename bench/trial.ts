/**
 * One trial in this process: `node dist/bench/trial.js INDEX SAMPLES` prints its row as JSON.
 * @module
 */
import { parseStack } from '../src/dataplane/stack.ts';
import { enginesOf, measuredPairs } from '../src/lab/bench/bench-world.ts';
import { measureCompiled, packetsPerSecond } from '../src/lab/bench/measure.ts';
import { drawWorkload } from '../src/lab/bench/workload.ts';
import { World } from '../src/lab/world.ts';
import { generateCluster, OPEN_PORT } from './clusters.ts';
import { TRIALS } from './trials.ts';

const SEED = 1;

function run(index: number, samples: number): object {
  const trial = TRIALS[index];
  if (trial === undefined) throw new RangeError(`no trial ${index}`);
  const { policies } = trial;
  const inputs = generateCluster({ nodes: 1, podsPerNode: 100, policies });
  const world = new World({ ...inputs, stack: parseStack(trial.stack), seed: SEED });
  const engines = enginesOf(world, SEED, { connections: Math.max(1024, trial.connections * 1.25) });
  const options = { ...trial, ports: [OPEN_PORT], payload: 12, seed: SEED };
  const pairs = measuredPairs(world, engines.compiled(), trial.family, options);
  const workload = drawWorkload(pairs, options);
  const clock = () => process.hrtime.bigint();
  const measured = measureCompiled(engines, workload, { samples, gapS: trial.gapS, clock });
  const pps = packetsPerSecond(measured.samples);
  const { digest, checked, counters, outcomes } = measured;
  const { name, packets } = trial;
  const nsPerPacket = 1e9 / pps.median;
  return {
    ...{ name, engine: 'compiled', workers: 1, packets, pps, nsPerPacket },
    ...{ counters, outcomes, digest, checked },
  };
}

const [index = '', samples = '10'] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(run(Number(index), Number(samples)))}\n`);
