/**
 * The index that a first pass leaves of a capture: whose each packet is and which way it goes, and
 * that those which are said to be as usual are like each other, however many threads looked.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { toIp } from '../../src/capture/link/linktype.ts';
import { openCaptures } from '../../src/capture/reader.ts';
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { ENTRY_BYTES } from '../../src/engine/compiled/lane-door.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { type Datagram, readDatagram } from '../../src/lab/datagram/datagram.ts';
import { type CaptureIndex, joinIndex, makeEntries } from '../../src/lab/lane/capture-index.ts';
import { findWalker } from '../../src/lab/lane/columns.ts';
import { BulkSurvey } from '../../src/lab/lane/look.ts';
import { addressKey, readIpv4, readIpv6 } from '../../src/wire/address/address.ts';
import { readAll } from '../support/captures.ts';
import { crowd } from '../support/crowd.ts';
import { udp } from '../support/packets.ts';

t.setTimeout(300_000);
const skip = findNative().addon === null ? 'needs the addon' : false;
const folder = mkdtempSync(join(tmpdir(), 'wiretrial-index-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const SIZES = { records: 100, ahead: 30 };
const PACKETS = 1500;

/** A crowd, and one talk of which each packet is captured at two places, by TTL. */
function talk(): PacketRecord[] {
  const records = crowd({ packets: PACKETS, seed: 17, pieces: true });
  const [first] = records;
  if (first === undefined) throw new Error('a crowd has packets');
  return records.flatMap((record, i) => {
    const at = (ttl: number) => {
      const base = udp().id(i).ttl(ttl).from('10.240.0.77', 5000).to('10.240.0.78', 53);
      return { ...first, timeNs: record.timeNs, data: base.payload(`question ${i}`).frame() };
    };
    return i % 10 === 0 ? [record, at(64), at(63)] : [record];
  });
}

async function written(): Promise<string> {
  const path = join(folder, 'some.pcap');
  const writer = await PcapWriter.create(openSink(path), { linkType: LinkType.ethernet });
  for (const { timeNs, data, wireLength } of talk())
    await writer.write({ timeNs, data, wireLength });
  await writer.close();
  return path;
}

const path = await written();
const { records } = await readAll([path]);

async function lookedAt(entries: Uint32Array, mine: (chunk: number) => boolean) {
  const walker = findWalker(64);
  if (walker === null) throw new Error('needs the addon');
  let next = 0;
  const claim = () => {
    while (!mine(next)) next++;
    return next++;
  };
  const bulk = new BulkSurvey(walker, { claim, sizes: SIZES, entries });
  for await (const part of openCaptures([path]).parts(walker)) bulk.take(part, true);
  return { bulk, native: walker.native };
}

async function indexBy(threads: number): Promise<CaptureIndex> {
  const entries = makeEntries(1_000_000) ?? new Uint32Array();
  const looks = [];
  for (let self = 0; self < threads; self++) {
    looks.push(await lookedAt(entries, (chunk) => chunk % threads === self));
  }
  const [own, ...others] = looks;
  const index = own?.bulk.index(others.map(({ bulk }) => bulk.part()));
  if (!index) throw new Error('there is an index');
  return index;
}

/** Both ends of a row, the sender of the direction first. */
function endsOf({ rows }: CaptureIndex, entry: number): string {
  const at = ((entry >>> 2) - 1) * ENTRY_BYTES.row;
  const view = new DataView(rows.buffer, at, ENTRY_BYTES.row);
  const read = view.getUint8(37) === 4 ? readIpv4 : readIpv6;
  const low = `${addressKey(read(rows, at))} ${view.getUint16(32, true)}`;
  const high = `${addressKey(read(rows, at + 16))} ${view.getUint16(34, true)}`;
  const [from, to] = entry & 2 ? [high, low] : [low, high];
  return `${view.getUint8(36)} ${from} ${to}`;
}

function flagsOf({ rows }: CaptureIndex, entry: number): number {
  return new DataView(rows.buffer, ((entry >>> 2) - 1) * ENTRY_BYTES.row).getUint32(44, true);
}

function datagramOf(record: PacketRecord): Datagram | null {
  const view = toIp(record);
  if (typeof view === 'string') return null;
  const d = readDatagram(record.frame, view.bytes, view.offset, view.wireEnd);
  return typeof d === 'string' ? null : d;
}

/** What usual packets have in common. */
function commonOf(record: PacketRecord, d: Datagram): string {
  const link = record.data.subarray(0, 14).join(':');
  const flags = d.tcp && [d.tcp.syn, d.tcp.fin, d.tcp.rst];
  return `${record.iface.id} ${link} ${d.ttl} ${flags} ${d.checksum}`;
}

t.test('each entry names the ends of its packet, whoever looked', { skip }, async (t) => {
  for (const threads of [1, 2, 3]) {
    const index = await indexBy(threads);
    const common = new Map<number, string>();
    let known = 0;
    let usual = 0;
    for (const [place, record] of records.entries()) {
      const entry = index.entries[place] ?? 0;
      if (entry === 0) continue;
      known++;
      const d = datagramOf(record);
      if (d === null || d.fragment !== null) {
        t.fail(`packet ${record.frame} is no ordinary one`);
        continue;
      }
      const want = `${d.protocol} ${addressKey(d.src)} ${d.sport} ${addressKey(d.dst)} ${d.dport}`;
      if (endsOf(index, entry) !== want) t.equal(endsOf(index, entry), want, `${record.frame}`);
      if ((entry & 1) === 0) continue;
      usual++;
      const says = commonOf(record, d);
      const first = common.get(entry) ?? says;
      common.set(entry, first);
      if (first !== says) t.equal(says, first, `packet ${record.frame} is not as usual`);
    }
    t.ok(known > records.length / 2, `${known} of ${records.length} are known by ${threads}`);
    t.ok(usual > known / 4 && usual < known, `${usual} are usual`);
    t.ok(new Set(common.values()).size > 1, 'of several kinds');
  }
});

t.test('who was seen at two places is said to be, whoever looked', { skip }, async (t) => {
  for (const threads of [1, 3]) {
    const index = await indexBy(threads);
    let [one, several] = [0, 0];
    for (const [place, record] of records.entries()) {
      const entry = index.entries[place] ?? 0;
      const d = datagramOf(record);
      if (entry === 0 || d === null) continue;
      const isOne = (flagsOf(index, entry) & (entry & 2 ? 8 : 4)) !== 0;
      if (d.sport === 5000 && d.dport === 53) {
        several++;
        if (isOne) t.fail(`packet ${record.frame} has a copy elsewhere`);
      } else if (isOne) {
        one++;
      }
    }
    t.ok(several > PACKETS / 6, `${several} copies`);
    t.ok(one > 0, `${one} were seen at one place`);
  }
});

t.test('too many rows are no index, and neither is a capture too large', { skip }, async (t) => {
  const { native } = await lookedAt(new Uint32Array(1), () => true);
  const part = { rows: null, chunks: [] };
  t.equal(joinIndex(new Uint32Array(1), [part], 100, native), null);
  t.equal(makeEntries(2 ** 40), null);
});
