/**
 * Beside DPDK's rte_acl: Kubernetes-like rules (an address or a small network, a pod, a port), the
 * same for both: to rte_acl as five fields, to us as one NetworkPolicy each. Half of the flows meet a
 * rule. Every verdict of rte_acl is compared with ours before there is a figure.
 *
 * Both only say a verdict: rte_acl from five fields of a key, we from the same fields and where the
 * packet enters, by class tables (engine/verdicts.ts). No checksum, no connection, no counter.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseStack } from '../../src/dataplane/stack.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { ReferenceEngine } from '../../src/engine/reference.ts';
import { type VerdictBatch, Verdicts } from '../../src/engine/verdicts.ts';
import { injectionOf } from '../../src/lab/bench/batch.ts';
import { columnsOf } from '../../src/lab/bench/measure-verdicts.ts';
import { drawWorkload, type Workload } from '../../src/lab/bench/workload.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import type { RunOptions } from './kernel-rows.ts';
import { endsOf, processNs } from './ours.ts';
import { compile, needTool, run } from './programs.ts';
import { type Goal, type Measured, middle } from './rows.ts';

const SEED = 1;
const MILLION = 1 << 20;
const FLOWS = 1000;
const PODS = 100;
const ROUNDS = '5';
const CLOSED_PORT = 9;
const FIRST_PORT = 1024;
const KEY = { from: 12, to: 24 };

export interface AclTrial extends Goal {
  readonly rules: number;
}

function trial(rules: number, said: string): AclTrial {
  const workload = `${said} Kubernetes-like rules, verdict only`;
  return { rules, against: 'DPDK rte_acl', workload, goal: 2.5 };
}

export const RULE_COUNTS: readonly AclTrial[] = [
  trial(100, '100'),
  trial(1000, '1,000'),
  trial(10_000, '10,000'),
];

interface AclRule {
  /** Pods by number. */
  readonly source: number;
  readonly length: 28 | 32;
  readonly pod: number;
  readonly port: number;
}

function ruleAt(i: number): AclRule {
  const pod = i % PODS;
  const source = (pod + 1 + ((i * 37) % (PODS - 1))) % PODS;
  return { source, length: i % 3 === 0 ? 28 : 32, pod, port: FIRST_PORT + (i % 30_000) };
}

