/**
 * From a file on disk to what a user gets: a capture of 64-byte packets of established connections
 * replayed in both its passes, with a summary, JSON lines, or an annotated capture out.
 *
 *   node dist/bench/end-to-end.js [--packets 1000000] [--flows 1000] [--samples 3] [--only OUT]
 *   node dist/bench/end-to-end.js --keep FILE …      writes the capture there, and leaves it
 *   node dist/bench/end-to-end.js --refused …        to a port that policies keep closed: requests
 *                                                    are dropped, answers have nothing to answer
 *   node dist/bench/end-to-end.js --short KIND …     connections of few packets: tcp, dns, scan
 *
 * Before a figure is printed, the whole output of the file's beginning is compared with that of the
 * reference engine without lanes, byte for byte. Figures are of processor time, start-up and
 * rendering of the cluster left out; each packet is different. What a further packet costs is the
 * difference to a capture of a quarter of the size: connections are opened in both.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openCaptures } from '../src/capture/reader.ts';
import { parseStack } from '../src/dataplane/stack.ts';
import { chooseEngine, type EngineKind } from '../src/engine/make-engine.ts';
import { type CaptureIndex, makeEntries } from '../src/lab/lane/capture-index.ts';
import { findWalker } from '../src/lab/lane/columns.ts';
import { BulkSurvey } from '../src/lab/lane/look.ts';
import { replay } from '../src/lab/replay.ts';
import { rowWith } from '../src/lab/run/row-terms.ts';
import type { RunSink } from '../src/lab/stack-run.ts';
import { AddressMap } from '../src/lab/traffic/mapping.ts';
import { Survey } from '../src/lab/traffic/survey.ts';
import { Vantages } from '../src/lab/traffic/vantage.ts';
import { World } from '../src/lab/world.ts';
import { fillSegment } from '../src/packet/transport-checksum.ts';
import { AnnotatedCapture, AnnotatedPackets } from '../src/report/annotated-capture.ts';
import { replayReport } from '../src/report/result/replay-report.ts';
import { FrameOutputs } from '../src/report/text/frame-outputs.ts';
import { formatTable } from '../src/report/text/table.ts';
import { fileOutput } from '../src/report/text/text-output.ts';
import { ipv4 as addressOf } from '../src/wire/address/address.ts';
import * as ethernet from '../src/wire/header/ethernet.ts';
import * as ipv4 from '../src/wire/header/ipv4.ts';
import * as udp from '../src/wire/header/udp.ts';
import { Protocol } from '../src/wire/protocol.ts';
import { type Framed, writeCapture } from './capture-file.ts';
import { generateCluster, OPEN_PORT } from './clusters.ts';
import { onlyNamed } from './only.ts';
import { SHORT_TALKS, type ShortTalk, shortTalk } from './short-talks.ts';

const SEED = 1;
const STACK = 'azure-bridge+npm';
const FRAME_BYTES = 64;
/** Packets that are compared with the reference engine. */
const CHECKED = 20_000;
const FIRST_PORT = 1024;
/** A port that no policy of `generateCluster` opens. */
const CLOSED_PORT = 9999;
/** Two pods of `generateCluster`. */
const PODS = [0x0af0000b, 0x0af0000c].map(addressOf) as [Address, Address];
type Address = ReturnType<typeof addressOf>;

/** What comes out; `passes`: counts alone; `verdicts`: the same, of the second pass alone. */
export const OUTPUTS = ['passes', 'verdicts', 'summary', 'jsonl', 'csv', 'pcapng'] as const;
export type Output = (typeof OUTPUTS)[number];

/** UDP connections. */
interface Talk {
  readonly flows: number;
  /** The port that servers are asked at. */
  readonly port: number;
}

/** What a capture holds. */
interface Workload {
  readonly at: (index: number) => Framed;
  /** What share of its packets must go in lanes. */
  readonly inLanes: number;
}

function workloadOf(short: ShortTalk | null, talk: Talk): Workload {
  if (short === null) return { at: (index) => talkAt(index, talk), inLanes: 0.5 };
  return { at: (index) => shortTalk(short, index), inLanes: 0 };
}

/** Write a capture of requests and answers in turn (native/bench/captures.sh). */
export function writeTalk(path: string, packets: number, talk: Talk): void {
  writeCapture(path, packets, (index) => talkAt(index, talk));
}

