/**
 * Every Linux network in the kernel: a rendered node is given frames on all its devices, and every
 * frame that comes out and every rule counter is the engine's; whole clusters are laid with real
 * cables, and real connections come through where they should.
 *
 * Paths: on a node, between nodes, to nodes, to Services (here, there, and to oneself), to host
 * ports, to the internet, from there; both families. Source ports that the kernel draws (`--random-fully`) are not
 * compared.
 * @module
 */
import t, { type Test } from 'tap';
import { FABRIC_MAC, nodeMac } from '../../../src/dataplane/azure-cni/mac.ts';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import type { Neighbor, Network, Plan } from '../../../src/plan/model.ts';
import { contains, formatAddress, parseAddress } from '../../../src/wire/address/address.ts';
import { OUTSIDE, OUTSIDE_ADDRESS } from '../../dataplane/shop.ts';
import {
  addressOf,
  type TwoNodes,
  twoNodeCluster,
  WIRINGS,
} from '../../dataplane/two-node-cluster.ts';
import { icmpEcho, type PacketBuilder, tcp, udp } from '../../support/packets.ts';
import { kernelMissing } from './harness/laboratory.ts';
import { compare, type Shot } from './host-path-compare.ts';
import { RealNetwork } from './real-network.ts';

t.setTimeout(300_000);

const needs = {
  skip: kernelMissing(['iptables-nft', 'ebtables-restore', 'ipset', 'bridge']) ?? false,
};

interface Case {
  readonly stack: string;
  readonly cluster: TwoNodes;
  /** Whose own sources a node hides when they leave, as it does. */
  readonly internet: 'hidden' | 'kept' | 'drawn';
  /** Without kube-proxy and with a policy DROP (Docker). */
  readonly alone?: boolean;
}

const CASES: readonly Case[] = [
  { stack: 'azure-bridge+none', cluster: {}, internet: 'hidden' },
  { stack: 'azure-transparent+none', cluster: {}, internet: 'hidden' },
  { stack: 'azure-overlay+none', cluster: { wiring: WIRINGS.overlay }, internet: 'hidden' },
  {
    stack: 'azure-podsubnet+none',
    cluster: { wiring: WIRINGS.podSubnet, single: true, pods: 'subnet' },
    internet: 'hidden',
  },
  { stack: 'kubenet+none', cluster: { wiring: WIRINGS.kubenet }, internet: 'hidden' },
  { stack: 'kubenet+calico', cluster: { wiring: WIRINGS.kubenet }, internet: 'hidden' },
  { stack: 'byo+none', cluster: { wiring: WIRINGS.byo }, internet: 'kept' },
  { stack: 'byo+none,cni=ptp', cluster: { wiring: WIRINGS.byo }, internet: 'kept' },
  { stack: 'byo+none,cni=kindnet', cluster: { wiring: WIRINGS.byo }, internet: 'hidden' },
  { stack: 'byo+none,cni=flannel', cluster: { wiring: WIRINGS.byo }, internet: 'drawn' },
  { stack: 'docker+none', cluster: { wiring: WIRINGS.byo }, internet: 'hidden', alone: true },
];

function networkOf({ stack, cluster, alone = false }: Case): Network {
  const { cluster: loaded, policies } = twoNodeCluster({ ...cluster, hostPorts: !alone });
  return renderNetwork({ cluster: loaded, policies, stack: parseStack(stack) });
}

function planOf(network: Network, host: string): Plan {
  const plan = network.nodes.find((p) => p.host === host);
  if (!plan) throw new Error(`no node ${host}`);
  return plan;
}

/** The node's device and the frame when a pod sends this. */
function fromPod(
  network: Network,
  pod: string,
  packet: PacketBuilder,
  to: string,
): Omit<Shot, 'what'> {
  const host = `default/${pod}`;
  const plan = network.podPlan(host);
  const target = parseAddress(to);
  if (!target) throw new Error(to);
  const [route] = plan.routes
    .filter((r) => contains(r.destination, target))
    .toSorted((a, b) => b.destination.length - a.destination.length);
  const hop = formatAddress(route?.via ?? target);
  // Whom a pod in bridge mode does not know, the fabric answers for.
  const known = plan.neighbors.find((n) => formatAddress(n.address) === hop)?.mac ?? FABRIC_MAC;
  const mac = plan.interfaces.find((i) => i.name === 'eth0')?.mac ?? '';
  const link = network.links.find(([, far]) => far.host === host);
  if (!link) throw new Error(`${pod} has no cable`);
  const frame = packet.frame({ srcMac: mac, dstMac: known });
  return { device: link[0].device, frame };
}

