/**
 * Records in bulk and records one by one: the same packets, the same interfaces, the same words
 * about how a file ends, whatever was done to its bytes.
 * @module
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { parseFilter } from '../../src/capture/filter/filter.ts';
import { type CaptureOptions, type CaptureStream, openCaptures } from '../../src/capture/reader.ts';
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

async function read(
  paths: readonly string[],
  isBulk: boolean,
  options: CaptureOptions = {},
): Promise<Said> {
  const stream: CaptureStream = openCaptures(paths, options);
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
    // A filter that a link type can not answer: nothing is said of the files then.
    if (options.filter !== undefined) return { packets, end: '', inBulk };
  }
  const { summaries, interfaces, names } = stream;
  // Interfaces and names that were read ahead behind the last packet of a count differ.
  const read = options.count === undefined ? [interfaces, names] : [];
  return { packets, end: JSON.stringify([summaries, ...read]), inBulk };
}

async function agree(paths: readonly string[], options: CaptureOptions = {}): Promise<number> {
  const [one, bulk] = [await read(paths, false, options), await read(paths, true, options)];
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

const packet: fc.Arbitrary<Drawn> = fc.record({
  data: fc.uint8Array({ maxLength: 90 }),
  more: fc.nat(3),
  gapNs: fc.integer({ min: -1000, max: 2_000_000 }),
  iface: fc.nat(1),
  comment: fc.nat(9).map((n) => n === 0),
});
const drawn: fc.Arbitrary<readonly Drawn[]> = fc.array(packet, { maxLength: 40 });

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

/** A part of the packets: any of a filter, bounds and a count. */
const parts = fc.record(
  {
    filter: fc.constantFrom('len >= 5', 'ether[0] < 127 or len > 14', 'not ip and len < 90'),
    since: fc.nat(60_000_000).map((ns) => 1_700_000_000_000_000_000n + BigInt(ns)),
    until: fc.nat(60_000_000).map((ns) => 1_700_000_000_000_000_000n + BigInt(ns)),
    last: fc.nat(60_000_000),
    count: fc.nat(60),
  },
  { requiredKeys: [] },
);

t.test(
  'what is selected is the same in bulk, and so is what is said of the files',
  { skip },
  async (t) => {
    let inBulk = 0;
    const long = fc.array(packet, { minLength: 20, maxLength: 60 });
    const some = fc.array(long, { minLength: 1, maxLength: 2 });
    const law = fc.asyncProperty(
      some,
      parts,
      fc.option(harm, { nil: null }),
      async (all, p, how) => {
        const paths: string[] = [];
        for (const packets of all) {
          const bytes = await pcapng(packets);
          paths.push(file(how === null ? bytes : harmed(bytes, how)));
        }
        const { filter, since, until, last, count } = p;
        inBulk += await agree(paths, {
          ...(filter === undefined ? {} : { filter: parseFilter(filter) }),
          ...(since === undefined ? {} : { since: { kind: 'at', timeNs: since } }),
          ...(last === undefined ? {} : { since: { kind: 'beforeEnd', spanNs: BigInt(last) } }),
          ...(until === undefined ? {} : { until: { kind: 'at', timeNs: until } }),
          ...(count === undefined ? {} : { count }),
        });
      },
    );
    await fc.assert(law, { seed: SEED, numRuns: 300 });
    t.ok(inBulk > 300, `${inBulk} packets came in bulk`);
  },
);

t.test('a count of a long file names the digest of all of it', { skip }, async (t) => {
  const packets = Array.from({ length: 20_000 }, (_, n) => ({
    ...{ data: new Uint8Array(60).fill(n), more: 0, gapNs: 1000, iface: 0, comment: false },
  }));
  const bytes = await pcap(packets, 'nanoseconds');
  const path = file(bytes);
  t.ok((await agree([path], { count: 9_000 })) > 8_000);
  const stream = openCaptures([path], { count: 10 });
  for await (const batch of stream) t.equal(batch.length, 10);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  t.match(stream.summaries, [{ sha256, packets: 10, readToEnd: false, truncated: null }]);
});
