/**
 * Frames made by a test, replayed as the command line would: surveyed, then judged on one stack.
 * @module
 */
import { LinkType, type PacketRecord } from '../../src/capture/record.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { replay } from '../../src/lab/replay.ts';
import type { ConnectionResult, FrameResult } from '../../src/lab/result.ts';
import type { RunSummary } from '../../src/lab/tally.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import type { TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import type { Inputs } from '../../src/policy/inputs.ts';
import { address } from './packets.ts';

export interface Ran {
  readonly frames: readonly FrameResult[];
  readonly connections: readonly ConnectionResult[];
  readonly summary: RunSummary;
  readonly world: World;
}

/** A frame, and at which of several interfaces it was seen. */
export interface SeenFrame {
  readonly data: Uint8Array;
  readonly iface?: number;
  /** Seconds from the start; absent: `ReplayOptions.gapS` after the one before. */
  readonly atS?: number;
}

export interface ReplayOptions {
  readonly seed?: number;
  /** `--map`: captured addresses and what they are here. */
  readonly map?: readonly (readonly [string, string])[];
  readonly traffic?: Partial<TrafficOptions>;
  readonly openLoop?: boolean;
  /** Seconds between frames; absent: 0.01. */
  readonly gapS?: number;
}

/** Replay Ethernet frames; fails when a frame has no outcome or two. */
export async function replayFrames(
  { cluster, policies }: Pick<Inputs, 'cluster' | 'policies'>,
  stack: string,
  frames: readonly (Uint8Array | SeenFrame)[],
  { seed = 1, map = [], traffic = {}, openLoop = false, gapS = 0.01 }: ReplayOptions = {},
): Promise<Ran> {
  const world = new World({ cluster, policies, stack: parseStack(stack), seed });
  const records = frames.map((frame, i) => recordOf(frame, i, gapS));
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const rows: FrameResult[] = [];
  const connections: ConnectionResult[] = [];
  async function* batches() {
    yield records;
  }
  const { summaries } = await replay({
    records: batches(),
    traffic: {
      identities: world.identities,
      map: new AddressMap(map.map(([from, to]) => [address(from), address(to)])),
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
      ...traffic,
    },
    stacks: [
      { world, sink: { frame: (r) => rows.push(r), connection: (c) => connections.push(c) } },
    ],
    options: { openLoop },
  });
  const [summary] = summaries;
  if (!summary) throw new Error('no summary');
  const { packets, outcomes } = summary.counts;
  const sum = Object.values(outcomes).reduce((a, b) => a + b, 0);
  if (packets !== frames.length || sum !== frames.length) throw new Error('out of balance');
  return { frames: rows, connections, summary, world };
}

function recordOf(frame: Uint8Array | SeenFrame, i: number, gapS: number): PacketRecord {
  const {
    data,
    iface = 0,
    atS = i * gapS,
  }: SeenFrame = frame instanceof Uint8Array ? { data: frame } : frame;
  return {
    frame: i + 1,
    iface: { id: iface, file: `${iface}.pcap`, linkType: LinkType.ethernet, snapLength: 65535 },
    timeNs: BigInt(Math.round(atS * 1e9)),
    data,
    wireLength: data.length,
  };
}

/** What became of the captured frames, generated ones left out. */
export function outcomesOf(ran: Ran): readonly string[] {
  return ran.frames.filter((f) => f.frame !== null).map((f) => f.outcome);
}
