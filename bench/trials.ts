/**
 * What is measured: one line a trial. Each runs in its own process, checks its digest against the
 * reference engine first, and prints one row.
 * @module
 */
import type { TrafficKind } from '../src/lab/bench/workload.ts';
import type { Aim } from './services.ts';

export interface Trial {
  readonly name: string;
  readonly stack: string;
  readonly policies: number;
  readonly kind: TrafficKind;
  readonly protocol: 'tcp' | 'udp' | 'both';
  readonly connections: number;
  readonly family: 4 | 6;
  /** Packets of one sample. */
  readonly packets: number;
  /** Virtual seconds between samples: above 30, each sample opens its connections anew. */
  readonly gapS: number;
  /** Of connections that are translated: what they ask for. Both ways, answered. */
  readonly aim?: Aim;
  /** Left out of a plain run: `npm run bench -- --all`. */
  readonly isLarge?: true;
  /** No two packets are alike: which of their values was never met before (bench/scans.ts). */
  readonly scan?: Scan;
  /** What is asked of each packet; absent: all that becomes of it. */
  readonly asks?: 'verdict';
  /** Nodes and pods on each; absent: one with a hundred, or two with fifty. */
  readonly shape?: { readonly nodes: number; readonly podsPerNode: number };
  /** Packets of the sample that the reference engine is asked about; absent: some thousands. */
  readonly checked?: number;
  /** Measured in turns with the same under so many policies: a ratio comes of it. */
  readonly over?: number;
  /** By so many threads at once, measured in turns with one (bench/apart.ts). */
  readonly apart?: number;
  /** The packets are those of real captures (bench/captures.ts). */
  readonly captured?: true;
  /** A policy comes or goes each second (bench/epochs.ts); so many connections open meanwhile. */
  readonly opening?: number;
}

/**
 * `ports`: pods scan each other's ports. `outside`: each packet comes from another address outside.
 * `combinations`: each brings classes together that never met, and all is forgotten on the way.
 */
export type Scan = 'ports' | 'outside' | 'combinations';

const MILLION = 1 << 20;
const BASE = { protocol: 'both', family: 4, packets: MILLION, gapS: 0 } as const;
const NPM = 'azure-bridge+npm';
const CALICO = 'azure-transparent+calico';

function established(stack: string, policies: number, connections: number): Trial {
  const name = `established, ${stack}, ${policies} policies, ${connections} connections`;
  return { ...BASE, name, stack, policies, connections, kind: 'established' };
}

function inIpv6(trial: Trial): Trial {
  return { ...trial, name: `${trial.name}, IPv6`, family: 6 };
}

/** More than a node's own table holds, on as many nodes as it takes. */
const SPREAD = { nodes: 64, podsPerNode: 8 } as const;

function translated(aim: Aim, stack: string, connections: number): Trial {
  const what = aim === 'service' ? 'services (ClusterIP)' : 'services (SNAT to the outside)';
  const name = `${what}, established, ${stack}, ${connections} connections`;
  const policies = stack.endsWith('+none') ? 0 : 10;
  return { ...BASE, name, stack, policies, connections, kind: 'established', aim };
}

function everyNew(stack: string, policies: number): Trial {
  const name = `every packet NEW, ${stack}, ${policies} policies, 1000 flows`;
  return { ...BASE, name, stack, policies, connections: 1000, kind: 'new', protocol: 'udp' };
}

function verdicts(stack: string, policies: number): Trial {
  const name = `verdict only, ${stack}, ${policies} policies, 1000 flows`;
  return { ...everyNew(stack, policies), name, asks: 'verdict' };
}

/** The same under ten thousand policies and under ten; few pods, for each pair of them is walked. */
function overTen(trial: Trial): Trial {
  // Where every policy is a chain of its own, a walk goes through all of them.
  const isChained = trial.stack.endsWith('+calico');
  const shape = { nodes: 1, podsPerNode: isChained ? 3 : 8 };
  const checked = isChained ? 100 : 500;
  const name = `10000 policies over 10: ${trial.name}`;
  return { ...trial, name, policies: 10_000, over: 10, shape, checked, isLarge: true };
}

/** Two threads over one: at least 64 server ends, and nothing that both would have to know. */
function byTwo(trial: Trial): Trial {
  const shape = { nodes: 2, podsPerNode: 64 };
  return { ...trial, name: `two threads over one: ${trial.name}`, apart: 2, shape };
}

function scan(kind: Scan, what: string, stack: string, policies: number): Trial {
  const name = `${what}, ${stack}, ${policies} policies`;
  const packets = kind === 'combinations' ? MISSES : MILLION / 8;
  const rest = { kind: 'new', protocol: 'udp', connections: packets, packets, scan: kind } as const;
  return { ...BASE, name, stack, policies, ...rest };
}

/** Every network with every policy engine that it is offered with. */
const DATAPLANES = [
  ...['azure-bridge+none', 'azure-bridge+npm'],
  ...['azure-transparent+none', 'azure-transparent+npm', 'azure-transparent+calico'],
  ...['azure-overlay+none', 'azure-overlay+npm', 'azure-overlay+calico'],
  ...['azure-podsubnet+none', 'azure-podsubnet+npm', 'azure-podsubnet+calico'],
  ...['kubenet+none', 'kubenet+calico', 'byo+none', 'byo+calico'],
] as const;

