import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { readAll, temporaryFolder } from '../support/captures.ts';
import { type MadeRecord, type Order, pcapFile } from './bytes.ts';

const folder = temporaryFolder();
t.teardown(folder.done);
let made = 0;

function file(bytes: Uint8Array, suffix = '.pcap'): string {
  const path = join(folder.path, `${++made}${suffix}`);
  writeFileSync(path, bytes);
  return path;
}

const PACKET: MadeRecord = { seconds: 1_700_000_000, fraction: 5, data: Uint8Array.of(1, 2, 3) };

t.test('a packet keeps its time in either byte order and resolution', async (t) => {
  const rows: [Order, number, bigint][] = [
    ['little', 0xa1b2c3d4, 1_700_000_000_000_005_000n],
    ['big', 0xa1b2c3d4, 1_700_000_000_000_005_000n],
    ['little', 0xa1b23c4d, 1_700_000_000_000_000_005n],
    ['big', 0xa1b23c4d, 1_700_000_000_000_000_005n],
  ];
  for (const [order, magic, timeNs] of rows) {
    const { records, summaries } = await readAll([file(pcapFile([PACKET], { order, magic }))]);
    t.equal(records.length, 1);
    t.equal(records[0]!.timeNs, timeNs, `${order} ${magic.toString(16)}`);
    t.same([...records[0]!.data], [1, 2, 3]);
    t.equal(records[0]!.frame, 1);
    t.equal(summaries[0]!.truncated, null);
    t.equal(summaries[0]!.packets, 1);
  }
});

t.test('a link type is read without its frame check sequence bits', async (t) => {
  const { records } = await readAll([file(pcapFile([PACKET], { linkType: 0x54000071 }))]);
  t.equal(records[0]!.iface.linkType, 113);
});

t.test('files older than version 2.3 hold their two lengths the other way round', async (t) => {
  const cut = { ...PACKET, wireLength: 60 };
  const bytes = pcapFile([cut], { minor: 2 });
  bytes.writeUInt32LE(60, 32);
  bytes.writeUInt32LE(3, 36);
  const { records } = await readAll([file(bytes)]);
  t.equal(records[0]!.data.length, 3);
  t.equal(records[0]!.wireLength, 60);
});

t.test(
  'versions are taken and refused as tcpdump does, but for one that Wireshark takes',
  async (t) => {
    // Each tried with tcpdump 4.99 (libpcap 1.10): what it reads, which way round the lengths are.
    const rows: [major: number, minor: number, 'swapped' | 'straight' | 'refused'][] = [
      [2, 0, 'swapped'],
      [2, 2, 'swapped'],
      [2, 3, 'straight'],
      [2, 4, 'straight'],
      [543, 0, 'swapped'],
      // Refused by libpcap, read by Wireshark: 2.4 in the other byte order, alone in its header.
      [512, 1024, 'straight'],
      [2, 5, 'refused'],
      [512, 1280, 'refused'],
      [1, 4, 'refused'],
      [3, 0, 'refused'],
      [9, 4, 'refused'],
      [543, 1, 'refused'],
    ];
    for (const [major, minor, want] of rows) {
      for (const order of ['little', 'big'] as const) {
        const bytes = pcapFile([{ ...PACKET, wireLength: 60 }], { order, major, minor });
        const lengths = bytes.subarray(32, 40);
        if (want === 'swapped')
          lengths.set(Buffer.concat([lengths.subarray(4), lengths.subarray(0, 4)]));
        const reading = readAll([file(bytes)]);
        const name = `${major}.${minor} ${order}`;
        if (want === 'refused') {
          const message = new RegExp(`found ${major}\\.${minor}; accepted: 2\\.0 to 2\\.4`);
          await t.rejects(reading, { fault: 'input', message }, name);
          continue;
        }
        const { records } = await reading;
        t.strictSame([records[0]?.data.length, records[0]?.wireLength], [3, 60], name);
      }
    }
  },
);

t.test('a modified pcap is refused by name', async (t) => {
  const rows: [number, RegExp][] = [
    [0xa1b2cd34, /Kuznetsov/],
    [0xa1b234cd, /Mesquita/],
    [0xa12b3c4d, /Navtel/],
    [0x1c0001ac, /IXIA/],
  ];
  for (const [magic, message] of rows) {
    for (const order of ['little', 'big'] as const) {
      const path = file(pcapFile([PACKET], { magic, order }));
      await t.rejects(readAll([path]), { fault: 'input', message });
    }
  }
});

