/**
 * Beside eBPF: a program of the Cilium kind, run as `bpftool prog run` runs it. No driver and no skb
 * is in its figure, only the program; the choice of the flow, which the bench needs, is taken off. It
 * runs for a while before it is timed; ours is sampled over as many rounds as take the `seconds`.
 * @module
 */
import { ReferenceEngine } from '../../src/engine/reference.ts';
import type { World } from '../../src/lab/world.ts';
import { drawTranslated } from '../services.ts';
import type { RunOptions } from './kernel-rows.ts';
import { Ours } from './ours.ts';
import { compile, compileBpf, run } from './programs.ts';
import { type Goal, type Measured, middle } from './rows.ts';
import { routed, routedNpm } from './worlds.ts';

const SEED = 1;
const MILLION = 1 << 20;
const NAMES = 3;

export interface EbpfTrial {
  readonly connections: number;
  /** Of the connection hit, and of everything. */
  readonly goals: readonly [Goal, Goal];
}

function trial(connections: number, said: string, hit: number, full: number): EbpfTrial {
  const workload = `${said} connections, established`;
  return {
    connections,
    goals: [
      { against: 'eBPF, connection hit and SNAT', workload, goal: hit },
      { against: 'eBPF, two LPM tries and policy, too', workload, goal: full },
    ],
  };
}

export const EBPF_TRIALS: readonly EbpfTrial[] = [
  trial(1000, '1,000', 2, 15),
  trial(131_072, '131,072', 5, 15),
];

interface Said {
  readonly base: number;
  readonly established: number;
  readonly full: number;
}

/** On a routed node, out to the internet: its address is masqueraded, and then the cluster's. */
function translatedOn(world: World, connections: number): Ours {
  const scout = new ReferenceEngine(world.topology, { seed: SEED });
  const workload = drawTranslated(world, scout, {
    ...{ aim: 'outside', connections, packets: MILLION },
    ...{ protocol: 'udp', payload: 12, seed: SEED },
  });
  // Each stands in the table under three names.
  return new Ours(world, workload, connections * NAMES);
}

export function measureEbpf({ connections, goals }: EbpfTrial, options: RunOptions): Measured[] {
  const { folder, samples, seconds, cpu } = options;
  const object = compileBpf(folder, 'cilium-kind');
  const program = compile(folder, 'run-ebpf', ['-lbpf']);
  const argv = [program, object, String(connections), String(MILLION), String(cpu)];
  const ours = [routed(), routedNpm()].map((world) => translatedOn(world, connections));
  const mine = ours.map((): number[] => []);
  const theirs = ours.map((): number[] => []);
  for (let round = 0; round < samples; round++) {
    const { base, established, full } = JSON.parse(run(argv)) as Said;
    for (const [i, ns] of [established, full].entries()) theirs[i]?.push(1000 / (ns - base));
    for (const [i, one] of ours.entries()) mine[i]?.push(one.sample(0, seconds));
  }
  return goals.map((goal, i): Measured => {
    const hitRate = ours[i]?.hitRate() ?? 0;
    const row = { ...goal, peer: middle(theirs[i] ?? []), ours: middle(mine[i] ?? []), hitRate };
    const policies = i === 0 ? '' : ", 1,000 of NPM's policies";
    return { ...row, note: `ours on a routed node, out to the internet${policies}` };
  });
}
