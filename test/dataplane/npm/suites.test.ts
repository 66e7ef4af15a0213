/**
 * The external suites on NPM: cyclonus (256 steps, 109,956 probes without the diagonal), the NetworkPolicy
 * recipes and kube-network-policies, each first packet walked through nodes and fabric.
 *
 * Takes some ten seconds: every probe is a whole journey. Cases take turns between the two modes of
 * Azure CNI; all of them in both modes were run when this was written (2026-11-21), without a
 * mismatch.
 * @module
 */
import t from 'tap';
import type { Pod } from '../../../src/cluster/model.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import type { Injection } from '../../../src/engine/engine.ts';
import { syntheticPacket } from '../../../src/lab/synthetic.ts';
import { World } from '../../../src/lab/world.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import {
  cyclonusCases,
  haveSuites,
  knpCases,
  recipeCases,
  type SuiteCase,
  type SuiteProbe,
} from '../../support/suites.ts';
import { ip } from '../objects.ts';

const needs = { skip: !haveSuites() && 'needs ../shared' };

const STACKS = ['azure-bridge+npm', 'azure-transparent+npm'] as const;
const NUMBERS = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp } as const;

function podOf(world: World, end: string): Pod | undefined {
  return end.startsWith('pod/') ? world.addresses.podsByName.get(end.slice(4)) : undefined;
}

/** Where the sender's packet enters. */
function place(world: World, from: string): { as: 'local'; host: string } | InjectionAtEdge {
  const pod = podOf(world, from);
  if (pod === undefined) return { as: 'received', ...world.edge() };
  return { as: 'local', host: pod.hostNetwork ? pod.node : from.slice(4) };
}

type InjectionAtEdge = Pick<Extract<Injection, { as: 'received' }>, 'as' | 'host' | 'device'>;

function mismatch(world: World, probe: SuiteProbe, frame: number): string | null {
  const { from, to, protocol, port, expect } = probe;
  const src = podOf(world, from)?.addresses[0] ?? ip(from);
  const targets = podOf(world, to)?.addresses ?? [ip(to)];
  const dst = targets.find((address) => address.family === src.family) ?? src;
  const packet = syntheticPacket({
    src,
    dst,
    protocol: NUMBERS[protocol],
    sport: 20_000 + (frame % 40_000),
    dport: port,
    step: 'request',
  });
  const journey = world.engine.inject({ ...place(world, from), packet, frame, nowNs: frame });
  const arrived = journey.outcome === 'delivered' || journey.outcome === 'exited';
  if (arrived === (expect === 'allowed')) return null;
  return `${from} ${to} ${protocol} ${port}: ${journey.decision?.text ?? journey.reason}`;
}

function run(cases: Iterable<SuiteCase>): { readonly probes: number; readonly bad: string[] } {
  const bad: string[] = [];
  let probes = 0;
  let turn = 0;
  for (const { id, cluster, policies, probes: rows, knownIssue } of cases) {
    if (knownIssue !== undefined) continue;
    const stack = parseStack(STACKS[turn++ % 2] ?? STACKS[0]);
    const world = new World({ cluster, policies, stack });
    for (const probe of rows) {
      if (probe.from === probe.to) continue;
      const wrong = mismatch(world, probe, ++probes);
      if (wrong !== null) bad.push(`${id} ${stack.text}: ${wrong}`);
    }
  }
  return { probes, bad };
}

t.test('cyclonus: every probe of every step', needs, async (t) => {
  const { probes, bad } = run(cyclonusCases());
  t.equal(probes, 109_956);
  t.strictSame(bad, []);
});

t.test('the NetworkPolicy recipes', needs, async (t) => {
  const { probes, bad } = run(recipeCases());
  t.equal(probes, 27);
  t.strictSame(bad, []);
});

t.test('kube-network-policies, but for the case that its authors call wrong', needs, async (t) => {
  const { probes, bad } = run(knpCases());
  t.equal(probes, 19);
  t.strictSame(bad, []);
});
