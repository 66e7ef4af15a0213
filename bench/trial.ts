/**
 * One trial in this process: `node dist/bench/trial.js INDEX SAMPLES` prints its row as JSON. As a
 * thread it has a part of the trial (bench/apart.ts).
 * @module
 */
import { fileURLToPath } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { parseStack } from '../src/dataplane/stack.ts';
import { type BenchEngines, enginesOf, measuredPairs } from '../src/lab/bench/bench-world.ts';
import { intervalOf, LEAST_ROUNDS } from '../src/lab/bench/gate.ts';
import { CompiledRun, type Measured, packetsPerSecond } from '../src/lab/bench/measure.ts';
import { VerdictRun } from '../src/lab/bench/measure-verdicts.ts';
import { drawWorkload, type Workload } from '../src/lab/bench/workload.ts';
import { World, type WorldInput } from '../src/lab/world.ts';
import { measureApart, ROUNDS, type Share, serveTurns, threadClock } from './apart.ts';
import { measureCaptures, recordCaptures } from './captures.ts';
import { generateCluster } from './clusters.ts';
import { measureEpochs } from './epochs.ts';
import { portsOf, scanPairs, sizesOf } from './scans.ts';
import { drawTranslated } from './services.ts';
import { TRIALS, type Trial } from './trials.ts';

const SEED = 1;

/** Time of this process on a CPU: what others on the machine do is not ours. */
function clock(): bigint {
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * 1000n;
}

/** Something that is measured round by round; the first fills its tables. */
interface Run {
  round(): void;
  end(): Measured;
}

function trialAt(index: number): Trial {
  const trial = TRIALS[index];
  if (trial === undefined) throw new RangeError(`no trial ${index}`);
  return trial;
}

async function run(index: number, wanted: number): Promise<object> {
  const trial = trialAt(index);
  if (trial.captured) return rowOf(trial, await measuredCaptures(trial, wanted));
  if (trial.opening !== undefined) {
    const { epochs, ...measured } = measureEpochs(inputOf(trial), {
      ...{ connections: trial.connections, packets: trial.packets, opening: trial.opening },
      ...{ samples: wanted, seed: SEED, clock },
    });
    return { ...rowOf(trial, measured), epochs };
  }
  if (trial.apart !== undefined) return runApart(index, trial.apart, wanted);
  if (trial.over === undefined) {
    const made = prepare(trial, wanted);
    for (let round = 0; round <= wanted; round++) made.round();
    return rowOf(trial, made.end());
  }
  const samples = Math.max(wanted, LEAST_ROUNDS);
  const sides = [prepare(trial, samples), prepare({ ...trial, policies: trial.over }, samples)];
  for (let round = 0; round <= samples; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) side.round();
  }
  const [many, few] = sides.map((side) => side.end());
  if (many === undefined || few === undefined) throw new RangeError('two sides');
  const ratios = many.samples.map(({ ns }, i) => ns / (few.samples[i]?.ns ?? Number.NaN));
  return { ...rowOf(trial, many), ratio: intervalOf(ratios), base: rowOf(trial, few) };
}

/** By several threads and by one. */
async function runApart(index: number, of: number, wanted: number): Promise<object> {
  const turns = Math.max(wanted, LEAST_ROUNDS);
  const trial = trialAt(index);
  const script = fileURLToPath(import.meta.url);
  const { packets } = trial;
  const argv = [String(index), String(turns)];
  const { measured, base, cpu, wall } = await measureApart(script, argv, { of, turns, packets });
  return {
    ...rowOf(trial, measured),
    base: rowOf(trial, base),
    apart: { threads: of, cpu: intervalOf(cpu), wall: intervalOf(wall) },
  };
}

function inputOf({ stack, policies, aim, shape, captured }: Trial): WorldInput {
  const usual = aim === undefined ? { nodes: 1, podsPerNode: 100 } : { nodes: 2, podsPerNode: 50 };
  const inputs = generateCluster({
    ...{ ...usual, ...shape, policies },
    ...{ service: aim === 'service', allows: captured ? 'everything' : 'port' },
  });
  return { ...inputs, stack: parseStack(stack), seed: SEED };
}

/** The part of a trial that one thread has. */
function prepareShare(trial: Trial, turns: number, share: Share): CompiledRun {
  const world = new World(inputOf(trial));
  const engines = enginesOf(world, SEED, sizesOf(trial.scan, trial.connections * 1.25));
  const options = { ...trial, ports: portsOf(trial.scan, trial.policies), payload: 12, seed: SEED };
  const pairs = measuredPairs(world, engines.compiled(), trial.family, options);
  const workload = drawWorkload(
    pairs.filter((_, i) => i % share.of === share.index),
    {
      ...options,
      connections: Math.ceil(trial.connections / share.of),
      packets: trial.packets / share.of,
    },
  );
  const rounds = (turns + 1) * ROUNDS;
  return new CompiledRun(engines, workload, {
    samples: rounds,
    gapS: trial.gapS,
    clock: threadClock,
  });
}

function prepare(trial: Trial, samples: number): Run {
  const world = new World(inputOf(trial));
  // A translated connection has more than one name in the table.
  const places = trial.connections * (trial.aim === undefined ? 1.25 : 4);
  const engines = enginesOf(world, SEED, sizesOf(trial.scan, places));
  const workload = workloadOf(world, engines, trial);
  const options = { samples, gapS: trial.gapS, clock };
  if (trial.asks === undefined) return new CompiledRun(engines, workload, options);
  return new VerdictRun(world.topology, workload, { ...options, seed: SEED, addon: engines.addon });
}

function workloadOf(world: World, engines: BenchEngines, trial: Trial): Workload {
  const options = { ...trial, ports: portsOf(trial.scan, trial.policies), payload: 12, seed: SEED };
  if (trial.aim !== undefined) {
    return drawTranslated(world, engines.reference(), { ...options, aim: trial.aim });
  }
  const pods = measuredPairs(world, engines.compiled(), trial.family, options);
  return drawWorkload(scanPairs(world, trial.scan, pods), options);
}

async function measuredCaptures(trial: Trial, samples: number): Promise<Measured> {
  const input = inputOf(trial);
  const sent = await recordCaptures(input);
  const engines = enginesOf(new World(input), SEED, { connections: trial.connections });
  return measureCaptures(engines, sent, { packets: trial.packets, samples, clock });
}

function rowOf({ name, packets }: Trial, { samples, ...measured }: Measured): object {
  const pps = packetsPerSecond(samples);
  const rssBytes = process.resourceUsage().maxRSS * 1024;
  const nsPerPacket = 1e9 / pps.median;
  return {
    ...{ name, engine: 'compiled', workers: 1, packets: samples[0]?.packets ?? packets },
    ...{ pps, nsPerPacket, ...measured, rssBytes },
  };
}

const [index = '', samples = '10'] = process.argv.slice(2);
if (parentPort === null) {
  process.stdout.write(`${JSON.stringify(await run(Number(index), Number(samples)))}\n`);
} else {
  serveTurns(parentPort, prepareShare(trialAt(Number(index)), Number(samples), workerData));
}