/** 10.240.1.N */
function addressOf(pod: number): number {
  return 0x0af00100 + 16 + pod;
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

function networkOf({ source, length }: AclRule): number {
  return length === 32 ? addressOf(source) : (addressOf(source) & ~15) >>> 0;
}

function worldOf(rules: readonly AclRule[]): World {
  const node = {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-0' } },
    status: { addresses: [{ type: 'InternalIP', address: '10.240.0.4' }] },
  };
  const pods = Array.from({ length: PODS }, (_, i) => ({
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: { name: `pod-${i}`, namespace: 'load', labels: { number: `n${i}` } },
    spec: { nodeName: 'node-0', containers: [{ name: 'c', image: 'x' }] },
    status: { phase: 'Running', podIP: dotted(addressOf(i)) },
  }));
  const policies = rules.map((rule, i) => ({
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
    metadata: { name: `rule-${String(i).padStart(5, '0')}`, namespace: 'load' },
    spec: {
      podSelector: { matchLabels: { number: `n${rule.pod}` } },
      ingress: [
        {
          from: [{ ipBlock: { cidr: `${dotted(networkOf(rule))}/${rule.length}` } }],
          ports: [{ protocol: 'UDP', port: rule.port }],
        },
      ],
    },
  }));
  const items = [node, ...pods, ...policies];
  const inputs = parseInputs('acl.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  return new World({ ...inputs, stack: parseStack('azure-transparent+npm'), seed: SEED });
}

/** Flows of rules all over the list; every second one asks for a port that no rule opens. */
function trafficOf(world: World, rules: readonly AclRule[]): Workload {
  const asked = Array.from({ length: FLOWS }, (_, i) => {
    const rule = rules[Math.floor((i * rules.length) / FLOWS)];
    if (rule === undefined) throw new RangeError('a place in the list');
    return rule;
  });
  const pairs = asked.map(({ source, pod }) => endsOf(world, source, pod));
  const ports = asked.map(({ port }, i) => (i % 2 === 0 ? port : CLOSED_PORT));
  return drawWorkload(pairs, {
    ...{ kind: 'new', connections: FLOWS, packets: MILLION, ports },
    ...{ protocol: 'udp', payload: 12, seed: SEED },
  });
}

/** The files that acl.c reads: rules and keys. */
function writeFiles(folder: string, rules: readonly AclRule[], traffic: Workload): string[] {
  const files = ['acl.rules', 'acl.keys'].map((name) => join(folder, name));
  const [ruleFile = '', keyFile = ''] = files;
  const words = rules.flatMap((rule) => [
    ...[networkOf(rule), rule.length, addressOf(rule.pod), 32, rule.port],
  ]);
  writeFileSync(ruleFile, new Uint8Array(Uint32Array.from(words).buffer));
  const size = KEY.to - KEY.from;
  const keys = new Uint8Array(traffic.packets.length * size);
  for (const [i, { packet }] of traffic.packets.entries()) {
    keys.set(packet.subarray(KEY.from, KEY.to), i * size);
  }
  writeFileSync(keyFile, keys);
  return files;
}

/** Packets on which the reference engine is asked before a figure is believed. */
const CHECKED = 512;

/** @throws Error when a verdict differs from the reference engine's, or from rte_acl's */
function compareVerdicts(
  world: World,
  traffic: Workload,
  said: (packet: number) => string,
  path: string,
): void {
  const reference = new ReferenceEngine(world.topology, { seed: SEED });
  for (const [i, sent] of traffic.packets.slice(0, CHECKED).entries()) {
    const [course] = reference.courses(injectionOf(sent, 1, 0), () => null).courses;
    const want = course?.forward.outcome;
    if (want !== said(i)) throw new Error(`packet ${i}: the reference says ${want}, we ${said(i)}`);
  }
  const theirs = readFileSync(path);
  for (let i = 0; i < traffic.packets.length; i++) {
    if ((said(i) === 'delivered') === (theirs[i] === 1)) continue;
    throw new Error(`packet ${i}: rte_acl says ${theirs[i]}, we say ${said(i)}`);
  }
}

/** Millions of verdicts a second: the best of as many rounds as the peer's best is of. */
function best(verdicts: Verdicts, batch: VerdictBatch): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < Number(ROUNDS); round++) {
    const started = processNs();
    verdicts.run(batch);
    least = Math.min(least, Number(processNs() - started));
  }
  return (batch.results.length / least) * 1000;
}

export function measureAcl(goal: AclTrial, { folder, samples, cpu }: RunOptions): Measured[] {
  needTool('DPDK', ['pkg-config', '--exists', 'libdpdk'], 'libdpdk-dev');
  const words = (flag: string) => run(['pkg-config', flag, 'libdpdk']).trim().split(/\s+/);
  const program = compile(folder, 'acl', [...words('--cflags'), ...words('--libs')]);
  const rules = Array.from({ length: goal.rules }, (_, i) => ruleAt(i));
  const world = worldOf(rules);
  const traffic = trafficOf(world, rules);
  const { addon } = findNative();
  if (addon === null) throw new Error('the addon is not built');
  const verdicts = new Verdicts(world.topology, { addon, seed: SEED });
  const batch = columnsOf(verdicts, traffic.packets);
  verdicts.run(batch);
  const { walked } = verdicts;
  const files = writeFiles(folder, rules, traffic);
  const answers = join(folder, 'acl.verdicts');
  const mine: number[] = [];
  const theirs: number[] = [];
  let note = '';
  for (let round = 0; round < samples; round++) {
    const argv = [program, ...files, ROUNDS, String(cpu), answers];
    const said = JSON.parse(run(argv)) as { method: string; ns: number; matches: number };
    theirs.push(1000 / said.ns);
    mine.push(best(verdicts, batch));
    const matched = ((said.matches / MILLION) * 100).toFixed(0);
    note = `${said.method}, ${matched}% met a rule, verdicts equal; ours ${verdicts.pathName}`;
  }
  const outcome = (i: number) => verdicts.journey(batch.results[i] ?? -1).outcome;
  compareVerdicts(world, traffic, outcome, answers);
  const { against, workload } = goal;
  const row = {
    against,
    workload,
    goal: goal.goal,
    note,
    hitRate: 1 - (verdicts.walked - walked) / MILLION,
  };
  return [{ ...row, peer: middle(theirs), ours: middle(mine) }];
}
