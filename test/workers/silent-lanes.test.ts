/**
 * Shares in bulk: connections of other shares are followed by native code, own ones go in lanes;
 * what the shares say together is what the reference engine says by hand, and alone.
 * @module
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openCaptures } from '../../src/capture/reader.ts';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { chooseEngine } from '../../src/engine/make-engine.ts';
import { type CaptureIndex, makeEntries } from '../../src/lab/lane/capture-index.ts';
import { findWalker } from '../../src/lab/lane/columns.ts';
import { BulkSurvey } from '../../src/lab/lane/look.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { readAll } from '../support/captures.ts';
import { CROWD_CLUSTER, crowd } from '../support/crowd.ts';
import { runInShares } from '../support/shares.ts';

// Thirty-two runs of a thousand packets, half of them by the reference engine.
t.setTimeout(600_000);
const skip = findNative().addon === null ? 'needs the addon' : false;
const folder = mkdtempSync(join(tmpdir(), 'wiretrial-silent-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const inputs = parseInputs('crowd.yaml', CROWD_CLUSTER);

async function written(name: string, records: readonly PacketRecord[]): Promise<string> {
  const path = join(folder, name);
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  for (const { timeNs, data, wireLength } of records) {
    await writer.write({ timeNs, data, wireLength });
  }
  await writer.close();
  return path;
}

/** Every so-many-th packet once more behind a router: its TTL is one lower. */
function withCopies(records: readonly PacketRecord[], every: number): PacketRecord[] {
  return records.flatMap((record, i) => {
    if (i % every !== 0) return [record];
    const data = record.data.slice();
    const ttl = data[22] ?? 0;
    data[22] = ttl - 1;
    // RFC 1624: one less in the high byte of a word adds 0x0100 to its complement's sum.
    const sum = (((data[24] ?? 0) << 8) | (data[25] ?? 0)) + 0x0100;
    const folded = (sum & 0xffff) + (sum >>> 16);
    data[24] = folded >>> 8;
    data[25] = folded & 0xff;
    return [record, { ...record, timeNs: record.timeNs + 300n, data }];
  });
}

/** Long silences, so that conversations end and begin anew, and steps back of the clock. */
function withSilences(records: readonly PacketRecord[]): PacketRecord[] {
  let extraNs = 0n;
  return records.map((record, i) => {
    if (i % 97 === 96) extraNs += 130_000_000_000n;
    const back = i % 41 === 40 ? 2_000_000n : 0n;
    return { ...record, timeNs: record.timeNs + extraNs - back };
  });
}

const drawn = crowd({ packets: 1000, seed: 31 });
const CASES: Readonly<Record<string, readonly PacketRecord[]>> = {
  plain: drawn,
  pieces: crowd({ packets: 700, seed: 32, pieces: true }),
  copies: withCopies(drawn, 3),
  silences: withSilences(withCopies(drawn, 5)),
};
const STACKS = ['azure-transparent+calico', 'azure-bridge+npm'];

for (const [name, packets] of Object.entries(CASES)) {
  t.test(`${name}: shares in bulk say what one says by hand`, { skip }, async (t) => {
    const path = await written(`${name}.pcap`, packets);
    const { records } = await readAll([path]);
    for (const stack of STACKS) {
      const want = await runInShares(inputs, stack, records, 1);
      for (const engine of ['compiled', 'reference'] as const) {
        const { make: makeEngine } = chooseEngine(engine);
        for (const shares of engine === 'compiled' ? [1, 3] : [3]) {
          const got = await runInShares(inputs, stack, records, shares, { makeEngine, path });
          const what = `${stack}, ${engine}, ${shares}`;
          t.strictSame(got.frames, want.frames, `${what}: frames`);
          t.strictSame(got.connections, want.connections, `${what}: connections`);
          t.strictSame(got.summary, want.summary, `${what}: counts`);
          t.equal(got.orderedPackets, want.orderedPackets, `${what}: judged in order`);
          if (shares > 1) t.ok(got.followed > 100, `${what}: ${got.followed} were followed`);
          else t.equal(got.followed, 0, `${what}: none is followed`);
          if (engine === 'compiled') t.ok(got.inLanes > 50, `${what}: ${got.inLanes} in lanes`);
          else t.equal(got.inLanes, 0, what);
        }
      }
    }
  });
}

/** The index that a first pass leaves. */
async function indexOf(path: string): Promise<CaptureIndex> {
  const walker = findWalker();
  if (walker === null) throw new Error('needs the addon');
  const bulk = new BulkSurvey(walker, { entries: makeEntries(statSync(path).size) });
  for await (const part of openCaptures([path]).parts(walker)) bulk.take(part, true);
  const index = bulk.index();
  if (index === null) throw new Error('there is an index');
  return index;
}

t.test('by the index others are followed unread, and to the same end', { skip }, async (t) => {
  const { make: makeEngine } = chooseEngine('compiled');
  const [stack = ''] = STACKS;
  for (const [name, packets] of Object.entries(CASES)) {
    const path = await written(`indexed-${name}.pcap`, packets);
    const { records } = await readAll([path]);
    const index = await indexOf(path);
    const want = await runInShares(inputs, stack, records, 3, { makeEngine, path });
    const got = await runInShares(inputs, stack, records, 3, { makeEngine, path, index });
    // What begins anew, or may be the first to acknowledge, is read by hand.
    t.strictSame({ ...got, followed: 0 }, { ...want, followed: 0 }, name);
    t.ok(got.followed > 0.9 * want.followed, `${name}: ${got.followed} were followed`);
    // It is believed: of one that calls all packets usual ones of one conversation others are not
    // opened. Own packets are for the reference engine here, which asks no index.
    const entries = index.entries.map((entry) => (entry === 0 ? 0 : 5));
    const lie = { ...index, entries };
    const wrong = await runInShares(inputs, stack, records, 3, { path, index: lie });
    t.notSame(wrong.connections, want.connections, `${name}: it is used`);
  }
});