type Family = 4 | 6;

/** What is sent into node-a, in order. */
function shotsOf(one: Case, network: Network, family: Family): Shot[] {
  const shots: Shot[] = [];
  const at = (name: string) => addressOf(name, family, one.cluster.pods);
  const world = family === 4 ? '203.0.113.9' : '2001:db8::9';
  let port = 4000 + family;
  const pod = (
    what: string,
    from: string,
    packet: PacketBuilder,
    to: string,
    drawnPort = false,
  ) => {
    const shot = fromPod(network, from, packet, to);
    shots.push({ what: `IPv${family} ${what}`, ...shot, ...(drawnPort ? { drawnPort } : {}) });
  };
  const wire = (what: string, packet: PacketBuilder) => {
    const frame = packet.frame({ srcMac: FABRIC_MAC, dstMac: nodeMac('node-a') });
    shots.push({ what: `IPv${family} ${what}`, device: 'eth0', frame });
  };
  const syn = (from: string, to: string) => tcp().from(from, port).to(to, 80).syn();
  const back = (from: string, to: string) => tcp().from(from, 80).to(to, port).syn().ack(1);
  const echo = () => icmpEcho(1, 1, { v6: family === 6 });
  const a1 = at('a1');
  pod('on the node', 'a1', syn(a1, at('a2')), at('a2'));
  pod('and its answer', 'a2', back(at('a2'), a1), a1);
  pod('by udp', 'a1', udp().from(a1, port).to(at('a2'), 53), at('a2'));
  pod('an echo', 'a2', echo().from(at('a2')).to(a1), a1);
  pod('to the other node’s pod', 'a1', syn(a1, at('b1')), at('b1'));
  wire('and its answer', back(at('b1'), a1));
  port += 10;
  wire('from the other node’s pod', syn(at('b1'), a1));
  pod('and its answer', 'a1', back(a1, at('b1')), at('b1'));
  pod('to its node', 'a1', syn(a1, at('node-a')), at('node-a'));
  pod('an echo to its node', 'a1', echo().from(a1).to(at('node-a')), at('node-a'));
  pod('to the other node', 'a1', syn(a1, at('node-b')), at('node-b'), one.internet === 'drawn');
  port += 10;
  wire('from the other node', syn(at('node-b'), a1));
  pod('and its answer', 'a1', back(a1, at('node-b')), at('node-b'));
  for (const target of ['a2', 'b1', 'a1']) {
    port += 10;
    const service = at(`svc-${target}`);
    const drawn = target === 'a1' || one.internet === 'drawn';
    pod(`to the Service of ${target}`, 'a1', syn(a1, service), service, drawn);
    if (target === 'a2') pod('and its answer', 'a2', back(at('a2'), a1), a1);
    if (target === 'b1' && one.internet !== 'hidden') wire('and its answer', back(at('b1'), a1));
  }
  port += 10;
  pod('to the internet', 'a1', syn(a1, world), world, one.internet === 'drawn');
  if (one.internet !== 'drawn') {
    wire('and its answer', back(world, one.internet === 'hidden' ? at('node-a') : a1));
  }
  if (!one.alone) {
    const host = at('node-a');
    const toHost = (from: string) => tcp().from(from, port).to(host, 8080).syn();
    port += 10;
    wire('from the internet to a host port', toHost(world));
    pod('and its answer', 'a1', back(a1, world), world);
    wire('by udp', udp().from(world, port).to(host, 5353));
    port += 10;
    // kube-proxy's chain, which kubenet uses, draws a port.
    const drawn = one.stack === 'kubenet+none';
    pod('a neighbour to a host port', 'a2', toHost(at('a2')), host, drawn);
    port += 10;
    pod('itself by its host port', 'a1', toHost(a1), host, drawn);
    port += 10;
    pod(
      'to the other node’s',
      'a1',
      tcp().from(a1, port).to(at('node-b'), 8080).syn(),
      at('node-b'),
      one.internet === 'drawn',
    );
  }
  port += 10;
  wire('from the internet', syn(world, a1));
  wire('to nobody', syn(world, family === 4 ? '10.99.0.1' : '2001:db8:99::1'));
  wire('to the node', syn(world, at('node-a')));
  return shots;
}

