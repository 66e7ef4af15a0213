/**
 * One replay with lanes and one without, as text: every row, every connection, every count, and what
 * the reader said of its files.
 * @module
 */
import type { Test } from 'tap';
import { type CaptureOptions, openCaptures } from '../../src/capture/reader.ts';
import type { InputSummary } from '../../src/capture/record.ts';
import type { Cluster } from '../../src/cluster/model.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { CompiledEngine, type CompiledOptions } from '../../src/engine/compiled.ts';
import type { MakeEngine } from '../../src/engine/make-engine.ts';
import { Comparison } from '../../src/lab/compare/compare.ts';
import { type CaptureIndex, makeEntries } from '../../src/lab/lane/capture-index.ts';
import { findWalker, type LaneWalker } from '../../src/lab/lane/columns.ts';
import { BulkSurvey } from '../../src/lab/lane/look.ts';
import { replay } from '../../src/lab/replay.ts';
import { rowWith } from '../../src/lab/run/row-terms.ts';
import type { RunSummary } from '../../src/lab/tally.ts';
import { autoMap } from '../../src/lab/traffic/auto-map.ts';
import { AddressMap } from '../../src/lab/traffic/mapping.ts';
import { Survey } from '../../src/lab/traffic/survey.ts';
import type { TrafficOptions } from '../../src/lab/traffic/traffic.ts';
import { Vantages } from '../../src/lab/traffic/vantage.ts';
import { World } from '../../src/lab/world.ts';
import type { Network } from '../../src/plan/model.ts';
import type { NetworkPolicy } from '../../src/policy/model.ts';
import { AnnotatedPackets } from '../../src/report/annotated-capture.ts';
import { connectionJson, differenceJson, frameJson } from '../../src/report/json-shape.ts';
import { rowText } from '../../src/report/text/row-text.ts';
import { addressKey } from '../../src/wire/address/address.ts';
import { lineAlike, lineOf } from './written.ts';

/** What is replayed, and on what. */
export interface LaneCase {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  readonly stack: string;
  readonly paths: readonly string[];
  /** What the stack makes of the cluster, where that is known already. */
  readonly network?: Network;
  readonly checksums?: TrafficOptions['checksums'];
  readonly midstream?: TrafficOptions['midstream'];
  /** Which part of the captures. */
  readonly part?: CaptureOptions;
  /** Nobody asks for rows of frames, or for frames: packets of lanes are settled. */
  readonly isCounted?: boolean;
}

export interface LaneRun {
  readonly rows: readonly string[];
  readonly summary: RunSummary;
  readonly inputs: readonly InputSummary[];
  readonly clock: string;
  /** Packets that went in lanes, and of them those that were settled there. */
  readonly inLanes: number;
  readonly settled: number;
  readonly counters: string;
  /** Connections of all nodes when it is over, with their timers. */
  readonly tables: string;
  /** What the first pass found of translations and pairs. */
  readonly look: string;
}

/** Replay with lanes and the compiled engine, or without either. */
export async function laneRun(
  c: LaneCase,
  addon: CompiledOptions['addon'] | null,
): Promise<LaneRun> {
  const stack = parseStack(c.stack);
  const compiled =
    (there: CompiledOptions['addon']): MakeEngine =>
    (topology, options) =>
      new CompiledEngine(topology, { ...options, addon: there });
  const makeEngine = addon === null ? {} : { makeEngine: compiled(addon) };
  const world = new World({ ...c, stack, ...makeEngine });
  const { survey, index } = await surveyed(c, addon === null ? null : findWalker());
  const stream = openCaptures(c.paths, c.part);
  const walker = addon === null ? null : findWalker();
  const rows: string[] = [];
  const csv = rowText('csv', 'frames');
  const annotated = new AnnotatedPackets();
  const done = await replay({
    ...(walker === null ? { records: stream } : { records: stream.parts(walker), walker, index }),
    traffic: trafficOf(c, world, survey),
    stacks: [
      {
        world,
        sink: {
          wantsFrames: c.isCounted !== true,
          frame: (row) => {
            rows.push(JSON.stringify(frameJson(row)));
            if (csv.of === 'frames') rows.push(lineOf(csv.lines, row));
            annotated.result(row);
          },
          alike: (terms, frame, timeNs, notes) => {
            const row = rowWith(terms, { frame, timeNs, notes });
            rows.push(JSON.stringify(frameJson(row)));
            if (csv.of === 'frames')
              rows.push(lineAlike(csv.lines, terms, { frame, timeNs, notes }));
            annotated.result(row);
          },
          connection: (row) => rows.push(JSON.stringify(connectionJson(row))),
        },
      },
    ],
    options: { openLoop: false },
    ...(c.isCounted ? {} : { onFrame: (shown, record) => annotated.frame(shown, record) }),
  });
  for (const { bytes, timeNs, ...rest } of annotated.take()) {
    rows.push(`${timeNs} ${Buffer.from(bytes).toString('hex')} ${JSON.stringify(rest)}`);
  }
  const [summary] = done.summaries;
  if (summary === undefined) throw new Error('no summary');
  const { backwardSteps, longGaps, nowNs } = done.clock;
  return {
    rows,
    summary,
    inputs: stream.summaries,
    clock: `${done.frames} ${nowNs} ${backwardSteps} ${longGaps}`,
    inLanes: done.framesInLanes,
    settled: done.framesSettled,
    counters: countersOf(world),
    tables: tablesOf(world, nowNs),
    look: JSON.stringify([lookOf(survey), survey.clocks.estimate().map(({ file }) => file)]),
  };
}

