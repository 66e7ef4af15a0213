/**
 * The second pass: every record through every stack, conversations closed in step.
 *
 * The same function serves `replay` (one stack) and `compare` (several): traffic is decoded once,
 * each stack has its own hosts, connection tables and causes.
 * @module
 */
import type { PacketRecord } from '../capture/record.ts';
import { recordOf, type Slab } from '../capture/slab.ts';
import { CompiledEngine } from '../engine/compiled.ts';
import type { Engine } from '../engine/engine.ts';
import type { CaptureIndex } from './lane/capture-index.ts';
import type { LaneWalker } from './lane/columns.ts';
import { Lanes } from './lane/lanes.ts';
import { NativeStrangers, type TranslatedEnd } from './lane/native-strangers.ts';
import { NativeSightings } from './lane/sightings.ts';
import { type RunOptions, type RunSink, StackRun } from './stack-run.ts';
import type { RunSummary, TallyPart } from './tally.ts';
import type { Captured, Followed, ShownFrame } from './traffic/captured.ts';
import type { Clock } from './traffic/clock.ts';
import type { Conversation } from './traffic/conversation.ts';
import type { Strangers, StrangerTuple } from './traffic/strangers.ts';
import { type Ended, Traffic, type TrafficOptions } from './traffic/traffic.ts';
import type { World } from './world.ts';

/** Records as capture readers give them: in batches, or in bulk. */
export type RecordBatches = AsyncIterable<readonly PacketRecord[] | Slab>;

export interface ReplayInput {
  readonly records: RecordBatches;
  /** Who walks the records that come in bulk; for a run that `mayUseLanes`, or has a share. */
  readonly walker?: LaneWalker;
  /** What the first pass left of the records, where they are those of one whole file. */
  readonly index?: CaptureIndex | null;
  readonly traffic: TrafficOptions;
  readonly stacks: readonly { readonly world: World; readonly sink: RunSink }[];
  readonly options: RunOptions;
  /** Told of each frame before the stacks judge it (annotated output keeps its bytes). */
  readonly onFrame?: (shown: ShownFrame, record: PacketRecord) => void;
  /** Told when a conversation has been closed in every stack, as the `place`-th, from 0. */
  readonly onClosed?: (conversation: Conversation, place: number) => void;
  /** What of the capture is judged here; absent: all of it. */
  readonly share?: Share;
  /** Awaited after each batch: output that must not pile up. */
  readonly betweenBatches?: (state: BatchState) => Promise<void>;
  /** Ends the run early when it says so; what was read so far is finished. */
  readonly shouldStop?: () => boolean;
}

/** Where a run is between two batches. */
export interface BatchState {
  /** Whether rows of frames wait for later frames. */
  readonly rowsWait: boolean;
  /** Packets that were judged one by one so far: they take time. */
  readonly byHand: number;
}

/** A part of the capture's conversations; the others are followed, and judged elsewhere. */
export interface Share {
  /** Whether a conversation is judged here. */
  owns(conversation: Conversation): boolean;
  /** Whether a frame of one that is, or of none, is. */
  frame(captured: Captured): boolean;
  /** Asked right before a conversation is closed; `place` counts those closed, from 0. */
  conversation(conversation: Conversation, place: number): boolean;
  /** Whether packets of these ends are judged here, as far as their ends say it. */
  ownsEnds(tuple: StrangerTuple): boolean;
  /** Ends whose port matters to that. */
  translatedEnds(): Iterable<TranslatedEnd>;
  /** So many conversations have been closed, whosesoever. */
  reached(closed: number): void;
}

export interface ReplayOutput {
  readonly summaries: readonly RunSummary[];
  /** The counts behind the summaries, to be added to those of other shares. */
  readonly parts: readonly TallyPart[];
  readonly clock: Clock;
  readonly frames: number;
  /**
   * Of these, how many went in lanes, and of them, how many were settled there; and how many of
   * other shares were followed in lanes.
   */
  readonly framesInLanes: number;
  readonly framesSettled: number;
  readonly framesFollowed: number;
  readonly interrupted: boolean;
}

