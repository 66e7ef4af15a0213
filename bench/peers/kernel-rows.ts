/**
 * Beside the real kernel: the same node, the same policies, the same packets in the same order. One
 * client pod, one server pod, flows that differ in their source port, one direction.
 *
 * Rates are of packets that were counted at the far end, per second of processor time of the sender
 * and of its core's ksoftirqd: one core does everything, as one core of ours does.
 * @module
 */
import type { Party } from '../../src/lab/bench/talks.ts';
import { drawWorkload, type Workload } from '../../src/lab/bench/workload.ts';
import type { World } from '../../src/lab/world.ts';
import { OPEN_PORT } from '../clusters.ts';
import { KernelLab, type KernelSample, type Senders, type Trace } from './kernel-lab.ts';
import { endsOf, Ours } from './ours.ts';
import { type Goal, type Measured, middle, type Row } from './rows.ts';
import { calico, npm, plainBridge, routed, verdictMap } from './worlds.ts';

const SEED = 1;
const MILLION = 1 << 20;
const FLOWS = 1000;
const NEW_FLOWS = 50_000;
/** Beyond the timeout of a UDP connection that nobody answers. */
const FORGET_S = 31;
const SPARE_PORT = 9;

interface Feed extends Goal {
  readonly how: 'send' | 'inject';
}

interface Scenario {
  readonly name: string;
  readonly world: () => World;
  readonly kind: 'established' | 'new' | 'opening';
  readonly feeds: readonly Feed[];
}

const SENDER = 'AF_PACKET sender';
const INJECTOR = 'XDP live frames';

export interface RunOptions {
  readonly samples: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly folder: string;
}

function feeds(against: string, workload: string, send: number, inject: number): readonly Feed[] {
  return [
    { against: `${against}, ${SENDER}`, workload, goal: send, how: 'send' },
    { against: `${against}, ${INJECTOR}`, workload, goal: inject, how: 'inject' },
  ];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'npm established',
    world: () => npm(1000),
    kind: 'established',
    feeds: feeds('kernel, NPM on a bridge', '1,000 policies, established', 45, 30),
  },
  {
    name: 'npm new',
    world: () => npm(1000),
    kind: 'new',
    feeds: feeds('kernel, NPM on a bridge', '1,000 policies, every packet new', 3000, 3000),
  },
  {
    name: 'calico new',
    world: () => calico(1000),
    kind: 'new',
    feeds: feeds('kernel, Calico on routed veth', '1,000 policies, every packet new', 1e4, 1e4),
  },
  {
    name: 'nft verdict map',
    world: () => verdictMap(10_000),
    kind: 'new',
    feeds: feeds('kernel, nft verdict map, routed', '10,000 elements, every packet new', 25, 25),
  },
  {
    name: 'plain bridge',
    world: plainBridge,
    kind: 'new',
    feeds: feeds('kernel, plain bridge', 'no filter', 12, 12),
  },
  {
    name: 'new connections',
    world: routed,
    kind: 'opening',
    feeds: feeds('kernel, routed, conntrack', 'new connections, 50,000 UDP', 20, 20).slice(0, 1),
  },
];

/** The client's packets of a workload, and what opens their connections. */
function trafficOf(scenario: Scenario, [client, server]: readonly [Party, Party]): Workload {
  const isOpening = scenario.kind === 'opening';
  const isEstablished = scenario.kind === 'established';
  const drawn = drawWorkload([[client, server]], {
    kind: isEstablished ? 'established' : 'new',
    connections: isOpening ? NEW_FLOWS : FLOWS,
    packets: isEstablished ? MILLION * 2.25 : MILLION,
    ports: [OPEN_PORT],
    protocol: 'udp',
    payload: 12,
    seed: SEED,
  });
  const ofClient = drawn.packets.filter(({ entry }) => entry === client.entry);
  // Each connection once, in an order that is drawn.
  const packets = isOpening ? [...new Set(ofClient)] : ofClient.slice(0, MILLION);
  return { openings: drawn.openings, packets };
}

