/**
 * Hostile captures: whatever the bytes, reading ends with packets, a place, or one user error.
 *
 * Mutations of files that we write ourselves run always; of the corpus's small files when it is
 * there. The law also holds what came before: mutated bytes never change earlier packets.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { toIp } from '../../src/capture/link/linktype.ts';
import { openCaptures } from '../../src/capture/reader.ts';
import type { InputSummary } from '../../src/capture/record.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { corpusFiles } from '../support/captures.ts';
import { block, enhanced, interfaceBlock, option, pcapFile, section } from './bytes.ts';

const SMALL_BYTES = 12_000;

interface Outcome {
  readonly packets: readonly string[];
  readonly summary: InputSummary | null;
}

/** Read bytes as standard input; null summary when they were refused. */
async function read(bytes: Uint8Array): Promise<Outcome> {
  const stream = openCaptures(['-'], { stdin: Readable.from([Buffer.from(bytes)]) });
  const packets: string[] = [];
  try {
    for await (const batch of stream) {
      for (const record of batch) {
        toIp(record);
        packets.push(Buffer.from(record.data).toString('hex'));
      }
    }
  } catch (error) {
    if (error instanceof UserError && error.fault === 'input') return { packets, summary: null };
    throw error;
  }
  return { packets, summary: stream.summaries[0] ?? null };
}

/** Positions as fractions of the file, so that one mutation fits files of any length. */
const mutation = fc.record({
  edits: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat({ max: 255 })), {
    maxLength: 6,
  }),
  keep: fc.oneof(
    { weight: 3, arbitrary: fc.constant(1) },
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
});

function mutate(bytes: Uint8Array, change: { edits: [number, number][]; keep: number }) {
  const out = bytes.slice(0, Math.ceil(bytes.length * change.keep));
  let first = out.length;
  for (const [where, value] of change.edits) {
    const at = Math.floor(where * (out.length - 1));
    if (at < 0) continue;
    out[at] = value;
    first = Math.min(first, at);
  }
  return { out, first };
}

const DATA = Buffer.from('02000000000202000000000108004500001c', 'hex');
const MADE: [string, Buffer][] = [
  ...(['little', 'big'] as const).map((order): [string, Buffer] => [
    `${order} pcap`,
    pcapFile(
      Array.from({ length: 8 }, (_, i) => ({ seconds: i, fraction: i, data: DATA })),
      { order },
    ),
  ]),
  ...(['little', 'big'] as const).map((order): [string, Buffer] => [
    `${order} pcapng`,
    Buffer.concat([
      section(order),
      interfaceBlock(order, 1, option(order, 2, Buffer.from('eth0'))),
      enhanced(order, 0, 1n, DATA, option(order, 1, Buffer.from('a comment'))),
      block(order, 9, Buffer.alloc(64)),
      enhanced(order, 0, 2n, DATA),
      interfaceBlock(order, 239),
      enhanced(order, 1, 3n, DATA),
    ]),
  ]),
];

async function survives(name: string, bytes: Uint8Array, runs: number): Promise<void> {
  const law = fc.asyncProperty(mutation, async (change) => {
    const { out, first } = mutate(bytes, change as { edits: [number, number][]; keep: number });
    const before = await read(out.subarray(0, first));
    const after = await read(out);
    const kept = after.packets.slice(0, before.packets.length);
    if (after.summary !== null && kept.join() !== before.packets.join()) {
      throw new Error(`${name}: packets before the damage changed`);
    }
    const cut = after.summary?.truncated;
    if (cut !== null && cut !== undefined && (cut.offset < 0 || cut.offset > out.length)) {
      throw new Error(`${name}: cut at ${cut.offset} of ${out.length}`);
    }
  });
  await fc.assert(law, { seed: 31, numRuns: runs });
}

t.test('damaged captures end with a place or one user error', async (t) => {
  for (const [name, bytes] of MADE) {
    await survives(name, bytes, 400);
    t.pass(name);
  }
});

t.test('any bytes behind a capture’s magic end the same way', async (t) => {
  const magics = ['d4c3b2a1', 'a1b2c3d4', '4d3cb2a1', '0a0d0d0a', '1f8b08'];
  const start = fc.constantFrom(...magics.map((hex) => Buffer.from(hex, 'hex')));
  const law = fc.asyncProperty(start, fc.uint8Array({ maxLength: 300 }), async (magic, rest) => {
    await read(Buffer.concat([magic, rest]));
  });
  await fc.assert(law, { seed: 32, numRuns: 1500 });
  t.pass('1500 files');
});

const files = corpusFiles()?.filter((path) => statSync(path).size < SMALL_BYTES) ?? [];
const skip = files.length === 0 ? 'needs ../shared' : false;
t.test('damaged real captures end with a place or one user error', { skip }, async (t) => {
  for (const path of files) {
    await survives(basename(path), readFileSync(path), 40);
    t.pass(basename(path));
  }
});
