/**
 * Read, or replay, a generated capture of any size through a pipe, in a process with a bounded heap,
 * and check that every packet came: memory does not grow with the capture.
 *
 *   node dist/bench/large-capture.js [--bytes 4GiB] [--packet 1500] [--heap 256] [--rss 1GiB]
 *   node dist/bench/large-capture.js --replay [--stack azure-transparent+npm] …
 *
 * Reading touches no disk; the replay keeps standard input in a file, because it passes over it twice.
 * Prints one line of JSON: packets, bytes, seconds, packets per second, peak resident memory.
 * Exits 1 when a packet is missing or the peak lies above `--rss`.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openCaptures } from '../src/capture/reader.ts';
import { checksum } from '../src/wire/checksum.ts';
import {
  FILE_HEADER_BYTES,
  pcapHeader,
  RECORD_HEADER_BYTES,
  writeRecordHeader,
} from './pcap-bytes.ts';

const CHUNK_BYTES = 1024 * 1024;
const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** What one reading found. */
export interface Measured {
  readonly packets: number;
  readonly bytes: number;
  readonly expectedPackets: number;
  readonly seconds: number;
  readonly packetsPerSecond: number;
  readonly peakRssBytes: number;
}

/** `4GiB`, `64MiB` or a plain number of bytes. */
export function parseBytes(text: string): number {
  const m = /^(\d+)(KiB|MiB|GiB)?$/.exec(text);
  if (m === null) throw new Error(`${text}: not a size (4GiB, 64MiB, 1000)`);
  return Number(m[1]) * (m[2] === undefined ? 1 : (UNITS[m[2]] ?? 1));
}

/** How many packets of `packetBytes` fit a capture of `bytes`. */
export function packetCount(bytes: number, packetBytes: number): number {
  return Math.floor((bytes - FILE_HEADER_BYTES) / (RECORD_HEADER_BYTES + packetBytes));
}

/** A pcap of about `bytes` bytes: UDP frames of `packetBytes`, one per millisecond. */
export function* generateCapture(bytes: number, packetBytes: number): Generator<Buffer> {
  yield pcapHeader();
  const record = RECORD_HEADER_BYTES + packetBytes;
  const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / record));
  const total = packetCount(bytes, packetBytes);
  for (let made = 0; made < total; made += perChunk) {
    const count = Math.min(perChunk, total - made);
    const chunk = Buffer.alloc(count * record);
    for (let i = 0; i < count; i++) writeRecord(chunk, i * record, made + i, packetBytes);
    yield chunk;
  }
}

function writeRecord(b: Buffer, at: number, index: number, packetBytes: number): void {
  writeRecordHeader(b, at, index * 1000, packetBytes);
  const frame = at + RECORD_HEADER_BYTES;
  b.writeUInt16BE(0x0800, frame + 12);
  b[frame + 14] = 0x45;
  b.writeUInt16BE(packetBytes - 14, frame + 16);
  b[frame + 22] = 64;
  b[frame + 23] = 17;
  b.writeUInt32BE(0xc0a80001, frame + 26);
  b.writeUInt32BE(0xc0a80002, frame + 30);
  b.writeUInt16BE(40_000 + (index % FLOWS), frame + 34);
  b.writeUInt16BE(53, frame + 36);
  b.writeUInt16BE(packetBytes - 34, frame + 38);
  b.writeUInt16BE(checksum(b, frame + 14, frame + 34), frame + 24);
}

/** Connections that the packets belong to in turn. */
const FLOWS = 1000;

/** Run the reading in a child whose heap is limited to `heapMiB`, fed through a pipe. */
export async function measure(
  bytes: number,
  packetBytes: number,
  heapMiB: number,
): Promise<Measured> {
  const child = spawn(
    process.execPath,
    [`--max-old-space-size=${heapMiB}`, fileURLToPath(import.meta.url), '--read'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  let answer = '';
  child.stdout.on('data', (text: Buffer) => {
    answer += text.toString();
  });
  Readable.from(generateCapture(bytes, packetBytes), { objectMode: true, highWaterMark: 2 }).pipe(
    child.stdin,
  );
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`the reading process ended with ${code}`);
  const found = JSON.parse(answer) as Omit<Measured, 'expectedPackets' | 'packetsPerSecond'>;
  return {
    ...found,
    expectedPackets: packetCount(bytes, packetBytes),
    packetsPerSecond: Math.round(found.packets / found.seconds),
  };
}

/** Replay the capture with the command line itself, and count what its result counts. */
async function measureReplay(
  bytes: number,
  packetBytes: number,
  heapMiB: number,
  stack: string,
): Promise<Measured> {
  const cli = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
  const cluster = fileURLToPath(new URL('../../pcaps/shop', import.meta.url));
  const words = ['replay', '-f', cluster, '-r', '-', '--map', 'auto', '--stack', stack];
  const started = process.hrtime.bigint();
  const child = spawn(
    process.execPath,
    [`--max-old-space-size=${heapMiB}`, cli, ...words, '-o', 'json'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  let answer = '';
  child.stdout.on('data', (text: Buffer) => {
    answer += text.toString();
  });
  const peak = watchPeak(child);
  Readable.from(generateCapture(bytes, packetBytes), { objectMode: true, highWaterMark: 2 }).pipe(
    child.stdin,
  );
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`the replaying process ended with ${code}`);
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const { counts } = JSON.parse(answer) as {
    counts: Record<'packets' | 'delivered' | 'exited', number>;
  };
  return {
    packets: counts.delivered + counts.exited,
    bytes,
    seconds,
    peakRssBytes: peak(),
    expectedPackets: packetCount(bytes, packetBytes),
    packetsPerSecond: Math.round(counts.packets / seconds),
  };
}

/** The peak resident memory of a child, as the kernel counts it; asked now and then while it runs. */
function watchPeak(child: ChildProcess): () => number {
  let peak = 0;
  const ask = () => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? peak / 1024) * 1024;
    } catch {
      // The child is gone; what it reached last is its peak.
    }
  };
  const timer = setInterval(ask, 100);
  child.on('exit', () => clearInterval(timer));
  return () => peak;
}

/** The child: read standard input to its end. */
async function readStdin(): Promise<void> {
  const started = process.hrtime.bigint();
  const stream = openCaptures(['-']);
  let packets = 0;
  let bytes = 0;
  for await (const batch of stream) {
    packets += batch.length;
    for (const record of batch) bytes += record.data.length;
  }
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const peakRssBytes = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(JSON.stringify({ packets, bytes, seconds, peakRssBytes }));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      read: { type: 'boolean' },
      replay: { type: 'boolean' },
      stack: { type: 'string', default: 'azure-transparent+npm' },
      bytes: { type: 'string', default: '4GiB' },
      packet: { type: 'string', default: '1500' },
      heap: { type: 'string', default: '256' },
      rss: { type: 'string', default: '1GiB' },
    },
  });
  if (values.read === true) return readStdin();
  const size = [parseBytes(values.bytes), Number(values.packet), Number(values.heap)] as const;
  const found = values.replay ? await measureReplay(...size, values.stack) : await measure(...size);
  process.stdout.write(`${JSON.stringify(found)}\n`);
  const whole = found.packets === found.expectedPackets;
  if (!whole || found.peakRssBytes > parseBytes(values.rss)) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
