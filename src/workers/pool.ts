/**
 * A run shared out: workers judge, and what they settle is joined here in the order in which one
 * alone would have written it (SEMANTICS B; property P1).
 *
 * A worker that fails or dies ends the run with its cause: a part of the results is never passed
 * off as the whole.
 * @module
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { InternalError, UserError } from '../diagnostic/diagnostic.ts';
import type { Difference } from '../lab/compare/compare.ts';
import type { AnnotatedPacket } from '../report/annotated-capture.ts';
import type { RowText } from '../report/text/row-text.ts';
import { Control } from './control.ts';
import type { Job, Progress, RowChunk, ShareOutcome, ShareResult } from './job.ts';
import { OrderedMerge } from './ordered-merge.ts';
import { RowMerge, type RowMergeOptions } from './row-merge.ts';
import type { Task } from './worker.ts';

/** Where joined rows go. */
export interface PoolSinks {
  /** One of each output; rows are of frames or of connections, as the output wants them. */
  readonly rows: readonly ({ readonly of: RowText['of'] } & RowMergeOptions)[];
  readonly packet: (packet: AnnotatedPacket) => void;
  readonly difference: (difference: Difference) => void;
  /** Awaited after each message: output that must not pile up. */
  readonly flush: () => Promise<void>;
  /** Told how far the slowest worker has read. */
  readonly progress: (read: { readonly bytes: number; readonly packets: number }) => void;
}

/** Asked now and then: whether the run is to end early. */
export type IsInterrupted = () => boolean;

const MODULE = new URL('./worker.js', import.meta.url).href;
const POLL_MS = 50;

export interface PoolOptions {
  readonly isInterrupted?: IsInterrupted;
  /** The module whose `judgeShare` is run, for tests of what happens when it fails. */
  readonly module?: string;
}

/**
 * Run all shares; null when the run was interrupted before all workers had begun: nothing was
 * written then.
 *
 * @throws UserError or InternalError of the first worker that failed
 */
export async function runShares(
  job: Job,
  sinks: PoolSinks,
  { isInterrupted = () => false, module = MODULE }: PoolOptions = {},
): Promise<readonly ShareResult[] | null> {
  // Loaded by runs that have workers.
  const { Piscina } = await import('piscina');
  const control = new Control(job.workers);
  const pool = new Piscina<Task, ShareOutcome>({
    filename: module,
    minThreads: job.workers,
    maxThreads: job.workers,
    concurrentTasksPerWorker: 1,
    // Workers sleep only between runs, and there is one run.
    atomics: 'disabled',
  });
  const joiner = new Joiner(job.workers, sinks, control);
  let abandon = () => {};
  const abandoned = new Promise<null>((resolve) => {
    abandon = () => resolve(null);
  });
  const watch = setInterval(() => {
    if (!isInterrupted()) return;
    if (!control.haveAllBegun) return abandon();
    control.freeze();
    control.goOn();
  }, POLL_MS);
  try {
    const shares = Array.from({ length: job.workers }, async (_, worker) => {
      const { port1, port2 } = new MessageChannel();
      joiner.listen(worker, port1);
      const task = { job, worker, control: control.memory, port: port2 };
      return settle(worker, () => pool.run(task, { name: 'judgeShare', transferList: [port2] }));
    });
    // Whatever fails first ends the run; the joiner ends when all shares are in.
    const judged = Promise.all([Promise.all(shares), joiner.end()]).then(([results]) => results);
    return await Promise.race([judged, abandoned]);
  } finally {
    clearInterval(watch);
    joiner.close();
    await pool.destroy();
  }
}

/** The result of a share, or what ended it. */
async function settle(worker: number, run: () => Promise<ShareOutcome>): Promise<ShareResult> {
  let outcome: ShareOutcome;
  try {
    outcome = await run();
  } catch (cause) {
    throw died(worker, cause);
  }
  if (outcome.ok) return outcome.result;
  if (outcome.fault === 'internal') throw new InternalError(outcome.message);
  throw new UserError(outcome.diagnostics, outcome.fault);
}