t.test('what is no capture is said to be what it looks like', async (t) => {
  const rows: [Buffer, RegExp][] = [
    [Buffer.from(''), /no bytes at all/],
    [Buffer.from('ab'), /2 bytes/],
    [Buffer.from('apiVersion: v1\nkind: Pod\n'), /text: "apiVersion: v1/],
    [Buffer.from('28b52ffd00000000', 'hex'), /zstd/],
    [Buffer.from('504b030400000000', 'hex'), /zip/],
    [Buffer.from('snoop\0\0\0'), /snoop/],
    [Buffer.from('deadbeef01020304', 'hex'), /bytes de ad be ef/],
    [gzipSync(Buffer.from('hello there')), /text: "hello there"/],
  ];
  for (const [bytes, message] of rows) {
    await t.rejects(readAll([file(bytes)]), { fault: 'input', message }, String(message));
  }
  await t.rejects(readAll([join(folder.path, 'absent.pcap')]), {
    fault: 'input',
    message: /ENOENT/,
  });
});

t.test('several bad inputs are named in one error', async (t) => {
  const bad = [file(Buffer.from('garbage!')), file(Buffer.from('more of it'))];
  const error = await readAll([bad[0]!, file(pcapFile([PACKET])), bad[1]!]).then(
    () => null,
    (caught: unknown) => caught,
  );
  t.ok(error instanceof UserError);
  t.same(
    (error as UserError).diagnostics.map((d) => d.file),
    bad,
  );
});

t.test('a cut file gives its whole packets, then says where it was cut', async (t) => {
  const records = [0, 1, 2].map((i) => ({ ...PACKET, fraction: i }));
  const whole = pcapFile(records);
  const recordBytes = 19;
  for (let length = 24; length < whole.length; length++) {
    const complete = Math.floor((length - 24) / recordBytes);
    const { records, summaries } = await readAll([file(whole.subarray(0, length))]);
    t.equal(records.length, complete, `${length} bytes`);
    const boundary = (length - 24) % recordBytes === 0;
    const offset = 24 + complete * recordBytes;
    t.equal(summaries[0]!.truncated?.offset ?? null, boundary ? null : offset);
  }
  const header = await readAll([file(whole.subarray(0, 10))]);
  t.match(header.summaries[0]!.truncated, { offset: 0, message: /file header \(24 bytes\)/ });
});

t.test('a record with an absurd length ends the reading there', async (t) => {
  const bytes = Buffer.concat([pcapFile([PACKET]), Buffer.alloc(8), Buffer.alloc(8, 0xff)]);
  const { records, summaries } = await readAll([file(bytes)]);
  t.equal(records.length, 1);
  t.match(summaries[0]!.truncated, { offset: 43, message: /claims 4294967295 captured bytes/ });
});

t.test('a gzip that was cut gives what was whole in it', async (t) => {
  const records = Array.from({ length: 2000 }, (_, i) => {
    const data = Uint8Array.from({ length: 100 }, (_, j) => (i * 31 + j * i * 7) & 0xff);
    return { seconds: i, fraction: 0, data };
  });
  const packed = gzipSync(pcapFile(records));
  const whole = await readAll([file(packed, '.anything')]);
  t.equal(whole.records.length, 2000);
  t.equal(whole.summaries[0]!.bytes, packed.length, 'bytes are those of the stored file');
  const cut = await readAll([file(packed.subarray(0, packed.length >> 1))]);
  const half = packed.subarray(0, packed.length >> 1);
  const inside = gunzipSync(half, { finishFlush: constants.Z_SYNC_FLUSH }).length;
  t.equal(cut.records.length, Math.floor((inside - 24) / 116), 'all that zlib can get out of it');
  t.ok(cut.records.length > 100);
  t.same(
    cut.records.map((record) => Buffer.from(record.data).toString('hex')),
    records.slice(0, cut.records.length).map((record) => Buffer.from(record.data).toString('hex')),
  );
  t.match(cut.summaries[0]!.truncated?.message, /gzip stream is damaged: unexpected end of file/);
  const trailerless = await readAll([file(packed.subarray(0, packed.length - 4))]);
  t.equal(trailerless.records.length, 2000);
  t.not(trailerless.summaries[0]!.truncated, null);
});
