/**
 * A walk by index is the plain walk: on generated rule sets in the whole vocabulary, and on nodes
 * with many policies of all kinds, where questions are found by address and port. The same verdict,
 * deciding rule, marks and their origins, looks, counters, connections; and of what the compiled
 * engine is told that a walk looked at, no more.
 *
 * That what it is told is enough, the twins of the other files show: their compiled side walks by
 * index, their reference side plainly (support/twin-engine.ts).
 * `INDEX_TRIALS` and `INDEX_SEED` roam.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import type { Injection } from '../../../src/engine/engine.ts';
import type { Topology } from '../../../src/engine/topology.ts';
import { World } from '../../../src/lab/world.ts';
import { lower } from '../../../src/lowering/link.ts';
import { SHORTEST_INDEXED } from '../../../src/node/rule-index/rule-indexes.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { formatAddress } from '../../../src/wire/address/address.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { IndexedPair } from '../../support/indexed-pair.ts';
import { address, rawIp, tcp, udp } from '../../support/packets.ts';
import { drawTrial, SHAPES } from '../kernel/harness/draw/trial.ts';
import { portsOf } from '../kernel/harness/kernel-host.ts';

t.setTimeout(3_600_000);

const TRIALS = Number(process.env['INDEX_TRIALS'] ?? 6);
const SEED = Number(process.env['INDEX_SEED'] ?? 1);
const FRAMES = 60;

for (const shape of SHAPES) {
  t.test(`generated rule sets, ${shape}: by index as by rule`, async (t) => {
    let looked = { plain: 0, indexed: 0 };
    for (let seed = SEED; seed < SEED + TRIALS; seed++) {
      const { trial } = drawTrial(shape, seed, FRAMES);
      const { plan } = trial;
      const image = lower(plan);
      const edges = portsOf(plan).map((device) => ({ host: plan.host, device }));
      const hosts = (name: string) => (name === plan.host ? image : undefined);
      const pair = new IndexedPair({ hosts, links: [], edges });
      for (const [i, shot] of trial.shots.entries()) {
        if (shot.kind !== 'frame') continue;
        const at = { as: 'frame', frame: i + 1, nowNs: 1e15 + i * 1e8, host: plan.host } as const;
        const frame: Injection = { ...at, device: shot.device, frameBytes: shot.frame };
        pair.inject(frame);
        // Every third once more, as a diagnosis asks: what it walks past is no end of the walk.
        if (i % 3 === 0) pair.inject({ ...frame, walkPastPolicyDrops: true });
        if (i % 7 === 0) pair.inject({ ...frame, trace: true });
      }
      pair.compareState();
      const { plain, indexed } = pair.looked();
      looked = { plain: looked.plain + plain, indexed: looked.indexed + indexed };
    }
    t.ok(
      looked.indexed < looked.plain,
      `${looked.plain} rules looked at, ${looked.indexed} by index`,
    );
  });
}

const NODES = 2;
const PODS = 30;
const GROUPS = 60;
const POLICIES = 120;
const PORTS = [53, 80, 443, 8080, 8443, 9000] as const;

const meta = (name: string, labels = {}) => ({ name, namespace: 'crowd', labels });

function podOf(n: number, p: number): object {
  const groups = Array.from({ length: 4 }, (_, i) => (p * 7 + n * 13 + i * 11) % GROUPS);
  const labels = Object.fromEntries(groups.map((group) => [`g${group}`, 'yes']));
  const ports = [{ name: `web${p % 3}`, containerPort: 8080 + (p % 3), protocol: 'TCP' }];
  const ips = [`10.240.${n * 4}.${p + 10}`, `fd00:240::${n}:${(p + 256).toString(16)}`];
  return {
    ...{
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: meta(`pod-${n}-${p}`, { app: 'web', ...labels }),
    },
    spec: { nodeName: `node-${n}`, containers: [{ name: 'c', image: 'x', ports }] },
    status: { phase: 'Running', podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) },
  };
}

/** Every shape of peer and port that policies have; all of a group are selected by some. */
function policyOf(i: number, dice: Dice, ranges: boolean): object {
  const group = () => ({ [`g${dice.below(GROUPS)}`]: 'yes' });
  const peer = (): object => {
    const net = `203.0.${dice.below(120)}.0`;
    switch (dice.below(5)) {
      case 0:
        return { ipBlock: { cidr: `${net}/24`, except: [`${net}/28`] } };
      case 1:
        return { ipBlock: { cidr: `10.240.${dice.below(8)}.${dice.below(4) * 64}/26` } };
      case 2:
        return {
          podSelector: {
            matchExpressions: [{ key: `g${dice.below(GROUPS)}`, operator: 'DoesNotExist' }],
          },
        };
      case 3:
        return { namespaceSelector: {}, podSelector: { matchLabels: { ...group(), ...group() } } };
      default:
        return { podSelector: { matchLabels: group() } };
    }
  };
  const port = (): object => {
    if (dice.oneIn(6)) return { protocol: 'TCP', port: `web${dice.below(3)}` };
    const protocol = dice.oneIn(3) ? 'UDP' : 'TCP';
    if (ranges && dice.oneIn(4)) return { protocol, port: 8000, endPort: 8000 + dice.below(1500) };
    return { protocol, port: dice.pick(PORTS) };
  };
  const rule = (side: 'from' | 'to') => ({
    ...(dice.oneIn(8) ? {} : { [side]: Array.from({ length: 1 + dice.below(3) }, peer) }),
    ...(dice.oneIn(5) ? {} : { ports: Array.from({ length: 1 + dice.below(2) }, port) }),
  });
  const isEgress = dice.oneIn(3);
  const all = dice.oneIn(12);
  return {
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: meta(`policy-${i}`) },
    spec: {
      podSelector: all ? {} : { matchLabels: dice.oneIn(3) ? { app: 'web', ...group() } : group() },
      policyTypes: [isEgress ? 'Egress' : 'Ingress'],
      ...(isEgress ? { egress: [rule('to')] } : { ingress: [rule('from'), rule('from')] }),
    },
  };
}

