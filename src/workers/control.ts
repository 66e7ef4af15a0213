/**
 * One block of memory that all threads of a run share: how far each has come, and when to stop.
 *
 * All workers read the same batches. When the run is interrupted each waits before its next batch,
 * until everybody has said how far they are; then all go on to where the furthest is, so that what
 * was judged is one beginning of the capture.
 *
 * Who is far ahead waits too, so that rows do not pile up in the memory of whoever joins them, and
 * so that the others have not much to catch up with when the run is interrupted.
 * @module
 */
const STATE = 0;
const STOP_AT = 1;
const HEAD = 2;
/** Words of each worker: batches done plus one when it waits, messages taken by the joiner, … */
const WORDS = 3;
const JOINED = 1;
/** … and batches done plus one as it goes on, 0 while it has not begun. */
const REACHED = 2;

const RUN = 0;
const FREEZE = 1;
const GO_ON = 2;

const FINISHED = 0x7fffffff;
/** Messages that may wait to be joined. */
const MOST_WAITING = 8;
const POLL_MS = 20;

export class Control {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #workers: number;

  constructor(workers: number, memory = new SharedArrayBuffer(4 * (HEAD + WORDS * workers))) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    this.#workers = workers;
  }

  /** In a worker, between batches: whether to stop after so many. */
  shouldStop(worker: number, batches: number): boolean {
    const words = this.#words;
    if (Atomics.load(words, STATE) === FREEZE) {
      Atomics.store(words, HEAD + WORDS * worker, batches + 1);
      Atomics.wait(words, STATE, FREEZE);
    }
    return Atomics.load(words, STATE) === GO_ON && batches >= Atomics.load(words, STOP_AT);
  }

  /** In a worker: it will ask no more. */
  finish(worker: number): void {
    Atomics.store(this.#words, HEAD + WORDS * worker, FINISHED);
    this.#go(worker, FINISHED);
  }

  /** In a worker: it is about to begin, or has done so many batches. */
  reached(worker: number, batches: number): void {
    this.#go(worker, batches + 1);
  }

  #go(worker: number, at: number): void {
    const word = HEAD + WORDS * worker + REACHED;
    Atomics.store(this.#words, word, at);
    Atomics.notify(this.#words, word);
  }

  /** In a worker: wait until all others have done so many batches. */
  awaitOthers(batches: number): void {
    const words = this.#words;
    for (let other = 0; other < this.#workers; other++) {
      const word = HEAD + WORDS * other + REACHED;
      for (;;) {
        const at = Atomics.load(words, word);
        if (at > batches || Atomics.load(words, STATE) !== RUN) break;
        Atomics.wait(words, word, at, POLL_MS);
      }
    }
  }

  /** Where the run is led: whether all have begun, and so may have sent something. */
  get haveAllBegun(): boolean {
    for (let worker = 0; worker < this.#workers; worker++) {
      if (Atomics.load(this.#words, HEAD + WORDS * worker + REACHED) === 0) return false;
    }
    return true;
  }

  /** In a worker: wait while more messages than a few are not joined yet. */
  awaitJoiner(worker: number, sent: number): void {
    const at = HEAD + WORDS * worker + JOINED;
    for (;;) {
      const taken = Atomics.load(this.#words, at);
      const isStopping = Atomics.load(this.#words, STATE) !== RUN;
      if (sent - taken <= MOST_WAITING || isStopping) return;
      Atomics.wait(this.#words, at, taken, POLL_MS);
    }
  }

  /** Where rows are joined: one more message of this worker has been written. */
  joined(worker: number): void {
    const at = HEAD + WORDS * worker + JOINED;
    Atomics.add(this.#words, at, 1);
    Atomics.notify(this.#words, at);
  }

  /** Where the run is led: ask everybody to wait. */
  freeze(): void {
    Atomics.compareExchange(this.#words, STATE, RUN, FREEZE);
  }

  /** Once all wait or are done, let them go on to where the furthest is; false before. */
  goOn(): boolean {
    const words = this.#words;
    if (Atomics.load(words, STATE) !== FREEZE) return true;
    let furthest = 0;
    for (let worker = 0; worker < this.#workers; worker++) {
      const at = Atomics.load(words, HEAD + WORDS * worker);
      if (at === 0) return false;
      furthest = Math.max(furthest, at === FINISHED ? FINISHED : at - 1);
    }
    Atomics.store(words, STOP_AT, furthest);
    Atomics.store(words, STATE, GO_ON);
    Atomics.notify(words, STATE);
    return true;
  }
}