/** Run the traffic through all stacks. */
export async function replay(input: ReplayInput): Promise<ReplayOutput> {
  const { walker, index } = input;
  const strangers = strangersOf(input);
  if (walker && index) walker.native.useIndex(index.entries, index.rows);
  const sightings = walker && new NativeSightings(walker.native);
  const traffic = new Traffic(input.traffic, sightings, strangers);
  const runs = input.stacks.map((s) => new StackRun(s.world, input.options, s.sink));
  const { share } = input;
  let closed = 0;
  const close = ({ conversations, strangers: others }: Ended) => {
    const before = closed + (strangers?.closed ?? 0);
    closed += conversations.length + others.length;
    let passed = 0;
    for (const [i, conversation] of conversations.entries()) {
      while ((others[passed] ?? Number.POSITIVE_INFINITY) < conversation.id) passed++;
      const place = before + i + passed;
      lanes?.forget(conversation);
      if (share?.conversation(conversation, place) === false) continue;
      for (const run of runs) run.close(conversation);
      input.onClosed?.(conversation, place);
    }
  };
  let frames = 0;
  let handled = 0;
  let interrupted = false;
  const isOwn = (conversation: Conversation) => share?.owns(conversation) !== false;
  const byHand = (record: PacketRecord): Captured | Followed => {
    const captured = share ? traffic.takeShare(record, isOwn) : traffic.take(record);
    close({ conversations: traffic.replaced(), strangers: NOBODY });
    close(traffic.expired());
    if (captured.kind === 'followed' || share?.frame(captured) === false) return captured;
    handled++;
    input.onFrame?.(captured, record);
    for (const run of runs) run.handle(captured);
    return captured;
  };
  const lanes = lanesOf(input, traffic, runs, byHand);
  const one = (record: PacketRecord) => (lanes === null ? void byHand(record) : lanes.one(record));
  for await (const part of input.records) {
    if ('window' in part) {
      frames += part.count;
      if (lanes !== null) lanes.take(part);
      else for (let n = 0; n < part.count; n++) byHand(recordOf(part, n));
    } else {
      frames += part.length;
      for (const record of part) one(record);
    }
    share?.reached(closed + (strangers?.closed ?? 0));
    const rowsWait = runs.some((run) => !run.isSettled);
    await input.betweenBatches?.({ rowsWait, byHand: handled });
    if (input.shouldStop?.()) {
      interrupted = true;
      break;
    }
  }
  lanes?.end();
  for (const run of runs) run.endFragments();
  close(traffic.end());
  share?.reached(closed + (strangers?.closed ?? 0));
  return {
    summaries: runs.map((run) => run.summary()),
    parts: runs.map((run) => run.part()),
    clock: traffic.clock,
    frames,
    framesInLanes: lanes?.frames ?? 0,
    framesSettled: lanes?.settled ?? 0,
    framesFollowed: lanes?.followed ?? 0,
    interrupted,
  };
}

const NOBODY = new Float64Array();

/** Who follows what others judge; null where nobody does, or connections have several names. */
function strangersOf({ walker, share, traffic }: ReplayInput): Strangers | null {
  const { map, listed, translations, midstream } = traffic;
  if (walker === undefined || share === undefined) return null;
  if (map.size > 0 || (listed?.size ?? 0) > 0) return null;
  return new NativeStrangers({
    walker,
    isOwn: (tuple) => share.ownsEnds(tuple),
    translated: share.translatedEnds(),
    views: translations?.all() ?? [],
    synAckAnswers: midstream === 'assume',
  });
}

/** Whether packets can go in lanes on a stack of a run: the compiled engine moves them. */
export function mayUseLanes(run: { readonly engine: Engine } & RunOptions): boolean {
  if (run.openLoop || run.traceFrame !== undefined) return false;
  return run.engine instanceof CompiledEngine;
}

function lanesOf(
  input: ReplayInput,
  traffic: Traffic,
  runs: readonly StackRun[],
  byHand: (record: PacketRecord) => Captured | Followed,
): Lanes | null {
  const { walker, share, onFrame, traffic: options } = input;
  if (walker === undefined) return null;
  const all = runs.flatMap((run) => {
    const { engine } = run.world;
    const isMoving = mayUseLanes({ engine, ...input.options });
    return isMoving && engine instanceof CompiledEngine ? [{ run, engine }] : [];
  });
  const movers = all.length === runs.length ? all : [];
  if (movers.length === 0 && share === undefined) return null;
  const wantsRows = input.stacks.map(({ sink }) => sink.wantsFrames ?? true);
  return new Lanes({ walker, traffic, runs, movers, options, wantsRows, byHand, onFrame });
}
