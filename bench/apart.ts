/**
 * One trial by several threads at once, each with an engine of its own and its part of the pairs,
 * against one thread with all of them, in turns: what more cores make of what one does, where
 * nobody waits for anybody and no file is read.
 * @module
 */
import { readFileSync } from 'node:fs';
import { type MessagePort, Worker } from 'node:worker_threads';
import type { CompiledRun, Measured, Sample } from '../src/lab/bench/measure.ts';

/** Rounds of a turn: the kernel tells a thread's time in steps of some milliseconds. */
export const ROUNDS = 8;

/** Which part of the pairs a thread has: those whose number is `index` modulo `of`. */
export interface Share {
  readonly index: number;
  readonly of: number;
}

/** Nanoseconds of this thread on a processor (Documentation/scheduler/sched-stats.rst). */
export function threadClock(): bigint {
  return BigInt(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0] ?? 0);
}

/** Be one of the threads: the first turn fills the tables. */
export function serveTurns(port: MessagePort, run: CompiledRun): void {
  port.on('message', (what: 'turn' | 'end') => {
    if (what === 'end') {
      port.postMessage(run.end());
      port.close();
      return;
    }
    const began = threadClock();
    for (let round = 0; round < ROUNDS; round++) run.round();
    port.postMessage(Number(threadClock() - began));
  });
  port.postMessage('ready');
}

/** Of one turn: the processor time of the busiest thread, and how long all took. */
interface Turn {
  readonly cpuNs: number;
  readonly wallNs: number;
}

class Threads {
  readonly #workers: readonly Worker[];
  /** All of them have opened their connections. */
  readonly ready: Promise<unknown>;

  constructor(script: string, argv: readonly string[], of: number) {
    this.#workers = Array.from({ length: of }, (_, index) => {
      const workerData: Share = { index, of };
      return new Worker(script, { argv: [...argv], workerData });
    });
    this.ready = Promise.all(this.#workers.map(answerOf));
  }

  async turn(): Promise<Turn> {
    const began = process.hrtime.bigint();
    const times = (await this.#ask('turn')) as number[];
    return { cpuNs: Math.max(...times), wallNs: Number(process.hrtime.bigint() - began) };
  }

  async end(): Promise<readonly Measured[]> {
    return (await this.#ask('end')) as Measured[];
  }

  #ask(what: 'turn' | 'end'): Promise<unknown[]> {
    const answers = Promise.all(this.#workers.map(answerOf));
    for (const worker of this.#workers) worker.postMessage(what);
    return answers;
  }
}

/** What it says next. @throws what the thread threw */
function answerOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

export interface Apart {
  readonly measured: Measured;
  readonly base: Measured;
  /** Of each turn: how many times as fast, by the busiest thread and by the clock on the wall. */
  readonly cpu: readonly number[];
  readonly wall: readonly number[];
}

/**
 * @param script what makes a thread: it serves turns by its `Share`
 * @param packets of one round, of all threads together
 */
export async function measureApart(
  script: string,
  argv: readonly string[],
  { of, turns, packets }: { readonly of: number; readonly turns: number; readonly packets: number },
): Promise<Apart> {
  const sides = [new Threads(script, argv, 1), new Threads(script, argv, of)] as const;
  const taken: [Turn[], Turn[]] = [[], []];
  for (const side of sides) await side.ready;
  for (let turn = 0; turn <= turns; turn++) {
    for (const i of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const took = await sides[i].turn();
      if (turn > 0) taken[i].push(took);
    }
  }
  const [one, several] = taken;
  const ratios = (by: keyof Turn) => one.map((turn, i) => turn[by] / (several[i]?.[by] ?? 0));
  const samples = (side: readonly Turn[]): Sample[] =>
    side.map(({ cpuNs }) => ({ packets: packets * ROUNDS, ns: cpuNs }));
  const [[base], [first]] = [await sides[0].end(), await sides[1].end()];
  if (base === undefined || first === undefined) throw new RangeError('each side has a thread');
  return {
    measured: { ...first, samples: samples(several) },
    base: { ...base, samples: samples(one) },
    cpu: ratios('cpuNs'),
    wall: ratios('wallNs'),
  };
}
