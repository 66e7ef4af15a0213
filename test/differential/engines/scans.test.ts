/**
 * P3 where every packet brings a value that nobody met before: scans of ports, of addresses from
 * outside and of addresses inside. Both engines alike on each packet; and because keys hold classes,
 * nearly all are the compiled engine's own.
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
import type { Inputs } from '../../../src/policy/inputs.ts';
import { Dice } from '../../support/drawn-traffic.ts';
import { address, tcp, udp } from '../../support/packets.ts';
import {
  BOTH_FAMILIES,
  NPM_SHOP,
  SCANS4,
  SCANS6,
  type Scan,
  SHOP,
} from '../../support/scan-traffic.ts';
import { TwinEngine } from '../../support/twin-engine.ts';

t.setTimeout(900_000);

const native = findNative();
const skip = native.addon === null ? native.reason : false;
const PACKETS = Number(process.env['SCAN_PACKETS'] ?? 1500);
const SEED = 20_261_121;

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
