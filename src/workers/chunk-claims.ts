/**
 * Which chunks of a capture are looked at by whom, in memory that the threads of a first pass
 * share: each claims the next one when it comes to where it could begin.
 * @module
 */

const NEXT = 0;
const CHUNKS = 1;
const GIVEN_UP = 2;
const WORDS = 3;

export class ChunkClaims {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(4 * WORDS)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** Claim the next chunk: a later one than ever before, whoever claimed that. */
  claim(): number {
    return Atomics.add(this.#words, NEXT, 1);
  }

  /** The capture has so many chunks; said by who has read it to its end. */
  end(chunks: number): void {
    Atomics.store(this.#words, CHUNKS, chunks);
  }

  /** Whether a chunk is known not to be there. */
  isBeyond(chunk: number): boolean {
    const chunks = Atomics.load(this.#words, CHUNKS);
    return chunks > 0 && chunk >= chunks;
  }

  /** What is to be joined is too much: one will look at all of it. */
  giveUp(): void {
    Atomics.store(this.#words, GIVEN_UP, 1);
  }

  get isGivenUp(): boolean {
    return Atomics.load(this.#words, GIVEN_UP) === 1;
  }
}
