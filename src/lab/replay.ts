/**
 * The second pass: every record through every stack, conversations closed in step.
 *
 * The same function serves `replay` (one stack) and `compare` (several): traffic is decoded once,
 * each stack has its own hosts, connection tables and causes.
 * @module
 */
import type { PacketRecord } from '../capture/record.ts';
import { type RunOptions, type RunSink, StackRun } from './stack-run.ts';
import type { RunSummary, TallyPart } from './tally.ts';
import type { Captured } from './traffic/captured.ts';
import type { Clock } from './traffic/clock.ts';
import type { Conversation } from './traffic/conversation.ts';
import { Traffic, type TrafficOptions } from './traffic/traffic.ts';
import type { World } from './world.ts';

/** Records in batches, as capture readers give them. */
export type RecordBatches = AsyncIterable<readonly PacketRecord[]>;

export interface ReplayInput {
  readonly records: RecordBatches;
  readonly traffic: TrafficOptions;
  readonly stacks: readonly { readonly world: World; readonly sink: RunSink }[];
  readonly options: RunOptions;
  /** Told of each frame before the stacks judge it (annotated output keeps its bytes). */
  readonly onFrame?: (captured: Captured, record: PacketRecord) => void;
  /** Told when a conversation has been closed in every stack. */
  readonly onClosed?: (conversation: Conversation) => void;
  /** What of the capture is judged here; absent: all of it. */
  readonly share?: Share;
  /** Awaited after each batch: output that must not pile up. */
  readonly betweenBatches?: () => Promise<void>;
  /** Ends the run early when it says so; what was read so far is finished. */
  readonly shouldStop?: () => boolean;
}

/** A part of the capture's conversations; the others are followed, and judged elsewhere. */
export interface Share {
  frame(captured: Captured): boolean;
  /** Asked right before a conversation is closed; `place` counts those closed, from 0. */
  conversation(conversation: Conversation, place: number): boolean;
}

export interface ReplayOutput {
  readonly summaries: readonly RunSummary[];
  /** The counts behind the summaries, to be added to those of other shares. */
  readonly parts: readonly TallyPart[];
  readonly clock: Clock;
  readonly frames: number;
  readonly interrupted: boolean;
}

/** Run the traffic through all stacks. */
export async function replay(input: ReplayInput): Promise<ReplayOutput> {
  const traffic = new Traffic(input.traffic);
  const runs = input.stacks.map((s) => new StackRun(s.world, input.options, s.sink));
  const { share } = input;
  let closed = 0;
  const close = (conversations: readonly Conversation[]) => {
    for (const conversation of conversations) {
      const place = closed++;
      if (share?.conversation(conversation, place) === false) continue;
      for (const run of runs) run.close(conversation);
      input.onClosed?.(conversation);
    }
  };
  let frames = 0;
  let interrupted = false;
  for await (const batch of input.records) {
    for (const record of batch) {
      const captured = traffic.take(record);
      close(traffic.replaced());
      close(traffic.expired());
      frames++;
      if (share?.frame(captured) === false) continue;
      input.onFrame?.(captured, record);
      for (const run of runs) run.handle(captured);
    }
    await input.betweenBatches?.();
    if (input.shouldStop?.()) {
      interrupted = true;
      break;
    }
  }
  for (const run of runs) run.endFragments();
  close(traffic.end());
  return {
    summaries: runs.map((run) => run.summary()),
    parts: runs.map((run) => run.part()),
    clock: traffic.clock,
    frames,
    interrupted,
  };
}
