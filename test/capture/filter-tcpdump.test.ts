/**
 * The same packets as tcpdump selects: every expression on every capture of the corpus.
 *
 * The captures are joined into one file per link type, each packet's second being its number, so
 * that one run of tcpdump per expression and link type tells which packets it took. Only the first
 * packets of the two longest captures are used. The room's slow test: about 1200 runs of tcpdump.
 */
import { execFile, execFileSync } from 'node:child_process';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { matches, parseFilter } from '../../src/capture/filter/filter.ts';
import type { PacketRecord } from '../../src/capture/record.ts';
import { openSink } from '../../src/capture/write/byte-sink.ts';
import { PcapWriter } from '../../src/capture/write/pcap-writer.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { corpusFiles, readAll, temporaryFolder } from '../support/captures.ts';
import { EXPRESSIONS } from './filter-expressions.ts';

const run = promisify(execFile);
const PARALLEL = 2;
const PACKETS_PER_CAPTURE = 8000;
const OUTPUT_BYTES_MAX = 2 ** 28;
const NS_PER_SECOND = 1_000_000_000n;
/** Word by word what libpcap says when an expression can match nothing: it selects none. */
const MATCHES_NOTHING = /expression rejects all packets/;

/** Packets of one link type, from all captures; the index is the packet's second. */
interface Joined {
  readonly linkType: number;
  readonly path: string;
  readonly records: PacketRecord[];
  /** Which capture each packet is from. */
  readonly origins: string[];
}

function missingTcpdump(): string | false {
  try {
    execFileSync('tcpdump', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs tcpdump';
  }
}

async function joinCaptures(files: readonly string[], folder: string): Promise<Joined[]> {
  const byType = new Map<number, Joined>();
  for (const file of files) {
    const { records } = await readAll([file], { count: PACKETS_PER_CAPTURE });
    for (const record of records) {
      const { linkType } = record.iface;
      const path = join(folder, `${linkType}.pcap`);
      const joined = byType.get(linkType) ?? { linkType, path, records: [], origins: [] };
      byType.set(linkType, joined);
      joined.records.push({ ...record, timeNs: BigInt(joined.records.length) * NS_PER_SECOND });
      joined.origins.push(basename(file));
    }
  }
  for (const { linkType, path, records } of byType.values()) {
    const writer = await PcapWriter.create(openSink(path), { linkType });
    for (const record of records) await writer.write(record);
    await writer.close();
  }
  return [...byType.values()];
}

/** Indexes of the packets that we select, or null when the link type refuses the expression. */
function ourChoice(records: readonly PacketRecord[], text: string): number[] | null {
  const filter = parseFilter(text);
  try {
    return records.flatMap((record, i) => (matches(filter, record) ? [i] : []));
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** Indexes of the packets that tcpdump selects, or null when it refuses the expression. */
async function theirChoice(path: string, text: string): Promise<number[] | null> {
  const options = { encoding: 'buffer', maxBuffer: OUTPUT_BYTES_MAX } as const;
  try {
    const { stdout } = await run('tcpdump', ['-r', path, '-w', '-', '--', text], options);
    return seconds(stdout);
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    if (stderr === undefined) throw error;
    return MATCHES_NOTHING.test(stderr.toString()) ? [] : null;
  }
}

/** The seconds of a little-endian pcap file's records. */
function seconds(file: Buffer): number[] {
  const out: number[] = [];
  for (let at = 24; at + 16 <= file.length; at += 16 + file.readUInt32LE(at + 8)) {
    out.push(file.readUInt32LE(at));
  }
  return out;
}

function difference(joined: Joined, ours: number[] | null, theirs: number[] | null): string | null {
  if (ours === null || theirs === null) {
    return ours === theirs ? null : `ours ${ours?.length}, tcpdump ${theirs?.length}`;
  }
  const taken = new Set(ours);
  const more = theirs.find((index) => !taken.has(index));
  const theirSet = new Set(theirs);
  const extra = ours.find((index) => !theirSet.has(index));
  const place = more ?? extra;
  if (place === undefined) return null;
  return `ours ${ours.length}, tcpdump ${theirs.length}, first in ${joined.origins[place]}`;
}

async function differences(joined: Joined): Promise<string[]> {
  const out: string[] = [];
  const work = [...EXPRESSIONS];
  const lane = async () => {
    for (let text = work.pop(); text !== undefined; text = work.pop()) {
      const theirs = await theirChoice(joined.path, text);
      const found = difference(joined, ourChoice(joined.records, text), theirs);
      if (found !== null) out.push(`${text}: ${found}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  return out;
}

const files = corpusFiles();
const folder = temporaryFolder();
t.teardown(folder.done);
t.setTimeout(240_000);
const skip = files === null ? 'needs ../shared' : missingTcpdump();
t.ok(EXPRESSIONS.length >= 120, `${EXPRESSIONS.length} expressions`);
t.test('filters select what tcpdump selects', { skip, timeout: 240_000 }, async (t) => {
  const all = await joinCaptures(files ?? [], folder.path);
  t.ok(all.length >= 6, `${all.length} link types`);
  for (const joined of all) {
    const name = `link type ${joined.linkType}, ${joined.records.length} packets`;
    t.same(await differences(joined), [], name);
  }
});
