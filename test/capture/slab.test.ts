/**
 * Records in bulk and records one by one: the same packets, the same interfaces, the same words
 * about how a file ends, whatever was done to its bytes.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { type CaptureStream, openCaptures } from '../../src/capture/reader.ts';
import type { PacketRecord } from '../../src/capture/record.ts';
import { recordOf, type Slab } from '../../src/capture/slab.ts';
import { ByteSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { PcapngWriter } from '../../src/capture/write/pcapng-writer.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { findWalker } from '../../src/lab/lane/columns.ts';

const SEED = 20_261_121;
const native = findNative();
const skip = native.addon === null ? native.reason : false;
const folder = mkdtempSync(join(tmpdir(), 'wiretrial-slab-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** What a reading said, packet by packet, and how it ended. */
interface Said {
  readonly packets: readonly string[];
  readonly end: string;
  readonly inBulk: number;
}

function* recordsOf(part: readonly PacketRecord[] | Slab): Generator<PacketRecord> {
  if (!('window' in part)) yield* part;
  else for (let n = 0; n < part.count; n++) yield recordOf(part, n);
}

async function read(paths: readonly string[], isBulk: boolean): Promise<Said> {
  const stream: CaptureStream = openCaptures(paths);
  const walker = isBulk ? findWalker() : null;
  const packets: string[] = [];
  let inBulk = 0;
  try {
    for await (const part of walker === null ? stream : stream.parts(walker)) {
      if ('window' in part) inBulk += part.count;
      for (const { iface, data, comments, annotations, ...rest } of recordsOf(part)) {
        const hex = Buffer.from(data).toString('hex');
        const options = JSON.stringify([comments, annotations], (_, v) =>
          typeof v === 'bigint' ? String(v) : v,
        );
        const { frame, timeNs, wireLength } = rest;
        packets.push(`${frame} ${timeNs} ${wireLength} ${iface.id} ${hex} ${options}`);
      }
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    packets.push(error.message);
  }
  const { summaries, interfaces, names } = stream;
  return { packets, end: JSON.stringify([summaries, interfaces, names]), inBulk };
}

async function agree(paths: readonly string[]): Promise<number> {
  const [one, bulk] = [await read(paths, false), await read(paths, true)];
  t.same(bulk.packets, one.packets);
  t.equal(bulk.end, one.end);
  return bulk.inBulk;
}

class Collector extends Writable {
  readonly chunks: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }
}

interface Drawn {
  readonly data: Uint8Array;
  readonly more: number;
  readonly gapNs: number;
  readonly iface: number;
  readonly comment: boolean;
}

const drawn: fc.Arbitrary<readonly Drawn[]> = fc.array(
  fc.record({
    data: fc.uint8Array({ maxLength: 90 }),
    more: fc.nat(3),
    gapNs: fc.integer({ min: -1000, max: 2_000_000 }),
    iface: fc.nat(1),
    comment: fc.nat(9).map((n) => n === 0),
  }),
  { maxLength: 40 },
);

async function pcapng(packets: readonly Drawn[]): Promise<Buffer> {
  const out = new Collector();
  const writer = await PcapngWriter.create(new ByteSink('drawn', out));
  await writer.addInterface({ linkType: 1, name: 'a' });
  await writer.addInterface({ linkType: 101, name: 'b' });
  let timeNs = 1_700_000_000_000_000_000n;
  for (const { data, more, gapNs, iface, comment } of packets) {
    timeNs += BigInt(gapNs);
    const comments = comment ? ['said'] : [];
    await writer.write({
      interface: iface,
      timeNs,
      data,
      wireLength: data.length + more,
      comments,
    });
  }
  await writer.close();
  return Buffer.concat(out.chunks);
}

async function pcap(packets: readonly Drawn[], resolution: 'nanoseconds' | 'microseconds') {
  const out = new Collector();
  const writer = await PcapWriter.create(new ByteSink('drawn', out), { linkType: 1, resolution });
  let timeNs = 1_700_000_000_000_000_000n;
  for (const { data, more, gapNs } of packets) {
    timeNs += BigInt(gapNs);
    await writer.write({ timeNs, data, wireLength: data.length + more });
  }
  await writer.close();
  return Buffer.concat(out.chunks);
}

/** Bytes overwritten, and the rest cut off. */
const harm = fc.record({
  writes: fc.array(fc.record({ at: fc.nat(4000), value: fc.nat(255) }), { maxLength: 3 }),
  keep: fc.option(fc.nat(4000), { nil: null }),
});

function harmed(
  bytes: Buffer,
  { writes, keep }: typeof harm extends fc.Arbitrary<infer H> ? H : never,
) {
  const copy = Buffer.from(bytes);
  for (const { at, value } of writes) if (copy.length > 0) copy[at % copy.length] = value;
  return keep === null ? copy : copy.subarray(0, keep % (copy.length + 1));
}

let files = 0;
function file(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.pcap`);
  writeFileSync(path, bytes);
  return path;
}

t.test('drawn files, whole and harmed, say the same in bulk', { skip }, async (t) => {
  let inBulk = 0;
  const kinds = [
    pcapng,
    (p: readonly Drawn[]) => pcap(p, 'nanoseconds'),
    (p: readonly Drawn[]) => pcap(p, 'microseconds'),
  ];
  for (const make of kinds) {
    const law = fc.asyncProperty(drawn, fc.option(harm, { nil: null }), async (packets, how) => {
      const bytes = await make(packets);
      inBulk += await agree([file(how === null ? bytes : harmed(bytes, how))]);
    });
    await fc.assert(law, { seed: SEED, numRuns: 150 });
  }
  t.ok(inBulk > 500, `${inBulk} packets came in bulk`);
});

t.test('several files merged by time say the same in bulk', { skip }, async (t) => {
  let inBulk = 0;
  const law = fc.asyncProperty(fc.array(drawn, { minLength: 2, maxLength: 3 }), async (all) => {
    const paths: string[] = [];
    for (const packets of all) paths.push(file(await pcapng(packets)));
    inBulk += await agree(paths);
  });
  await fc.assert(law, { seed: SEED, numRuns: 60 });
  t.ok(inBulk > 50, `${inBulk} packets came in bulk`);
});