function crowd(stack: string, ranges: boolean): World {
  const dice = new Dice(SEED);
  const items: object[] = [];
  for (let n = 0; n < NODES; n++) {
    const ips = [`10.240.${n * 4}.4`, `fd00:240::${n}:4`];
    const addresses = ips.map((ip) => ({ type: 'InternalIP', address: ip }));
    items.push({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `node-${n}` },
      status: { addresses },
    });
    for (let p = 0; p < PODS; p++) items.push(podOf(n, p));
  }
  for (let i = 0; i < POLICIES; i++) items.push(policyOf(i, dice, ranges));
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  return new World({ ...parseInputs('crowd.json', list), stack: parseStack(stack) });
}

const PACKETS = Number(process.env['INDEX_PACKETS'] ?? 400);

function injections(world: World, family: 4 | 6): Injection[] {
  const dice = new Dice(SEED + family);
  const own = world.cluster.pods.flatMap(({ addresses }) =>
    addresses.filter((a) => a.family === family),
  );
  const outside = () =>
    address(
      family === 4 ? `203.0.${dice.below(120)}.${dice.below(64)}` : `2001:db8::${dice.below(9)}`,
    );
  return Array.from({ length: PACKETS }, (_, i) => {
    const src = dice.oneIn(4) ? outside() : dice.pick(own);
    const dst = dice.oneIn(5) && own.includes(src) ? outside() : dice.pick(own);
    const port = dice.oneIn(3) ? 7990 + dice.below(1600) : dice.pick(PORTS);
    const ends = (builder: ReturnType<typeof tcp>) =>
      builder.from(formatAddress(src), 1024 + i).to(formatAddress(dst), port);
    const roll = dice.below(12);
    const packet =
      roll === 0
        ? rawIp(47).from(formatAddress(src)).to(formatAddress(dst)).payload(20)
        : roll === 1
          ? ends(udp().payload(40)).fragment(dice.pick([0, 8]), true, 24)
          : ends(roll < 8 ? tcp().syn() : udp().payload(9));
    const place = world.identities.placeOf(src);
    return world.injectAt(place, packet.packet(), { frame: i + 1, nowNs: 1e15 + i * 1e6 });
  });
}

const CROWDS = [
  ['azure-bridge+npm', 4, false],
  ['azure-transparent+calico', 4, true],
  ['azure-transparent+calico', 6, true],
] as const;

for (const [stack, family, ranges] of CROWDS) {
  for (const shortest of [1, SHORTEST_INDEXED]) {
    const from = shortest === 1 ? 'all chains' : 'long chains';
    t.test(`${stack}, IPv${family}, ${POLICIES} policies, ${from} by index`, async (t) => {
      const world = crowd(stack, ranges);
      const pair = new IndexedPair(world.topology, shortest);
      const outcomes = new Map<string, number>();
      for (const [i, injection] of injections(world, family).entries()) {
        const { outcome, reason } = pair.inject(injection);
        outcomes.set(`${outcome} ${reason}`, (outcomes.get(`${outcome} ${reason}`) ?? 0) + 1);
        if (i % 9 === 0) pair.inject({ ...injection, trace: true });
        if (i % 10 === 0) pair.inject({ ...injection, walkPastPolicyDrops: true });
      }
      pair.compareState();
      const { plain, indexed } = pair.looked();
      t.ok(indexed < plain * 0.6, `${plain} rules looked at, ${indexed} by index`);
      t.ok(outcomes.size > 1, JSON.stringify([...outcomes]));
    });
  }
}

t.test('an index that does not know members of sets is found out', async (t) => {
  const [world, other] = [crowd('azure-bridge+npm', false), crowd('azure-bridge+npm', false)];
  const topology: Topology = {
    ...other.topology,
    hosts: (name) => {
      const image = other.topology.hosts(name);
      for (const set of image?.sets.values() ?? []) Object.assign(set, { prefixes: () => [] });
      return image;
    },
  };
  const pair = new IndexedPair(world.topology, 1, () => topology);
  const run = () => {
    for (const injection of injections(world, 4)) pair.inject(injection);
  };
  t.throws(run, { message: /differs/ });
});