for (const one of CASES) {
  t.test(`${one.stack}: a node’s frames and counters`, needs, async (t) => {
    const network = networkOf(one);
    const plan = laboratoryPlan(network);
    const families: Family[] = one.cluster.single ? [4] : [4, 6];
    await compare(
      t,
      plan,
      families.flatMap((f) => shotsOf(one, network, f)),
      'nft',
    );
  });
}

/** Node-a alone: nobody is there to answer for the other node, and for its pod on a bridge. */
function laboratoryPlan(network: Network): Plan {
  const plan = planOf(network, 'node-a');
  const bridge = plan.interfaces.find((i) => i.name === 'azure0')?.name;
  const device = bridge ?? 'eth0';
  const near = bridge ? ['node-b', 'b1'] : ['node-b'];
  const known = new Set(plan.neighbors.map((n) => `${n.device} ${formatAddress(n.address)}`));
  const missing = ([4, 6] as const).flatMap((family) =>
    near.flatMap((name): Neighbor[] => {
      const address = parseAddress(addressOf(name, family));
      if (!address || known.has(`${device} ${formatAddress(address)}`)) return [];
      return [{ address, device, mac: FABRIC_MAC, state: 'permanent' }];
    }),
  );
  return { ...plan, host: 'node', neighbors: [...plan.neighbors, ...missing] };
}

type Answer = 'answered' | 'silent';

/** Who opens a connection to whom, and whether an answer comes, whatever the network. */
const PATHS: readonly (readonly [from: string, to: string, Answer])[] = [
  ['default/a1', 'a2', 'answered'],
  ['default/a1', 'b1', 'answered'],
  ['default/b1', 'a2', 'answered'],
  ['default/a1', 'node-a', 'answered'],
  ['default/a1', 'node-b', 'answered'],
  ['node-a', 'a1', 'answered'],
  ['node-a', 'b1', 'answered'],
  ['default/a1', 'svc-a2', 'answered'],
  ['default/a1', 'svc-b1', 'answered'],
  ['default/a1', 'svc-a1', 'answered'],
  ['node-a', 'svc-b1', 'answered'],
];

async function connects(t: Test, one: Case): Promise<void> {
  const real = await RealNetwork.build(t, networkOf(one));
  const families: Family[] = one.cluster.single ? [4] : [4, 6];
  const rows = families.flatMap((family) =>
    PATHS.filter(([, to]) => !(one.alone && to.startsWith('svc-'))).map(([from, to, want]) => {
      const closed = one.alone && family === 4 && (to === 'b1' || from === 'default/b1');
      // A pod of kubenet can not reach itself: its bridge port has no hairpin, and what a promiscuous
      // bridge takes up itself has lost its connection (net/bridge/br_netfilter_hooks.c
      // `br_nf_local_in`, Linux 6.9 and its stable branches), so nothing hides it.
      const itself = one.stack === 'kubenet+none' && to === 'svc-a1';
      const expected: Answer = itself || (closed && !to.startsWith('node')) ? 'silent' : want;
      return [from, addressOf(to, family, one.cluster.pods), expected] as const;
    }),
  );
  const out = [['default/a1', OUTSIDE_ADDRESS, 'answered'] as const];
  // Outside of the cluster there is no way to pods of an overlay, of kubenet, or of Docker.
  const isClosed = one.alone || /^(azure-overlay|kubenet)/.test(one.stack);
  const inward = [
    [OUTSIDE, addressOf('a1', 4, one.cluster.pods), isClosed ? 'silent' : 'answered'] as const,
  ];
  const all = [...rows, ...out, ...inward];
  const answers = await real.connect(all.map(([from, to]) => [from, to, 80]));
  for (const [i, [from, to, want]] of all.entries()) t.equal(answers[i], want, `${from} to ${to}`);
}

for (const one of CASES) {
  t.test(`${one.stack}: connections through a whole cluster`, needs, (t) => connects(t, one));
}
