import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readAll, temporaryFolder } from '../support/captures.ts';
import { block, enhanced, half, interfaceBlock, long, option, section, word } from './bytes.ts';

const folder = temporaryFolder();
t.teardown(folder.done);
let made = 0;

async function read(...blocks: readonly Buffer[]) {
  const path = join(folder.path, `${++made}.pcapng`);
  writeFileSync(path, Buffer.concat(blocks));
  return readAll([path]);
}

const DATA = Buffer.from('abcde');

t.test('each interface counts time in its own units and from its own offset', async (t) => {
  const rows: [string, number | null, bigint, bigint, bigint][] = [
    ['microseconds by default', null, 0n, 1_700_000_000_123_456n, 1_700_000_000_123_456_000n],
    ['nanoseconds', 9, 0n, 1_700_000_000_123_456_789n, 1_700_000_000_123_456_789n],
    ['seconds', 0, 0n, 1_700_000_000n, 1_700_000_000_000_000_000n],
    ['picoseconds, rounded down', 12, 0n, 5_999n, 5n],
    ['1/1024 seconds', 0x8a, 0n, 512n, 500_000_000n],
    ['an offset of minus one second', 9, -1n, 3_000_000_000n, 2_000_000_000n],
    ['milliseconds with an offset', 3, 1000n, 5n, 1_000_005_000_000n],
  ];
  for (const order of ['little', 'big'] as const) {
    for (const [name, resolution, offset, units, timeNs] of rows) {
      const options = [
        ...(resolution === null ? [] : [option(order, 9, Buffer.of(resolution))]),
        option(order, 14, long(order, offset)),
      ];
      const { records } = await read(
        section(order),
        interfaceBlock(order, 1, ...options),
        enhanced(order, 0, units, DATA),
      );
      t.equal(records[0]!.timeNs, timeNs, `${name}, ${order}`);
    }
  }
});

t.test('a new section forgets interfaces and may change the byte order', async (t) => {
  const { records, summaries } = await read(
    section('little'),
    interfaceBlock('little', 1, option('little', 2, Buffer.from('eth0\0'))),
    interfaceBlock('little', 101),
    enhanced('little', 1, 1n, DATA),
    section('big'),
    interfaceBlock('big', 113, option('big', 3, Buffer.from('pod web'))),
    enhanced('big', 0, 2n, DATA),
    enhanced('big', 1, 3n, DATA),
  );
  t.same(
    records.map(({ frame, iface }) => [frame, iface.id, iface.linkType]),
    [
      [1, 1, 101],
      [2, 2, 113],
    ],
  );
  t.equal(records[1]!.iface.description, 'pod web');
  t.match(summaries[0]!.truncated?.message, /interface 1, which was not described/);
});

t.test('simple and obsolete packets are read, everything else passed over', async (t) => {
  const order = 'little';
  const obsolete = block(
    order,
    2,
    ...[half(order, 0), half(order, 0), word(order, 0), word(order, 7)],
    ...[word(order, 5), word(order, 60), DATA],
  );
  const { records, summaries } = await read(
    section(order),
    interfaceBlock(order, 1),
    block(order, 0x0a, Buffer.alloc(40)),
    block(order, 0xbad, Buffer.alloc(4000)),
    block(order, 0x40000bad, Buffer.alloc(8)),
    block(order, 5, Buffer.alloc(12)),
    block(order, 9, Buffer.alloc(300_000)),
    block(order, 3, word(order, 5), DATA),
    obsolete,
  );
  t.equal(summaries[0]!.truncated, null);
  t.same(
    records.map((record) => [record.timeNs, record.wireLength, record.data.length]),
    [
      [0n, 5, 5],
      [7000n, 60, 5],
    ],
  );
});

t.test('comments, annotations and names come with the packets', async (t) => {
  const order = 'big';
  const verdict = Buffer.concat([Buffer.of(1), long(order, 2n)]);
  const { records, names } = await read(
    section(order),
    interfaceBlock(order, 1),
    block(
      order,
      4,
      option(order, 1, Buffer.from('\x0a\x00\x00\x01web.shop.pod\0www\0', 'latin1')),
      option(order, 2, Buffer.concat([Buffer.alloc(15), Buffer.of(1), Buffer.from('localhost\0')])),
      word(order, 0),
    ),
    enhanced(
      ...([order, 0, 1n, DATA] as const),
      option(order, 1, Buffer.from('first')),
      option(order, 1, Buffer.from('zweiter ✓')),
      option(order, 2, word(order, 2)),
      option(order, 4, long(order, 3n)),
      option(order, 5, long(order, 77n)),
      option(order, 7, verdict),
      word(order, 0),
    ),
  );
  t.same(records[0]!.comments, ['first', 'zweiter ✓']);
  t.same(records[0]!.annotations, {
    direction: 'outbound',
    dropCount: 3n,
    packetId: 77n,
    verdicts: [{ type: 'ebpfTc', value: 2n }],
  });
  t.same(names, [
    { address: '10.0.0.1', name: 'web.shop.pod' },
    { address: '10.0.0.1', name: 'www' },
    { address: '::1', name: 'localhost' },
  ]);
});

t.test('a block that can not be true ends the reading at its offset', async (t) => {
  const order = 'little';
  const good = [section(order), interfaceBlock(order, 1), enhanced(order, 0, 1n, DATA)];
  const offset = Buffer.concat(good).length;
  const lying = enhanced(order, 0, 1n, DATA);
  lying.writeUInt32LE(1000, 20);
  const badTrailer = enhanced(order, 0, 1n, DATA);
  badTrailer.writeUInt32LE(4, badTrailer.length - 4);
  const rows: [string, Buffer, RegExp][] = [
    ['odd length', Buffer.concat([word(order, 6), word(order, 33), Buffer.alloc(40)]), /multiple/],
    ['too short', Buffer.concat([word(order, 6), word(order, 12), word(order, 12)]), /at least 32/],
    [
      'too long',
      Buffer.concat([word(order, 6), word(order, 0xfffffff0), Buffer.alloc(40)]),
      /up to/,
    ],
    ['data past the block', lying, /1000 bytes in a block with room for/],
    ['trailer differs', badTrailer, /does not end with its length/],
    ['half a block', enhanced(order, 0, 1n, DATA).subarray(0, 30), /ends after 30 more bytes/],
    ['half a skipped block', block(order, 9, Buffer.alloc(100)).subarray(0, 50), /type 0x9/],
    ['no byte order mark', block(order, 0x0a0d0d0a, Buffer.alloc(16)), /byte order mark/],
  ];
  for (const [name, bytes, message] of rows) {
    const { records, summaries } = await read(...good, bytes);
    t.equal(records.length, 1, name);
    t.match(summaries[0]!.truncated, { offset, message }, name);
  }
});

t.test('an option that runs past its block does not cost the packet', async (t) => {
  const order = 'little';
  const broken = Buffer.concat([half(order, 1), half(order, 5000), Buffer.from('abcd')]);
  const { records, summaries } = await read(
    section(order),
    interfaceBlock(order, 1),
    enhanced(order, 0, 1n, DATA, broken),
  );
  t.equal(records.length, 1);
  t.equal(records[0]!.comments, undefined);
  t.equal(summaries[0]!.truncated, null);
});
