import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { compareNames } from '../../src/capture/capture-files.ts';
import { parseFilter } from '../../src/capture/filter/filter.ts';
import type { CaptureOptions } from '../../src/capture/reader.ts';
import { parseTimeBound } from '../../src/capture/time-bound.ts';
import { corpusFiles, readAll, temporaryFolder } from '../support/captures.ts';
import { pcapFile } from './bytes.ts';

const folder = temporaryFolder();
t.teardown(folder.done);
let made = 0;

/** A capture with one-byte packets at these seconds; the byte says which file and place. */
function capture(name: string, tag: number, seconds: readonly number[]): string {
  const path = join(folder.path, `${++made}-${name}`);
  writeFileSync(path, bytes(tag, seconds));
  return path;
}

function bytes(tag: number, seconds: readonly number[]): Buffer {
  return pcapFile(
    seconds.map((s, i) => ({ seconds: s, fraction: 0, data: Uint8Array.of(tag + i) })),
  );
}

async function order(paths: readonly string[], options: CaptureOptions = {}) {
  const { records } = await readAll(paths, options);
  t.same(
    records.map((record) => record.frame),
    [...records.keys()].map((i) => (records[0]?.frame ?? 1) + i),
    'frames are numbered in order',
  );
  return records.map((record) => record.data[0]);
}

t.test('several inputs are merged by time, equal times in the order given', async (t) => {
  const a = capture('a.pcap', 10, [1, 3, 5, 5]);
  const b = capture('b.pcap', 20, [2, 3, 5, 9]);
  t.same(await order([a, b]), [10, 20, 11, 21, 12, 13, 22, 23]);
  t.same(await order([b, a]), [10, 20, 21, 11, 22, 12, 13, 23]);
});

t.test('the order within a file never changes, also when its clock went back', async (t) => {
  const a = capture('a.pcap', 10, [5, 1, 6]);
  const b = capture('b.pcap', 20, [4, 5, 7]);
  t.same(await order([a, b]), [20, 10, 11, 21, 12, 22]);
});

t.test('a clock offset moves a file before it is merged', async (t) => {
  const a = capture('a.pcap', 10, [1, 3]);
  const b = capture('b.pcap', 20, [2, 4]);
  const clockOffsetsNs = new Map([[a, 1_500_000_000n]]);
  const { records } = await readAll([a, b], { clockOffsetsNs });
  t.same(
    records.map((record) => [record.data[0], record.timeNs]),
    [
      [20, 2_000_000_000n],
      [10, 2_500_000_000n],
      [21, 4_000_000_000n],
      [11, 4_500_000_000n],
    ],
  );
});

t.test('a folder of rotated files is one capture, whatever else lies in it', async (t) => {
  const ring = join(folder.path, 'ring');
  mkdirSync(ring);
  for (let i = 0; i < 12; i++) {
    writeFileSync(join(ring, `cap.pcap${i === 0 ? '' : i}`), bytes(i * 4, [i * 10, i * 10 + 1]));
  }
  writeFileSync(join(ring, 'last.gz'), gzipSync(bytes(100, [500])));
  writeFileSync(join(ring, 'README.txt'), 'how these were recorded');
  writeFileSync(join(ring, '.hidden.pcap'), 'not looked at');
  const stream = await readAll([ring]);
  t.equal(stream.records.length, 25);
  t.same(
    stream.summaries.map((summary) => basename(summary.path)),
    ['cap.pcap', ...Array.from({ length: 11 }, (_, i) => `cap.pcap${i + 1}`), 'last.gz'],
  );
  t.same(stream.records.map((record) => record.timeNs).slice(-2), [
    111n * 10n ** 9n,
    500n * 10n ** 9n,
  ]);
  const empty = join(folder.path, 'empty');
  mkdirSync(empty);
  await t.rejects(readAll([empty]), { fault: 'input', message: /holds no capture/ });
  writeFileSync(join(empty, 'x.pcap'), 'no capture, but it says so');
  await t.rejects(readAll([empty]), { fault: 'input', message: /x\.pcap: is not a capture/ });
});

t.test('numbers in names are compared as numbers', async (t) => {
  const names = [
    'c10',
    'c9',
    'c2a',
    'c2',
    'b',
    'c02',
    'c100000000000000000001',
    'c100000000000000000000',
  ];
  t.same(names.sort(compareNames), [
    ...['b', 'c02', 'c2', 'c2a', 'c9', 'c10', 'c100000000000000000000', 'c100000000000000000001'],
  ]);
});