/** Bring the kernel to where the packets are what the scenario says; the trace to measure. */
function prime(lab: KernelLab, senders: Senders, ends: readonly [Party, Party], traffic: Workload) {
  const [client, server] = ends;
  const once = (name: string, from: 'client' | 'server', packets: readonly Uint8Array[]) => {
    const trace = lab.trace(name, from, packets);
    lab.send(senders, trace, 0, 0);
    return trace;
  };
  // The bridge learns where the server is; the rules have no use for this packet.
  const spare = drawWorkload([[server, client]], {
    ...{ kind: 'new', connections: 1, packets: 1, ports: [SPARE_PORT], protocol: 'udp' },
    ...{ payload: 0, seed: SEED },
  });
  once(
    'spare',
    'server',
    spare.packets.map(({ packet }) => packet),
  );
  const opened = new Set(traffic.openings);
  const of = (party: Party) =>
    [...opened].filter(({ entry }) => entry === party.entry).map(({ packet }) => packet);
  if (opened.size > 0) {
    const there = once('there', 'client', of(client));
    once('back', 'server', of(server));
    lab.send(senders, there, 0, 0);
    const tracked = lab.connections();
    if (tracked < FLOWS) throw new Error(`${tracked} of ${FLOWS} connections stand in the kernel`);
  }
  const packets = traffic.packets.map(({ packet }) => packet);
  return lab.trace('measured', 'client', packets);
}

/** Measure one scenario: peers and we take turns. */
export function measureKernel(scenario: Scenario, senders: Senders, options: RunOptions): Row[] {
  const world = scenario.world();
  const ends = endsOf(world);
  const [client, server] = ends.map(({ entry }) => (entry.as === 'local' ? entry.host : ''));
  const traffic = trafficOf(scenario, ends);
  const ours = new Ours(world, traffic, traffic.packets.length > FLOWS ? NEW_FLOWS : FLOWS);
  const lab = new KernelLab(world.network, client ?? '', server ?? '', options.folder);
  const mine: number[] = [];
  const theirs = scenario.feeds.map((): KernelSample[] => []);
  const isOpening = scenario.kind === 'opening';
  try {
    lab.build();
    const trace = prime(lab, senders, ends, traffic);
    for (let round = 0; round < options.samples; round++) {
      for (const [i, { how }] of scenario.feeds.entries()) {
        if (isOpening) lab.forgetConnections();
        theirs[i]?.push(feed(lab, senders, how, trace, options, isOpening));
        if (isOpening) checkConnections(lab);
      }
      mine.push(isOpening ? ours.sample(FORGET_S, 0) : ours.sample(0, options.seconds));
    }
  } finally {
    lab.close();
  }
  return scenario.feeds.map((goal, i): Measured => {
    const samples = theirs[i] ?? [];
    const lost = samples.reduce((sum, one) => sum + one.sent - one.arrived, 0);
    const sent = samples.reduce((sum, one) => sum + one.sent, 0);
    const peer = middle(samples.map(({ arrived, cpuNs }) => (arrived / cpuNs) * 1000));
    const { against, workload } = goal;
    const arrived = `${sent} sent, ${lost === 0 ? 'all' : sent - lost} arrived`;
    const row = { against, workload, goal: goal.goal };
    return { ...row, peer, ours: middle(mine), hitRate: ours.hitRate(), note: arrived };
  });
}

function feed(
  lab: KernelLab,
  senders: Senders,
  how: Feed['how'],
  trace: Trace,
  { seconds, cpu }: RunOptions,
  isOpening: boolean,
): KernelSample {
  const sample =
    how === 'inject'
      ? lab.inject(senders, trace, seconds, cpu)
      : lab.send(senders, trace, isOpening ? 0 : seconds, cpu);
  if (sample.arrived > sample.sent || sample.arrived < sample.sent * 0.99) {
    throw new Error(`${sample.arrived} of ${sample.sent} packets arrived: no figure (${how})`);
  }
  return sample;
}

function checkConnections(lab: KernelLab): void {
  const tracked = lab.connections();
  if (tracked < NEW_FLOWS) throw new Error(`${tracked} of ${NEW_FLOWS} connections were tracked`);
}
