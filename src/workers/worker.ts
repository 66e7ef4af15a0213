/**
 * One worker of a run: it reads the whole capture, follows all of its conversations, and judges
 * those of its share, on hosts of its own. What it settles it sends in pieces.
 *
 * Reading is done by all so that nothing has to be handed on packet by packet, and so that
 * everything which depends on the whole capture (the clock, numbers and ends of connections) is the
 * same in every worker. Ordinary packets of others' connections are followed by native code in
 * silent lanes, those of own connections go in lanes where the compiled engine serves (lab/lane).
 * @module
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { parseFilter } from '../capture/filter/filter.ts';
import { type CaptureStream, openCaptures } from '../capture/reader.ts';
import { frameAt } from '../capture/slab.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import { chooseEngine, tableFull } from '../engine/make-engine.ts';
import { ChecksumSurvey } from '../lab/datagram/checksums.ts';
import { findWalker, type LaneWalker } from '../lab/lane/columns.ts';
import { type BatchState, replay } from '../lab/replay.ts';
import { ListedOpeners } from '../lab/traffic/listed-openers.ts';
import { AddressMap } from '../lab/traffic/mapping.ts';
import type { TrafficOptions } from '../lab/traffic/traffic.ts';
import { Vantages } from '../lab/traffic/vantage.ts';
import { World } from '../lab/world.ts';
import { Control } from './control.ts';
import type { CaptureJob, Job, Progress, ShareOutcome, ShareResult, TrafficJob } from './job.ts';
import { OwnShare } from './own-share.ts';
import { Shards } from './shards.ts';
import { type ShareSink, shareSink } from './share-sink.ts';

/** What the pool hands to one worker. */
export interface Task {
  readonly job: Job;
  readonly worker: number;
  readonly control: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** Packets read between two messages. */
const PACKETS = 4096;
/**
 * Packets judged by hand by which one may be ahead of another: what that one has to catch up with
 * when the run is interrupted.
 */
const MOST_AHEAD = 2048;
/** A mark that whoever has not begun has come to. */
const NOWHERE = { batches: -1, byHand: 0 };

/** Judge one share. Never rejects: what went wrong is an outcome. */
export async function judgeShare({ job, worker, control, port }: Task): Promise<ShareOutcome> {
  try {
    const shared = new Control(job.workers, control);
    const result = await new ShareRun(job, worker, shared, port).run();
    return { ok: true, result };
  } catch (error) {
    return failureOf(error);
  } finally {
    port.close();
  }
}

function failureOf(error: unknown): ShareOutcome {
  if (error instanceof UserError) {
    const { fault, diagnostics, message } = error;
    return { ok: false, fault, diagnostics, message };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { ok: false, fault: 'internal', diagnostics: [], message };
}

class ShareRun {
  readonly #job: Job;
  readonly #worker: number;
  readonly #control: Control;
  readonly #port: MessagePort;
  readonly #worlds: readonly World[];
  readonly #share: OwnShare;
  readonly #sink: ShareSink;
  readonly #stream: CaptureStream;
  #batches = 0;
  /** After so many batches so many packets were judged by hand: the last that others must do. */
  readonly #marks: { readonly batches: number; readonly byHand: number }[] = [NOWHERE];
  #sent = 0;
  #lastRead = 0;
  #packetsRead = 0;
  /** Of these, as many as were told with the last message. */
  #packetsTold = 0;
  /** Whether rows of frames that were read have not come yet. */
  #rowsWait = false;

  constructor(job: Job, worker: number, control: Control, port: MessagePort) {
    this.#job = job;
    this.#worker = worker;
    this.#control = control;
    this.#port = port;
    const { cluster, policies, seed, traffic, clientsHidden } = job;
    const { make } = chooseEngine(job.engine, job.maxConnections ?? undefined);
    this.#worlds = job.stacks.map(
      (stack) => new World({ cluster, policies, stack, seed, makeEngine: make }),
    );
    const [world] = this.#worlds;
    if (world === undefined) throw new RangeError('a run has a stack');
    const { fragmented } = traffic;
    const { addresses } = world;
    const shards = new Shards({ cluster, addresses, fragmented, clientsHidden });
    this.#share = new OwnShare(shards, job.owners, worker);
    this.#sink = shareSink(job.rows, this.#worlds, this.#share, () => this.#givenBack());
    this.#stream = openStream(job.capture);
  }

  async run(): Promise<ShareResult> {
    const [world] = this.#worlds;
    if (world === undefined) throw new RangeError('a run has a stack');
    const share = this.#share;
    const { annotated, comparison, sinks } = this.#sink;
    this.#control.reached(this.#worker, 0);
    const walker = findWalker(this.#job.batch);
    const output = await replay({
      records: this.#records(walker),
      ...(walker === null ? {} : { walker }),
      index: this.#job.index,
      traffic: trafficOf(this.#job.traffic, world),
      stacks: this.#worlds.flatMap((one, i) => {
        const sink = sinks[i];
        return sink === undefined ? [] : [{ world: one, sink }];
      }),
      options: { openLoop: this.#job.openLoop },
      share,
      ...(annotated ? { onFrame: (captured, record) => annotated.frame(captured, record) } : {}),
      onClosed: (conversation, place) => comparison?.closed(conversation, place),
      betweenBatches: async (state) => this.#betweenBatches(state),
      shouldStop: () => this.#control.shouldStop(this.#worker, this.#batches),
    });
    this.#control.finish(this.#worker);
    this.#check();
    this.#send(true);
    const { backwardSteps, longGaps } = output.clock;
    return {
      parts: output.parts,
      comparison: comparison?.part() ?? null,
      top: this.#sink.top.kept(),
      clock: { backwardSteps, longGaps },
      inputs: this.#stream.summaries,
      frames: output.frames,
      connections: share.closed,
      interrupted: output.interrupted,
      orderedPackets: share.orderedPackets,
      orderedConnections: share.orderedConnections,
      tableFull: tableFull(this.#worlds.map(({ engine }) => engine)),
    };
  }

  async *#records(walker: LaneWalker | null) {
    const stream = this.#stream;
    for await (const part of walker === null ? stream : stream.parts(walker)) {
      const isSlab = 'window' in part;
      const count = isSlab ? part.count : part.length;
      const last = isSlab ? frameAt(part, count - 1) : part.at(-1)?.frame;
      this.#lastRead = last ?? this.#lastRead;
      this.#packetsRead += count;
      yield part;
    }
  }

  #betweenBatches({ rowsWait, byHand }: BatchState): void {
    this.#batches++;
    this.#control.reached(this.#worker, this.#batches);
    this.#rowsWait = rowsWait;
    if (this.#packetsRead - this.#packetsTold >= PACKETS) {
      this.#packetsTold = this.#packetsRead;
      this.#check();
      this.#send(false);
    }
    this.#mark(byHand);
    // Rows that wait for others of this worker come only when it goes on.
    if (rowsWait) return;
    this.#control.awaitJoiner(this.#worker, this.#sent);
    const [mark] = this.#marks;
    if (mark !== undefined) this.#control.awaitOthers(mark.batches);
  }

  /** Note where this is; of earlier marks the first is the last that others must have come to. */
  #mark(byHand: number): void {
    const marks = this.#marks;
    const last = marks.at(-1)?.byHand ?? 0;
    if (byHand > last) marks.push({ batches: this.#batches, byHand });
    while ((marks[1]?.byHand ?? Number.POSITIVE_INFINITY) <= byHand - MOST_AHEAD) marks.shift();
  }

  /** Memory of rows that were written. */
  #givenBack(): ArrayBuffer | null {
    const given = receiveMessageOnPort(this.#port);
    return given?.message instanceof ArrayBuffer ? given.message : null;
  }

  #check(): void {
    for (const { engine } of this.#worlds) this.#share.checkHosts(engine, this.#job.workers);
  }

  #send(isLast: boolean): void {
    const taken = this.#sink.take();
    const end = Number.POSITIVE_INFINITY;
    const through = this.#rowsWait ? this.#sink.lastFrame : this.#lastRead;
    const progress: Progress = {
      ...taken,
      framesThrough: isLast ? end : through,
      closedBelow: isLast ? end : this.#share.closed,
      bytesRead: this.#stream.bytesRead,
      packetsRead: this.#packetsRead,
      isLast,
    };
    const moved = taken.rows.flatMap((chunk) =>
      chunk === null ? [] : [chunk.bytes.buffer as ArrayBuffer],
    );
    this.#port.postMessage(progress, moved);
    this.#sent++;
  }
}

function openStream(job: CaptureJob): CaptureStream {
  const { paths, filter, since, until, count, offsetsNs } = job;
  return openCaptures(paths, {
    // Who leads the run digests each file once.
    digest: false,
    ...(filter === null ? {} : { filter: parseFilter(filter) }),
    ...(since === null ? {} : { since }),
    ...(until === null ? {} : { until }),
    ...(count === null ? {} : { count }),
    clockOffsetsNs: offsetsNs,
  });
}

function trafficOf(job: TrafficJob, world: World): TrafficOptions {
  return {
    identities: world.identities,
    map: new AddressMap(job.map),
    checksums: job.checksums,
    survey: new ChecksumSurvey(job.senders),
    translations: { all: () => job.translations },
    midstream: job.midstream,
    listed: new ListedOpeners(world.network.nodes),
    vantages: new Vantages(job.vantages),
    entryIsGiven: false,
  };
}