/** Between two nodes, under a thousand policies where there is somebody to read them. */
function onDataplane(stack: string): Trial {
  const trial = established(stack, stack.endsWith('+none') ? 0 : 1000, 1000);
  const shape = { nodes: 2, podsPerNode: 8 };
  const name = `dataplane: ${trial.name}, two nodes`;
  return { ...trial, name, shape, checked: 500, isLarge: true };
}

function captures(stack: string): Trial {
  const name = `mixed real captures, ${stack}, 10 policies`;
  const rest = { policies: 10, connections: 65_536, captured: true, isLarge: true } as const;
  return {
    ...BASE,
    name,
    stack,
    kind: 'established',
    packets: MILLION / 8,
    ...rest,
    shape: CAPTURED,
  };
}

/** The ten thousand pods, on forty nodes. */
function epochs(stack: string): Trial {
  const name = `a plan epoch a second, ${stack}, 10000 pods, 100 policies, 10000 connections`;
  const rest = { opening: 4096, shape: { nodes: 40, podsPerNode: 250 } } as const;
  return { ...established(stack, 100, 10_000), name, ...rest, isLarge: true };
}

/** As many pods as captures have ends. */
const CAPTURED = { nodes: 2, podsPerNode: 300 } as const;

/** Packets of a sample each of which is walked by the reference engine. */
const MISSES = 2048;
const SCAN_PORTS = 'scan of ports, no packet like another';
const SCAN_OUTSIDE = 'scan from outside, each packet of a new address';
const COMBINATIONS = 'every packet a new class combination';

export const TRIALS: readonly Trial[] = [
  established(NPM, 1000, 1),
  established(NPM, 10, 1000),
  established(NPM, 1000, 1000),
  established(NPM, 1000, 100_000),
  { ...established(NPM, 10, 4_000_000), shape: SPREAD, isLarge: true },
  { ...established(NPM, 10_000, 1000), checked: 500, isLarge: true },
  established('azure-transparent+npm', 1000, 1000),
  established(CALICO, 1000, 1000),
  established('azure-transparent+none', 0, 1000),
  inIpv6(established(NPM, 1000, 1000)),
  { ...inIpv6(established(NPM, 1000, 100_000)), isLarge: true },
  { ...inIpv6(established(NPM, 10, 4_000_000)), shape: SPREAD, isLarge: true },
  translated('service', 'azure-transparent+none', 1000),
  translated('service', NPM, 1000),
  translated('outside', 'azure-transparent+none', 1000),
  translated('outside', NPM, 1000),
  { ...translated('service', 'azure-transparent+none', 100_000), isLarge: true },
  { ...translated('outside', 'azure-transparent+none', 100_000), isLarge: true },
  everyNew(NPM, 10),
  everyNew(NPM, 1000),
  { ...everyNew(NPM, 10_000), checked: 500, isLarge: true },
  everyNew(CALICO, 1000),
  inIpv6(everyNew(CALICO, 1000)),
  verdicts(NPM, 10),
  verdicts(NPM, 1000),
  { ...verdicts(NPM, 10_000), checked: 500, isLarge: true },
  verdicts(CALICO, 1000),
  overTen(established(NPM, 10, 1000)),
  overTen(established(CALICO, 10, 1000)),
  overTen(established(NPM, 10, 100_000)),
  overTen(verdicts(NPM, 10)),
  overTen(verdicts(CALICO, 10)),
  byTwo(established('azure-transparent+npm', 10, 1000)),
  byTwo(established('azure-transparent+npm', 10, 100_000)),
  byTwo(everyNew('azure-transparent+npm', 10)),
  captures(NPM),
  captures(CALICO),
  epochs(NPM),
  epochs(CALICO),
  ...DATAPLANES.map(onDataplane),
  scan('ports', SCAN_PORTS, NPM, 1000),
  scan('ports', SCAN_PORTS, CALICO, 1000),
  scan('outside', SCAN_OUTSIDE, NPM, 1000),
  scan('outside', SCAN_OUTSIDE, CALICO, 1000),
  scan('combinations', COMBINATIONS, NPM, 10),
  scan('combinations', COMBINATIONS, NPM, 1000),
  scan('combinations', COMBINATIONS, NPM, 10_000),
  scan('combinations', COMBINATIONS, CALICO, 10),
  scan('combinations', COMBINATIONS, CALICO, 1000),
  scan('combinations', COMBINATIONS, CALICO, 10_000),
  {
    ...BASE,
    name: `new connections, ${NPM}, 1000 policies, 50000 UDP`,
    stack: NPM,
    policies: 1000,
    connections: 50_000,
    kind: 'new',
    protocol: 'udp',
    packets: 50_000,
    gapS: 31,
  },
];

/** The trial whose median is the last line of a run. */
export const HEADLINE = established(NPM, 1000, 1000).name;
