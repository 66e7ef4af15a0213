/**
 * A capture judged whole, and judged in shares on hosts of their own: what the shares say, put
 * together, must be what the whole says.
 * @module
 */
import { openCaptures } from '../../src/capture/reader.ts';
import type { PacketRecord } from '../../src/capture/record.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { MakeEngine } from '../../src/engine/make-engine.ts';
import type { CaptureIndex } from '../../src/lab/lane/capture-index.ts';
import { findWalker } from '../../src/lab/lane/columns.ts';
import { type ReplayInput, replay } from '../../src/lab/replay.ts';
import type { ConnectionResult, FrameResult } from '../../src/lab/result.ts';
import { type RunSummary, Tally, type TallyPart } from '../../src/lab/tally.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import type { Inputs } from '../../src/policy/inputs.ts';
import { rowText } from '../../src/report/text/row-text.ts';
import { OwnShare } from '../../src/workers/own-share.ts';
import { SHARDS, Shards } from '../../src/workers/shards.ts';
import { lineAlike, lineOf } from './written.ts';

export interface SharedRun {
  /** Lines of JSON, in order. */
  readonly frames: readonly string[];
  readonly connections: readonly string[];
  readonly summary: RunSummary;
  /** Frames that each share judged; of the whole run, all of them. */
  readonly judged: readonly number[];
  readonly orderedPackets: number;
  /** Frames that went in lanes, and that were followed in silent ones, over all shares. */
  readonly inLanes: number;
  readonly followed: number;
}

interface Part {
  readonly frames: readonly (readonly [number, string])[];
  readonly connections: readonly (readonly [number, string])[];
  readonly tally: TallyPart;
  readonly share: OwnShare;
  readonly judged: number;
  readonly inLanes: number;
  readonly followed: number;
}

export interface SharedOptions {
  readonly makeEngine?: MakeEngine;
  readonly map?: AddressMap;
  /** The file that holds the records: they are read from there, in bulk. */
  readonly path?: string;
  /** The index of the file. */
  readonly index?: CaptureIndex | null;
}

const FRAME = rowText('jsonl', 'frames');
const CONNECTION = rowText('jsonl', 'connections');

/** Judge records in so many shares, each with a world of its own. */
export async function runInShares(
  { cluster, policies }: Pick<Inputs, 'cluster' | 'policies'>,
  stack: string,
  records: readonly PacketRecord[],
  shares: number,
  { makeEngine, map = new AddressMap([]), path, index = null }: SharedOptions = {},
): Promise<SharedRun> {
  const survey = new Survey();
  for (const record of records) survey.add(record);
  const owners = Array.from({ length: SHARDS }, (_, shard) => shard % shares);
  const parts: Part[] = [];
  for (let self = 0; self < shares; self++) {
    const engine = makeEngine === undefined ? {} : { makeEngine };
    const world = new World({ cluster, policies, stack: parseStack(stack), ...engine });
    const fragmented = new Set(survey.census.fragmented.keys());
    const { addresses } = world;
    const shards = new Shards({ cluster, addresses, fragmented, clientsHidden: false });
    const share = new OwnShare(shards, owners, self);
    parts.push(await judge(world, { ...sourceOf(records, path), index }, survey, share, map));
  }
  const tally = new Tally();
  for (const part of parts) tally.absorb(part.tally);
  return {
    frames: joined(parts.map(({ frames }) => frames)),
    connections: joined(parts.map(({ connections }) => connections)),
    summary: tally.summary(),
    judged: parts.map(({ judged }) => judged),
    orderedPackets: parts.reduce((sum, { share }) => sum + share.orderedPackets, 0),
    inLanes: parts.reduce((sum, { inLanes }) => sum + inLanes, 0),
    followed: parts.reduce((sum, { followed }) => sum + followed, 0),
  };
}

async function judge(
  world: World,
  source: Pick<ReplayInput, 'records' | 'walker' | 'index'>,
  survey: Survey,
  share: OwnShare,
  map: AddressMap,
): Promise<Part> {
  const frames: (readonly [number, string])[] = [];
  const connections: (readonly [number, string])[] = [];
  let judged = 0;
  const { parts, framesInLanes, framesFollowed } = await replay({
    ...source,
    traffic: {
      identities: world.identities,
      map,
      checksums: 'auto',
      survey: survey.checksums,
      translations: survey.translations,
      midstream: 'assume',
      vantages: new Vantages([]),
      entryIsGiven: false,
    },
    stacks: [
      {
        world,
        sink: {
          frame(row: FrameResult) {
            if (row.journey !== null) share.checkJourney(row.protocol, row.journey);
            const at = row.frame ?? row.cause ?? 0;
            if (FRAME.of === 'frames') frames.push([at, lineOf(FRAME.lines, row)]);
          },
          alike(terms, frame, timeNs, notes) {
            const { journey, protocol } = terms;
            if (journey !== null) share.checkJourney(protocol, journey);
            if (FRAME.of !== 'frames') return;
            frames.push([frame, lineAlike(FRAME.lines, terms, { frame, timeNs, notes })]);
          },
          connection(row: ConnectionResult) {
            if (CONNECTION.of === 'connections') {
              connections.push([share.closed - 1, CONNECTION.text(row)]);
            }
          },
        },
      },
    ],
    options: { openLoop: false },
    share,
    onFrame: () => {
      judged++;
    },
  });
  share.checkHosts(world.engine, 1);
  const [tally] = parts;
  if (tally === undefined) throw new Error('a run of one stack has one tally');
  return {
    ...{ frames, connections, tally, share, judged },
    ...{ inLanes: framesInLanes, followed: framesFollowed },
  };
}

async function* batches(records: readonly PacketRecord[]) {
  for (let at = 0; at < records.length; at += 256) yield records.slice(at, at + 256);
}

function sourceOf(
  records: readonly PacketRecord[],
  path: string | undefined,
): Pick<ReplayInput, 'records' | 'walker'> {
  const walker = path === undefined ? null : findWalker();
  if (path === undefined || walker === null) return { records: batches(records) };
  return { records: openCaptures([path]).parts(walker), walker };
}

/** By place; rows of one place are all of one part, in their order. */
function joined(parts: readonly (readonly (readonly [number, string])[])[]): readonly string[] {
  return parts
    .flat()
    .sort(([a], [b]) => a - b)
    .map(([, text]) => text);
}
