/**
 * Where a written capture goes: a file, standard output, any stream; gzip when the name ends so.
 *
 * Bytes are gathered into blocks; `write` resolves late only when the stream asks to wait, so the
 * writer's memory does not grow with the capture.
 * @module
 */
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { UserError } from '../../diagnostic/diagnostic.ts';

const BLOCK_BYTES = 64 * 1024;

export class ByteSink {
  readonly #path: string;
  /** What bytes are handed to, and what reports the file closed; the same without compression. */
  readonly #head: Writable;
  readonly #tail: Writable;
  #block = new Uint8Array(BLOCK_BYTES);
  #used = 0;
  #failure: Error | null = null;

  /** @param path for messages; `.gz` at its end compresses */
  constructor(path: string, target: Writable) {
    this.#path = path;
    this.#tail = target;
    this.#head = path.endsWith('.gz') ? createGzip() : target;
    for (const stream of new Set([this.#head, target])) {
      stream.on('error', (error: Error) => {
        this.#failure ??= error;
      });
    }
    if (this.#head !== target) this.#head.pipe(target);
  }

  /**
   * Take bytes (they are copied). Null when the next may come at once; else what to wait for, which
   * rejects with a UserError when the target can not take more.
   */
  write(bytes: Uint8Array): Promise<void> | null {
    if (bytes.length <= BLOCK_BYTES - this.#used) {
      this.#block.set(bytes, this.#used);
      this.#used += bytes.length;
      return null;
    }
    return this.#spill(bytes);
  }

  async #spill(bytes: Uint8Array): Promise<void> {
    await this.#flush();
    if (bytes.length <= BLOCK_BYTES) {
      this.#block.set(bytes, 0);
      this.#used = bytes.length;
    } else {
      await this.#send(bytes.slice());
    }
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    const block = this.#block.subarray(0, this.#used);
    this.#block = new Uint8Array(BLOCK_BYTES);
    this.#used = 0;
    await this.#send(block);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    this.#check();
    const written = new Promise<void>((resolve) => this.#head.write(bytes, () => resolve()));
    if (this.#head.writableNeedDrain) await written;
    this.#check();
  }

  #check(): void {
    if (this.#failure === null) return;
    const message = `can not be written: ${this.#failure.message}`;
    const mistake = { code: 'CAPTURE_UNWRITABLE', file: this.#path, message };
    throw new UserError([mistake], 'environment', this.#failure);
  }

  /** Write what is left and wait until the target has it all. */
  async close(): Promise<void> {
    await this.#flush();
    this.#head.end();
    await finished(this.#tail).catch((error: Error) => {
      this.#failure ??= error;
    });
    this.#check();
  }
}

/** Open a file for writing, replacing it; `-` is `stdout`. */
export function openSink(path: string, stdout: () => Writable = () => process.stdout): ByteSink {
  return new ByteSink(path, path === '-' ? stdout() : createWriteStream(path));
}
