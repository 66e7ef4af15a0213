/**
 * P3 where every packet brings a value that nobody met before: scans of ports, of addresses from
 * outside and of addresses inside. Both engines alike on each packet; and because keys hold classes,
 * nearly all are the compiled engine's own.
 *
 * Addresses and ports are drawn around every boundary that policies, routes and the kinds of
 * addresses have, where a class that is too wide shows.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { findNative } from '../../../src/engine/compiled/native-door.ts';
import type { MakeEngine } from '../../../src/engine/make-engine.ts';
import type { Topology } from '../../../src/engine/topology.ts';
import { ClassTables } from '../../../src/image/classes/class-tables.ts';
import type { Cut } from '../../../src/image/classes/cut.ts';
import { freeze } from '../../../src/image/classes/flat.ts';
import { World } from '../../../src/lab/world.ts';
import { type Inputs, parseInputs } from '../../../src/policy/inputs.ts';
import { addToAddress, formatAddress } from '../../../src/wire/address.ts';
import { bigCluster } from '../../support/big-cluster.ts';
import { TWO_NODES_SHOP } from '../../support/clusters.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { address, tcp, udp } from '../../support/packets.ts';
import { TwinEngine } from '../../support/twin-engine.ts';

t.setTimeout(900_000);

const native = findNative();
const skip = native.addon === null ? native.reason : false;
const PACKETS = Number(process.env['SCAN_PACKETS'] ?? 1500);
const SEED = 20_261_121;

/** Blocks with exceptions, port ranges and named ports, in both directions. */
const POLICIES = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-from-blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: web}}
  ingress:
  - from:
    - ipBlock: {cidr: 203.0.112.0/20, except: [203.0.113.0/24, 203.0.114.128/25]}
    - ipBlock: {cidr: 203.0.113.64/26}
    ports: [{port: http}, {port: 8000, endPort: 8999}, {port: 53, protocol: UDP}]
  - from: [{namespaceSelector: {matchLabels: {team: other}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-to-blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.64/28]}}]
    ports: [{port: 443}, {port: 30000, endPort: 32767}]
  - to: [{podSelector: {matchLabels: {tier: db}}}]
    ports: [{port: sql}]
`;

/** NPM knows no port ranges. */
const WITHOUT_RANGES = POLICIES.replaceAll(/, \{port: \d+, endPort: \d+\}/g, '');

/** Addresses at which something begins or ends. */
const EDGES4 = [
  ...['0.0.0.0', '0.255.255.255', '10.240.0.0', '10.240.0.4', '10.240.0.5', '10.240.0.36'],
  ...['10.240.255.255', '10.241.0.0', '127.0.0.1', '169.254.169.254', '168.63.129.16'],
  ...['198.51.100.0', '198.51.100.64', '198.51.100.80', '198.51.101.0', '203.0.112.0'],
  ...['203.0.113.0', '203.0.113.64', '203.0.113.128', '203.0.114.0', '203.0.114.128'],
  ...['203.0.115.0', '203.0.128.0', '224.0.0.0', '224.0.0.1', '224.0.1.0', '239.255.255.255'],
  ...['240.0.0.0', '255.255.255.255'],
];
const EDGES6 = [
  ...['::', '::1', '2001:db8:5::9', 'fd00:240::4', 'fd00:240::10a', 'fd00:240::1:10b'],
  ...['fd00:241::', 'fe80::1', 'fec0::', 'ff02::1', 'ff02::1:ff00:10a', 'ff05::2'],
];
const PORTS = [0, 1, 53, 79, 80, 81, 442, 443, 444, 5432, 8000, 8080, 8999, 9000, 30_000, 32_767];

interface Scan {
  readonly name: string;
  /** Source, destination, protocol, source and destination port of the next packet. */
  readonly draw: (dice: Dice) => Packet;
  /** Of the packets, how many the compiled engine must have moved. */
  readonly least: number;
}

interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly isTcp: boolean;
  readonly sport: number;
  readonly dport: number;
}

function near(dice: Dice, edges: readonly string[]): string {
  const edge = address(dice.pick(edges));
  const off = dice.oneIn(2) ? dice.below(5) - 2 : dice.below(4096);
  return formatAddress(addToAddress(edge, off + (edge.w3 + off < 0 ? 2 : 0)));
}

function anywhere4(dice: Dice): string {
  const n = dice.next();
  return [24, 16, 8, 0].map((shift) => (n >>> shift) & 0xff).join('.');
}

function anyPort(dice: Dice): number {
  return dice.oneIn(3) ? dice.pick(PORTS) : dice.below(65_536);
}

const PODS4 = ['10.240.0.5', '10.240.0.6', '10.240.0.36', '10.240.0.37', '10.240.0.7'];
const PODS6 = ['fd00:240::10a', 'fd00:240::10b', 'fd00:240::1:10a'];

const SCANS4: readonly Scan[] = [
  {
    name: 'ports of pods',
    least: 0.7,
    draw: (dice) => ({
      ...{ src: dice.pick(PODS4), dst: dice.pick(PODS4), isTcp: dice.oneIn(2) },
      ...{ sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
  {
    name: 'pods from addresses outside',
    least: 0.5,
    draw: (dice) => ({
      src: dice.oneIn(2) ? near(dice, EDGES4.slice(11, 23)) : anywhere4(dice),
      ...{ dst: dice.pick(PODS4), isTcp: dice.oneIn(2) },
      ...{ sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
  {
    // What goes outside is translated: each connection's port is chosen on its own.
    name: 'addresses from pods',
    least: 0.05,
    draw: (dice) => ({
      src: dice.pick(PODS4),
      dst: dice.oneIn(3) ? anywhere4(dice) : near(dice, EDGES4),
      ...{ isTcp: dice.oneIn(2), sport: dice.below(65_536), dport: anyPort(dice) },
    }),
  },
];

const SCANS6: readonly Scan[] = [
  {
    name: 'pods from IPv6 addresses outside, and addresses from pods',
    least: 0.1,
    draw: (dice) => {
      const [far, pod] = [near(dice, EDGES6), dice.pick(PODS6)];
      const [src, dst] = dice.oneIn(2) ? [far, pod] : [pod, far];
      return { src, dst, isTcp: dice.oneIn(2), sport: dice.below(65_536), dport: anyPort(dice) };
    },
  },
];

function scan(
  inputs: Inputs,
  stack: string,
  { draw }: Scan,
  spoil = asItIs,
  classes?: SharedArrayBuffer,
): TwinEngine {
  const made: TwinEngine[] = [];
  const shared = classes === undefined ? {} : { classes };
  const makeEngine: MakeEngine = (topology, options) => {
    const twin = new TwinEngine(spoil(topology), { ...options, ...shared });
    made.push(twin);
    return twin;
  };
  const world = new World({ ...inputs, stack: parseStack(stack), makeEngine });
  const [twin] = made;
  if (twin === undefined) throw new Error('a world has an engine');
  const dice = new Dice(SEED);
  for (let n = 1; n <= PACKETS; n++) {
    const { src, dst, isTcp, sport, dport } = draw(dice);
    if (src === dst) continue;
    const builder = isTcp ? tcp().syn() : udp();
    const packet = builder.from(src, sport).to(dst, dport).packet();
    const place = world.identities.placeOf(address(src));
    // Half a minute apart: nobody waits for an answer any more.
    twin.inject(world.injectAt(place, packet, { frame: n, nowNs: 1e15 + n * 3e7 }));
  }
  twin.compareState();
  return twin;
}

function asItIs(topology: Topology): Topology {
  return topology;
}

/** The same hosts, whose constants of one kind are kept from the engine. */
function without(kind: (cut: Cut) => boolean): (topology: Topology) => Topology {
  return (topology) => ({
    ...topology,
    hosts: (name) => {
      const image = topology.hosts(name);
      return image && { ...image, cuts: () => [...image.cuts()].filter((cut) => !kind(cut)) };
    },
  });
}

const SHOP = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${POLICIES}`);
const NPM_SHOP = parseInputs('shop.yaml', `${TWO_NODES_SHOP}${WITHOUT_RANGES}`);
const BOTH_FAMILIES = bigCluster({ nodes: 2, podsPerNode: 3 });

