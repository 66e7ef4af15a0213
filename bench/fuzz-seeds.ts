/**
 * Seeds for the fuzz targets of native/fuzz: the project's captures, their packets, and an image of
 * classes of the examples' shop: `node dist/bench/fuzz-seeds.js FOLDER`.
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCaptures } from '../src/capture/reader.ts';
import { LinkType } from '../src/capture/record.ts';
import { parseStack } from '../src/dataplane/stack.ts';
import { ClassTables } from '../src/image/classes/class-tables.ts';
import { freeze } from '../src/image/classes/flat.ts';
import { World } from '../src/lab/world.ts';
import { loadInputs } from '../src/policy/inputs.ts';

/** Inputs of the target for packets are at most this long, and each packet 255. */
const MOST_BYTES = 4096;
const MOST_PACKET = 255;
const MOST_CAPTURE = 16 * 1024;
const HEADER = 14;
/** Choices of native/fuzz/captures.cc. */
const Choice = { pcapng: 1, little: 2 } as const;

function captures(): readonly string[] {
  return [
    'pcaps/shop.pcapng',
    'pcaps/tutorial/tutorial.pcapng',
    ...readdirSync('pcaps/made').map((name) => `pcaps/made/${name}`),
  ];
}

async function packetsOf(path: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const batch of openCaptures([path])) {
    for (const { data, iface } of batch) {
      const packet = data.subarray(iface.linkType === LinkType.ethernet ? HEADER : 0);
      if (packet.length > MOST_PACKET || size + packet.length + 2 > MOST_BYTES) continue;
      parts.push(Uint8Array.of(packet.length, 0x80), packet);
      size += packet.length + 2;
    }
  }
  return Buffer.concat(parts);
}

function shopImage(): Uint8Array {
  const { cluster, policies } = loadInputs(['pcaps/shop']);
  const world = new World({ cluster, policies, stack: parseStack('azure-bridge+npm') });
  const tables = new ClassTables();
  for (const { host } of [world.network.fabric, ...world.network.nodes]) {
    const image = world.topology.hosts(host);
    if (image !== undefined) tables.takeIn(image);
  }
  return new Uint8Array(freeze(tables)).slice();
}

/** Changes of an image, eight bytes each: none, and one in each part. */
function changes(): readonly Buffer[] {
  const change = (number: number, value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(number, 0);
    bytes.writeUInt32LE(value, 4);
    return bytes;
  };
  const values = [0, 1, 32, 0x80000000, 0x80000001, 0xffffffff];
  const places = [0, 1, 2, 3].flatMap((part) => [0, 4, 5, 99, 4097].map((n) => n * 4 + part));
  return [Buffer.alloc(0), ...places.flatMap((at) => values.map((value) => change(at, value)))];
}

async function main(folder: string): Promise<void> {
  for (const name of ['packets', 'captures', 'images']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const write = (to: string, bytes: Uint8Array) => writeFileSync(join(folder, to), bytes);
  for (const [i, path] of captures().entries()) {
    const file = readFileSync(path);
    const isPcapng = path.endsWith('ng');
    const head = isPcapng ? 0 : 24;
    const choices = Choice.little | (isPcapng ? Choice.pcapng : 0);
    const bytes = file.subarray(head, head + MOST_CAPTURE);
    for (const more of [0, 0x40, 0x80]) {
      write(`captures/${i}-${more}`, Buffer.concat([Uint8Array.of(choices | more), bytes]));
    }
    write(`packets/${i}`, await packetsOf(path));
  }
  for (const [i, bytes] of changes().entries()) write(`images/${i}`, bytes);
  write('shop.image', shopImage());
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new RangeError('a folder for the seeds');
await main(folder);