t.test('standard input is one of the inputs, once', async (t) => {
  const a = capture('a.pcap', 10, [1, 3]);
  const input = gzipSync(bytes(20, [2, 4]));
  const stdin = Readable.from([input.subarray(0, 7), input.subarray(7)]);
  t.same(await order(['-', a], { stdin }), [10, 20, 11, 21]);
  await t.rejects(readAll(['-', '-']), { message: /only once/ });
});

t.test('a summary tells the digest, the packets and the bytes of the file', async (t) => {
  const a = capture('a.pcap', 10, [1, 2, 3]);
  const b = capture('b.pcap', 10, []);
  const { summaries } = await readAll([a, b]);
  t.same(
    summaries,
    [a, b].map((path, i) => ({
      path,
      sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
      packets: i === 0 ? 3 : 0,
      bytes: readFileSync(path).length,
      readToEnd: true,
      truncated: null,
    })),
  );
});

t.test('selection keeps the frame numbers of the whole input', async (t) => {
  const seconds = Array.from({ length: 1000 }, (_, i) => i);
  const path = capture('a.pcap', 0, seconds);
  const frames = async (options: CaptureOptions) =>
    (await readAll([path], options)).records.map((record) => record.frame);
  const since = parseTimeBound('1970-01-01T00:16:35Z', '--since');
  const until = parseTimeBound('1970-01-01T00:16:37.0Z', '--until');
  t.same(await frames({ since }), [996, 997, 998, 999, 1000]);
  t.same(await frames({ since, until }), [996, 997, 998]);
  t.same(await frames({ since: parseTimeBound('2.5s', '--since') }), [998, 999, 1000]);
  t.same(await frames({ until: parseTimeBound('16m37s', '--until') }), [1, 2, 3]);
  t.same(await frames({ filter: parseFilter('ether[0] = 7') }), [8, 264, 520, 776]);
  t.same(await frames({ filter: parseFilter('ether[0] = 7'), count: 2 }), [8, 264]);
  t.same(await frames({ count: 0 }), []);
  const { summaries } = await readAll([path], { count: 1 });
  t.equal(summaries[0]!.readToEnd, false);
  const stdin = Readable.from([bytes(0, [1])]);
  await t.rejects(readAll(['-'], { stdin, since: parseTimeBound('5m', '--since') }), {
    fault: 'usage',
    message: /the end/,
  });
});

t.test('a time bound is a moment or a span, and nothing else', async (t) => {
  const moments: [string, bigint][] = [
    ['2024-05-01T12:00:00Z', 1_714_564_800_000_000_000n],
    ['2024-05-01T14:00:00.000000001+02:00', 1_714_564_800_000_000_001n],
    ['2024-05-01T11:30:00.5-00:30', 1_714_564_800_500_000_000n],
  ];
  for (const [text, timeNs] of moments) {
    t.same(parseTimeBound(text, '--since'), { kind: 'at', timeNs }, text);
  }
  const spans: [string, bigint][] = [
    ['90s', 90_000_000_000n],
    ['1h30m', 5_400_000_000_000n],
    ['1.5ms', 1_500_000n],
    ['7ns', 7n],
  ];
  for (const [text, spanNs] of spans) {
    t.same(parseTimeBound(text, '--since'), { kind: 'beforeEnd', spanNs }, text);
  }
  for (const text of ['', '5', 'yesterday', '2024-02-30T00:00:00Z', '2024-05-01', '5m3', '-5m']) {
    t.throws(() => parseTimeBound(text, '--since'), { fault: 'usage', message: /--since/ }, text);
  }
});

t.test('batches hold at most what was asked for, and their size changes nothing', async (t) => {
  const files = [
    capture(
      'a.pcap',
      0,
      Array.from({ length: 700 }, (_, i) => 2 * i),
    ),
    capture(
      'b.pcap',
      0,
      Array.from({ length: 700 }, (_, i) => 3 * i),
    ),
  ];
  const whole = await readAll(files);
  t.ok(whole.batches.every((size) => size <= 256));
  t.equal(whole.records.length, 1400);
  for (const batchSize of [1, 7, 256, 100_000]) {
    const again = await readAll(files, { batchSize });
    t.ok(again.batches.every((size) => size <= Math.min(batchSize, 256)));
    t.same(again.records, whole.records, `batches of ${batchSize}`);
  }
});

const files = corpusFiles();
const skip = files === null ? 'needs ../shared' : false;
t.test('every capture of the corpus is read to its end', { skip }, async (t) => {
  for (const path of files ?? []) {
    const { summaries, records } = await readAll([path]);
    t.equal(summaries[0]!.truncated, null, basename(path));
    t.ok(records.length > 0, `${records.length} packets`);
  }
});
