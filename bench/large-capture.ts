/**
 * Read a generated capture of any size through a pipe, in a process with a bounded heap, and check
 * that every packet came: nothing touches the disk, and memory does not grow with the capture.
 *
 *   node dist/bench/large-capture.js [--bytes 4GiB] [--packet 1500] [--heap 256] [--rss 1GiB]
 *
 * Prints one line of JSON: packets, bytes, seconds, packets per second, peak resident memory.
 * Exits 1 when a packet is missing or the peak lies above `--rss`.
 * @module
 */
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openCaptures } from '../src/capture/reader.ts';

const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
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
  return Math.floor((bytes - HEADER_BYTES) / (RECORD_HEADER_BYTES + packetBytes));
}

/** A pcap of about `bytes` bytes: UDP frames of `packetBytes`, one per millisecond. */
export function* generateCapture(bytes: number, packetBytes: number): Generator<Buffer> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  yield header;
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
  b.writeUInt32LE(1_700_000_000 + Math.floor(index / 1000), at);
  b.writeUInt32LE((index % 1000) * 1000, at + 4);
  b.writeUInt32LE(packetBytes, at + 8);
  b.writeUInt32LE(packetBytes, at + 12);
  const frame = at + RECORD_HEADER_BYTES;
  b.writeUInt16BE(0x0800, frame + 12);
  b[frame + 14] = 0x45;
  b.writeUInt16BE(packetBytes - 14, frame + 16);
  b[frame + 22] = 64;
  b[frame + 23] = 17;
  b.writeUInt32BE(0x0a000001, frame + 26);
  b.writeUInt32BE(0x0a000002, frame + 30);
  b.writeUInt16BE(40_000, frame + 34);
  b.writeUInt16BE(53, frame + 36);
}

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
      bytes: { type: 'string', default: '4GiB' },
      packet: { type: 'string', default: '1500' },
      heap: { type: 'string', default: '256' },
      rss: { type: 'string', default: '1GiB' },
    },
  });
  if (values.read === true) return readStdin();
  const found = await measure(parseBytes(values.bytes), Number(values.packet), Number(values.heap));
  process.stdout.write(`${JSON.stringify(found)}\n`);
  const whole = found.packets === found.expectedPackets;
  if (!whole || found.peakRssBytes > parseBytes(values.rss)) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