const RUNS: readonly (readonly [string, Inputs, readonly Scan[]])[] = [
  ['azure-bridge+npm', NPM_SHOP, SCANS4],
  ['azure-transparent+npm', NPM_SHOP, SCANS4],
  ['azure-transparent+calico', SHOP, SCANS4],
  ['azure-transparent+calico', BOTH_FAMILIES, SCANS6],
  ['azure-bridge+none', BOTH_FAMILIES, SCANS6],
];

for (const [stack, inputs, scans] of RUNS) {
  for (const one of scans) {
    t.test(
      `${stack}: a scan of ${one.name} comes out of both engines alike`,
      { skip },
      async (t) => {
        const twin = scan(inputs, stack, one);
        const { moved, slow, decisions } = twin.compiled.statistics();
        const share = moved / twin.packets;
        t.ok(
          share >= one.least,
          `${(share * 100).toFixed(1)} % moved, ${decisions} decisions, ${JSON.stringify(slow)}`,
        );
      },
    );
  }
}

t.test('classes that were cut before are as good, whoever they know', { skip }, async (t) => {
  const [first] = SCANS4;
  if (first === undefined) throw new Error('there is a scan');
  const plain = new World({ ...NPM_SHOP, stack: parseStack('azure-bridge+npm') });
  const { fabric, nodes } = plain.network;
  for (const hosts of [[], [fabric.host], [fabric.host, ...nodes.map(({ host }) => host)]]) {
    const tables = new ClassTables();
    for (const host of hosts) {
      const image = plain.topology.hosts(host);
      if (image !== undefined) tables.takeIn(image);
    }
    const image = freeze(tables);
    const twin = scan(NPM_SHOP, 'azure-bridge+npm', first, asItIs, image);
    const { moved } = twin.compiled.statistics();
    t.ok(moved >= first.least * twin.packets, `${hosts.length} hosts known: ${moved} moved`);
    const again = Buffer.from(new Uint8Array(freeze(tables)));
    t.ok(again.equals(Buffer.from(new Uint8Array(image).slice())), 'the image is as it was');
  }
});

const PLANTED: readonly (readonly [string, number, (cut: Cut) => boolean])[] = [
  ['ports', 0, ({ kind }) => kind === 'port'],
  ['members of sets', 1, ({ what }) => what.startsWith('set ')],
  ['routes and neighbours', 2, ({ what }) => /^(local|routes|subnet|address|neigh)/.test(what)],
];

t.test('classes that are cut too wide are found out', { skip }, async (t) => {
  for (const [what, at, kind] of PLANTED) {
    const scanned = SCANS4[at];
    if (scanned === undefined) throw new Error('there is such a scan');
    const run = () => scan(NPM_SHOP, 'azure-bridge+npm', scanned, without(kind));
    t.throws(run, { message: /^packet \d+ of/ }, `a scan of ${scanned.name} without ${what}`);
  }
});
