/**
 * Policy engines on Windows nodes equal the API's text, for drawn policies and flows between pods of
 * Linux and Windows nodes and with the world outside; but for the policies that Azure NPM refuses on
 * Windows, which hold only where a packet passes a Linux node, whose NPM judges both ends. Loopback
 * is left out.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import type { Cluster, Node, Pod } from '../../../src/cluster/model.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { syntheticPacket } from '../../../src/lab/datagram/synthetic.ts';
import { World } from '../../../src/lab/world.ts';
import { evaluate } from '../../../src/policy/evaluate.ts';
import { type NetworkPolicy, policyId } from '../../../src/policy/model.ts';
import { Protocol } from '../../../src/wire/protocol.ts';
import { addressOf, endOf, flows, plainPolicies, policies, shop } from '../drawn-policies.ts';

t.setTimeout(300_000);

const SEED = 20_261_121;
const RUNS = Number(process.env['FC_RUNS'] ?? 60);

/** The shop on nodes of these operating systems. */
function shopOn(systems: readonly Node['os'][]): Cluster {
  const nodes = shop.nodes.map((node, i): Node => {
    const os = systems[i] ?? 'linux';
    return { ...node, os, kernel: os === 'windows' ? '10.0.20348.2966' : node.kernel };
  });
  return { ...shop, nodes };
}

type Drawn = Parameters<Parameters<typeof flows.map>[0]>[0][number];

function osOf(world: World, pod: Pod | null): Node['os'] | null {
  return world.cluster.nodes.find(({ name }) => name === pod?.node)?.os ?? null;
}

/** The policies that hold on Windows: those that NPM does not refuse there. */
function heldOnWindows(world: World, drawn: readonly NetworkPolicy[]): readonly NetworkPolicy[] {
  const refused = new Set(
    (world.network.warnings ?? [])
      .filter(({ code }) => code === 'NPM_WINDOWS_REFUSED')
      .map(({ object }) => object),
  );
  return drawn.filter((policy) => !refused.has(policyId(policy)));
}

function isAllowed(world: World, drawn: readonly NetworkPolicy[], flow: Drawn): boolean {
  const { protocol, port } = flow;
  const asked = { from: endOf(flow.from), to: endOf(flow.to), protocol, port };
  const [from, to] = [osOf(world, flow.from), osOf(world, flow.to)];
  const all = evaluate(world.cluster, drawn, asked);
  const held = evaluate(world.cluster, heldOnWindows(world, drawn), asked);
  return (
    ((from !== 'linux' && to !== 'linux') || all.allowed) &&
    (from !== 'windows' || held.egress.allowed) &&
    (to !== 'windows' || held.ingress.allowed)
  );
}

function outcomeOf(world: World, { from, to, protocol, port }: Drawn, i: number) {
  const packet = syntheticPacket({
    src: addressOf(from),
    dst: addressOf(to),
    protocol: protocol === 'TCP' ? Protocol.tcp : Protocol.udp,
    sport: 20_000 + i,
    dport: port,
    step: 'request',
  });
  const at = { packet, frame: i + 1, nowNs: i };
  return world.engine.inject(
    from === null
      ? { ...at, as: 'received', ...world.edge() }
      : { ...at, as: 'local', host: `${from.namespace}/${from.name}` },
  );
}

const ROWS = [
  ['azure-transparent+npm,place-first=true', policies, ['linux', 'windows']],
  ['azure-transparent+npm,place-first=true', policies, ['windows', 'windows']],
  ['azure-transparent+calico', plainPolicies, ['linux', 'windows']],
  ['azure-transparent+calico', plainPolicies, ['windows', 'windows']],
] as const;

for (const [stack, anyPolicies, systems] of ROWS) {
  t.test(`${stack} on ${systems.join(' and ')}: delivered is what is allowed`, async (t) => {
    const cluster = shopOn(systems);
    let judged = 0;
    let refused = 0;
    fc.assert(
      fc.property(anyPolicies, flows, (drawn, wanted) => {
        const world = new World({ cluster, policies: drawn, stack: parseStack(stack) });
        const codes = (world.network.warnings ?? []).map(({ code }) => code);
        // Such a policy allows what it excludes: the API's text is no measure of it.
        if (codes.includes('NPM_WINDOWS_NEGATION')) return;
        if (codes.includes('NPM_WINDOWS_REFUSED')) refused++;
        for (const [i, flow] of wanted.entries()) {
          const { outcome, reason, decision } = outcomeOf(world, flow, i);
          const got = outcome === (flow.to === null ? 'exited' : 'delivered');
          const want = isAllowed(world, drawn, flow);
          judged++;
          if (got === want) continue;
          const { from, to, protocol, port } = flow;
          const what = `${from?.namespace}/${from?.name} ${to?.namespace}/${to?.name} ${protocol} ${port}`;
          throw new Error(`${what}: ${outcome} ${reason} ${decision?.text}, allowed ${want}`);
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
    t.ok(judged >= RUNS * 6, `${judged} flows judged`);
    t.equal(refused > 0, stack.includes('npm'), `${refused} draws with refused policies`);
  });
}