/** A worker that is gone: it ran out of memory, or something ended it. */
function died(worker: number, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  const isMemory = cause instanceof Error && 'code' in cause && /MEMORY/.test(String(cause.code));
  const message = `worker ${worker} ended before its work was done: ${why}`;
  if (!isMemory) return new InternalError(message);
  const accepted = 'fewer --workers, or node --max-old-space-size';
  return new UserError([{ code: 'WORKER_MEMORY', message, accepted }], 'environment', cause);
}

/** Joins what workers send, message by message. */
class Joiner {
  readonly #sinks: PoolSinks;
  readonly #control: Control;
  readonly #rows: readonly RowMerge[];
  readonly #packets: OrderedMerge<AnnotatedPacket>;
  readonly #differences: OrderedMerge<Difference>;
  readonly #ports: MessagePort[] = [];
  readonly #read: { bytes: number; packets: number }[];
  readonly #waiting: (readonly [number, Progress])[] = [];
  #wake: (() => void) | null = null;
  #isClosed = false;
  #unfinished: number;
  /** Of each worker's messages whose rows are not all written: up to which frame they go. */
  readonly #unwritten: number[][];
  readonly #through: number[];

  constructor(workers: number, sinks: PoolSinks, control: Control) {
    this.#sinks = sinks;
    this.#control = control;
    this.#rows = sinks.rows.map(
      (options) => new RowMerge(workers, options, (...chunk) => this.#giveBack(...chunk)),
    );
    this.#packets = new OrderedMerge(workers, sinks.packet);
    this.#differences = new OrderedMerge(workers, sinks.difference);
    this.#read = Array.from({ length: workers }, () => ({ bytes: 0, packets: 0 }));
    this.#unfinished = workers;
    this.#unwritten = Array.from({ length: workers }, () => []);
    this.#through = Array.from({ length: workers }, () => 0);
  }

  listen(worker: number, port: MessagePort): void {
    this.#ports.push(port);
    port.on('message', (message: Progress) => {
      this.#waiting.push([worker, message]);
      this.#wake?.();
    });
  }

  /** Resolves when all workers' last messages are joined; never when one fails to send it. */
  async end(): Promise<void> {
    while (this.#unfinished > 0 && !this.#isClosed) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      this.#join(...next);
      await this.#sinks.flush();
    }
  }

  /** Listen no more. */
  close(): void {
    this.#isClosed = true;
    this.#wake?.();
    for (const port of this.#ports) port.close();
  }

  /** The worker writes its next rows where those of this chunk were. */
  #giveBack(worker: number, { bytes: { buffer } }: RowChunk): void {
    if (buffer instanceof ArrayBuffer) this.#ports[worker]?.postMessage(buffer, [buffer]);
  }

  #join(worker: number, message: Progress): void {
    const { framesThrough, closedBelow, bytesRead, packetsRead } = message;
    message.rows.forEach((chunk, i) => {
      if (chunk === null) return;
      const through = this.#sinks.rows[i]?.of === 'frames' ? framesThrough : closedBelow - 1;
      this.#rows[i]?.push(worker, chunk, through);
    });
    const packets = message.packets.map((packet) => [packet.frame, packet] as const);
    this.#packets.push(worker, packets, framesThrough);
    this.#differences.push(worker, message.differences, closedBelow - 1);
    this.#acknowledge(worker, framesThrough);
    this.#read[worker] = { bytes: bytesRead, packets: packetsRead };
    if (message.isLast) this.#unfinished--;
    const slowest = this.#read.reduce((a, b) => (a.packets <= b.packets ? a : b));
    this.#sinks.progress(slowest);
  }

  /** Tell workers which of their messages are written, so that they may go on. */
  #acknowledge(worker: number, framesThrough: number): void {
    this.#unwritten[worker]?.push(framesThrough);
    this.#through[worker] = framesThrough;
    const written = Math.min(...this.#through);
    this.#unwritten.forEach((messages, of) => {
      while ((messages[0] ?? Number.POSITIVE_INFINITY) <= written && messages.length > 0) {
        messages.shift();
        this.#control.joined(of);
      }
    });
  }
}
