/**
 * One trial in this process: `node dist/bench/trial.js INDEX SAMPLES` prints its row as JSON.
 * @module
 */
import { parseStack } from '../src/dataplane/stack.ts';
import { type BenchEngines, enginesOf, measuredPairs } from '../src/lab/bench/bench-world.ts';
import { measureCompiled, packetsPerSecond } from '../src/lab/bench/measure.ts';
import { drawWorkload, type Workload } from '../src/lab/bench/workload.ts';
import { World } from '../src/lab/world.ts';
import { generateCluster } from './clusters.ts';
import { portsOf, scanPairs, sizesOf } from './scans.ts';
import { drawTranslated } from './services.ts';
import { TRIALS, type Trial } from './trials.ts';

const SEED = 1;

function run(index: number, samples: number): object {
  const trial = TRIALS[index];
  if (trial === undefined) throw new RangeError(`no trial ${index}`);
  const { policies, aim } = trial;
  const shape = aim === undefined ? { nodes: 1, podsPerNode: 100 } : { nodes: 2, podsPerNode: 50 };
  const inputs = generateCluster({ ...shape, policies, service: aim === 'service' });
  const world = new World({ ...inputs, stack: parseStack(trial.stack), seed: SEED });
  // A translated connection has more than one name in the table.
  const places = trial.connections * (aim === undefined ? 1.25 : 4);
  const engines = enginesOf(world, SEED, sizesOf(trial.scan, places));
  const workload = workloadOf(world, engines, trial);
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

function workloadOf(world: World, engines: BenchEngines, trial: Trial): Workload {
  const options = { ...trial, ports: portsOf(trial.scan), payload: 12, seed: SEED };
  if (trial.aim !== undefined) {
    return drawTranslated(world, engines.reference(), { ...options, aim: trial.aim });
  }
  const pods = measuredPairs(world, engines.compiled(), trial.family, options);
  return drawWorkload(scanPairs(world, trial.scan, pods), options);
}

const [index = '', samples = '10'] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(run(Number(index), Number(samples)))}\n`);