/** A packet of requests and answers in turn, over so many connections. */
function talkAt(index: number, talk: Talk): Framed {
  const isAnswer = index % 2 === 1;
  const flow = (index >>> 1) % talk.flows;
  const [client, server] = PODS;
  const port = FIRST_PORT + (flow % 60_000);
  const [src, dst] = isAnswer ? [server, client] : [client, server];
  const [sport, dport] = isAnswer ? [talk.port, port] : [port, talk.port];
  const size = FRAME_BYTES - ethernet.HEADER_LENGTH - ipv4.MIN_HEADER_LENGTH - udp.HEADER_LENGTH;
  const payload = new Uint8Array(size);
  new DataView(payload.buffer).setUint32(0, index);
  const segment = udp.emit({ sport, dport }, payload);
  const end = segment.length;
  fillSegment({ bytes: segment, off: 0, end, protocol: Protocol.udp, src, dst });
  const flags = { dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const rest = { tos: 0, id: index & 0xffff, ttl: 64, options: new Uint8Array(0) };
  const packet = ipv4.emit({ ...flags, ...rest, protocol: Protocol.udp, src, dst }, segment);
  return { packet, isAnswer };
}

export interface EndToEnd {
  /** Nanoseconds of processor time. */
  readonly ns: number;
  readonly packets: number;
  readonly inLanes: number;
  readonly counts: string;
  /** Where the output went; where only counts are asked for, there is none. */
  readonly path: string;
}

/** Whether nothing is written. */
function isBare(output: Output): boolean {
  return output === 'passes' || output === 'verdicts';
}

/** Replay a file; with the compiled engine in lanes. */
export async function endToEnd(
  capture: string,
  output: Output,
  kind: EngineKind,
  folder: string,
): Promise<EndToEnd> {
  const inputs = generateCluster({ nodes: 1, podsPerNode: 20, policies: 10, service: true });
  const { make } = chooseEngine(kind);
  const world = new World({ ...inputs, stack: parseStack(STACK), seed: SEED, makeEngine: make });
  const path = join(folder, `${kind}.${output}`);
  const head = { stack: STACK, engine: 'any', seed: SEED, names: true };
  const format = output === 'jsonl' || output === 'csv' ? output : 'json';
  const isText = output === 'summary' || output === format;
  const report = isText ? replayReport({ format, path }, fileOutput(path), 'frames', head) : null;
  const annotated = output === 'pcapng' ? await AnnotatedCapture.open(path, world, true) : null;
  const started = process.cpuUsage();
  const { survey, index } = await look(capture, kind);
  const before = output === 'verdicts' ? process.cpuUsage() : started;
  const walker = kind === 'compiled' ? findWalker() : null;
  const stream = openCaptures([capture], { digest: !isBare(output) });
  const packets = annotated && new AnnotatedPackets();
  const lines = new FrameOutputs(report?.frames ? [report.frames] : [], () => true);
  const sink: RunSink = {
    wantsFrames: annotated !== null || (report?.frames ?? null) !== null,
    wantsJourneys: false,
    frame: (row) => {
      packets?.result(row);
      lines.row(row, row.frame ?? 0);
    },
    alike: (terms, frame, timeNs, notes) => {
      packets?.result(rowWith(terms, { frame, timeNs, notes }));
      lines.alike(terms, frame, timeNs, notes);
    },
    connection: (row) => report?.connection(row),
  };
  const done = await replay({
    ...(walker === null ? { records: stream } : { records: stream.parts(walker), walker, index }),
    traffic: {
      identities: world.identities,
      map: new AddressMap([]),
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: [{ world, sink }],
    options: { openLoop: false },
    ...(packets ? { onFrame: (captured, record) => packets.frame(captured, record) } : {}),
    betweenBatches: async () => {
      if (packets !== null) await annotated?.write(packets.take());
    },
  });
  const { summaries, clock, interrupted, framesInLanes, frames } = done;
  const [summary] = summaries;
  if (summary === undefined) throw new Error('a run has a summary');
  report?.end({ summary, inputs: stream.summaries, warnings: [], clock, interrupted });
  if (packets !== null) await annotated?.write(packets.take());
  await annotated?.end();
  const { user, system } = process.cpuUsage(before);
  const counts = JSON.stringify(summary);
  return { ns: (user + system) * 1000, packets: frames, inLanes: framesInLanes, counts, path };
}

interface Looked {
  readonly survey: Survey;
  readonly index: CaptureIndex | null;
}

/** The first pass. */
async function look(capture: string, kind: EngineKind): Promise<Looked> {
  const walker = kind === 'compiled' ? findWalker() : null;
  const stream = openCaptures([capture], { digest: false });
  if (walker === null) {
    const survey = new Survey();
    for await (const batch of stream) for (const record of batch) survey.add(record);
    return { survey, index: null };
  }
  const bulk = new BulkSurvey(walker, { entries: makeEntries(statSync(capture).size) });
  for await (const part of stream.parts(walker)) bulk.take(part, true);
  return { survey: bulk.survey, index: bulk.index() };
}

/** @throws Error when the two engines' outputs differ by a byte */
export async function checkAgainstReference(
  folder: string,
  { at, inLanes }: Workload,
): Promise<void> {
  const capture = join(folder, 'checked.pcap');
  writeCapture(capture, CHECKED, at);
  for (const output of OUTPUTS) {
    const want = await endToEnd(capture, output, 'reference', folder);
    const got = await endToEnd(capture, output, 'compiled', folder);
    const same = isBare(output) || sameBytes(want.path, got.path);
    if (!same || want.counts !== got.counts) throw new Error(`${output}: the engines differ`);
    if (got.inLanes < CHECKED * inLanes)
      throw new Error(`only ${got.inLanes} packets went in lanes`);
  }
}

/** Equal but for an annotated capture's first block, which names the engine. */
function sameBytes(a: string, b: string): boolean {
  const [x, y] = [a, b].map((path) => {
    const bytes = readFileSync(path);
    return path.endsWith('pcapng') ? bytes.subarray(bytes.readUInt32LE(4)) : bytes;
  });
  return x !== undefined && y !== undefined && x.equals(y);
}

/** Nanoseconds of processor time a packet, by sample. */
export interface Sampled {
  readonly output: Output;
  readonly ns: readonly number[];
  /** The same of the packets that a capture has more than a quarter of it. */
  readonly further: readonly number[];
  readonly inLanes: number;
}

/** A capture and its first quarter. */
interface Captures {
  readonly whole: string;
  readonly part: string;
}

async function sample(
  { whole, part }: Captures,
  output: Output,
  samples: number,
  folder: string,
): Promise<Sampled> {
  const ns: number[] = [];
  const further: number[] = [];
  let inLanes = 0;
  // The first run finds cold code.
  await endToEnd(part, output, 'compiled', folder);
  for (let i = 0; i < samples; i++) {
    const few = await endToEnd(part, output, 'compiled', folder);
    const all = await endToEnd(whole, output, 'compiled', folder);
    ns.push(all.ns / all.packets);
    further.push((all.ns - few.ns) / (all.packets - few.packets));
    inLanes = all.inLanes / all.packets;
  }
  return { output, ns, further, inLanes };
}

/** The middle of an odd number of samples. */
export function middleOf(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >>> 1] ?? 0;
}

function tableOf(rows: readonly Sampled[]): string {
  const cells = rows.map(({ output, ns, further, inLanes }) => {
    const [all, more] = [middleOf(ns), middleOf(further)];
    const rate = (1000 / all).toFixed(2);
    return [output, rate, all.toFixed(0), more.toFixed(0), inLanes.toFixed(3)];
  });
  return formatTable({ columns: ['OUT', 'Mpps', 'ns', 'A FURTHER ONE', 'IN LANES'], rows: cells });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string', default: '1000000' },
      flows: { type: 'string', default: '1000' },
      samples: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      keep: { type: 'string' },
      refused: { type: 'boolean', default: false },
      short: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  });
  const outputs = onlyNamed(OUTPUTS, values.only, (name) => name);
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-end-to-end-'));
  try {
    const port = values.refused ? CLOSED_PORT : OPEN_PORT;
    const [short = null] = values.short === '' ? [] : onlyNamed(SHORT_TALKS, values.short, String);
    const workload = workloadOf(short, { flows: Number(values.flows), port });
    await checkAgainstReference(folder, workload);
    const packets = Number(values.packets);
    const whole = values.keep ?? join(folder, 'talk.pcap');
    const part = join(folder, 'quarter.pcap');
    writeCapture(whole, packets, workload.at);
    writeCapture(part, Math.floor(packets / 4), workload.at);
    const captures = { whole, part };
    const rows: Sampled[] = [];
    for (const output of outputs) {
      rows.push(await sample(captures, output, Number(values.samples), folder));
    }
    process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : tableOf(rows));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