function trafficOf(c: LaneCase, world: World, survey: Survey): TrafficOptions {
  return {
    identities: world.identities,
    map: new AddressMap(autoMap(world, survey.pairs(), [])),
    checksums: c.checksums ?? 'auto',
    survey: survey.checksums,
    translations: survey.translations,
    midstream: c.midstream ?? 'assume',
    vantages: new Vantages([]),
    entryIsGiven: false,
  };
}

function lookOf(survey: Survey) {
  const pairs = survey.pairs().map(({ a, b, packets }) => [addressKey(a), addressKey(b), packets]);
  const views = survey.translations.all().map(({ lastNs, ...rest }) => [String(lastNs), rest]);
  return [pairs.sort(), views];
}

interface Surveyed {
  readonly survey: Survey;
  readonly index: CaptureIndex | null;
}

/** The first pass, in bulk or by hand; in bulk, a capture of one file has an index. */
async function surveyed({ paths, part }: LaneCase, walker: LaneWalker | null): Promise<Surveyed> {
  const stream = openCaptures(paths, part);
  if (walker === null) {
    const survey = new Survey();
    for await (const batch of stream) for (const record of batch) survey.add(record);
    return { survey, index: null };
  }
  const isOne = paths.length === 1;
  const bulk = new BulkSurvey(walker, { entries: isOne ? makeEntries(INDEXED_BYTES) : null });
  for await (const part of stream.parts(walker)) bulk.take(part, isOne);
  return { survey: bulk.survey, index: bulk.index() };
}

/** Files are smaller, when they are not packed. */
const INDEXED_BYTES = 2 ** 24;

function countersOf(world: World): string {
  const hosts = world.network.nodes.map(({ host }) => host);
  return JSON.stringify(hosts.map((host) => [host, [...world.engine.counters(host)].sort()]));
}

function tablesOf({ engine, network }: World, nowNs: number): string {
  const hosts = network.nodes.map(({ host }) => host);
  // One packet tells an engine what time it is.
  const packet = new Uint8Array(1);
  for (const host of hosts) engine.inject({ frame: 0, as: 'local', host, packet, nowNs });
  return JSON.stringify(hosts.map((host) => engine.connections(host)));
}

/** Stacks on which lanes are tried: every network's way, both engines and both modes of kube-proxy. */
export const LANE_STACKS = [
  'azure-bridge+npm,force=true',
  'azure-transparent+calico,force=true',
  'azure-overlay+calico,force=true',
  'azure-transparent+none',
  'kubenet+calico,force=true,kube-proxy=nftables',
] as const;

/** Hold a run against that of the reference engine; of rows the first that differs is shown. */
export function isSameRun(t: Test, name: string, got: LaneRun, want: LaneRun): void {
  const at = want.rows.findIndex((row, i) => row !== got.rows[i]);
  t.equal(got.rows[at], want.rows[at], `${name}: rows`);
  t.equal(got.rows.length, want.rows.length, `${name}: as many rows`);
  t.same(got.summary, want.summary, `${name}: counts`);
  t.equal(got.clock, want.clock, `${name}: clock`);
  t.equal(got.counters, want.counters, `${name}: rule counters, ${got.inLanes} in lanes`);
  const settled = got.settled > 0 ? `, ${got.settled} settled` : '';
  t.equal(got.tables, want.tables, `${name}: connection tables${settled}`);
}

/** What a comparison of stacks says: with lanes and the compiled engine, or without either. */
export interface StacksRun {
  readonly differences: readonly string[];
  readonly summaries: readonly RunSummary[];
  readonly counters: readonly string[];
  readonly inLanes: number;
}

/** Compare the capture of a case on several stacks. */
export async function stacksRun(
  c: LaneCase,
  stacks: readonly string[],
  addon: CompiledOptions['addon'] | null,
): Promise<StacksRun> {
  const makeEngine: { makeEngine?: MakeEngine } =
    addon === null
      ? {}
      : { makeEngine: (topology, options) => new CompiledEngine(topology, { ...options, addon }) };
  const worlds = stacks.map((text) => new World({ ...c, stack: parseStack(text), ...makeEngine }));
  const [first] = worlds;
  if (first === undefined) throw new Error('no stack');
  const walker = addon === null ? null : findWalker();
  const { survey, index } = await surveyed(c, walker);
  const stream = openCaptures(c.paths, c.part);
  const differences: string[] = [];
  const comparison = new Comparison(worlds, (row) =>
    differences.push(JSON.stringify(differenceJson(row))),
  );
  const done = await replay({
    ...(walker === null ? { records: stream } : { records: stream.parts(walker), walker, index }),
    traffic: trafficOf(c, first, survey),
    stacks: worlds.map((world, i) => ({ world, sink: comparison.sink(i, () => {}) })),
    options: { openLoop: false },
    onClosed: (conversation, place) => comparison.closed(conversation, place),
  });
  return {
    differences: [...differences, JSON.stringify([comparison.counts(), comparison.classes()])],
    summaries: done.summaries,
    counters: worlds.map(countersOf),
    inLanes: done.framesInLanes,
  };
}
