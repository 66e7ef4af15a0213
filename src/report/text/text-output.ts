/**
 * A place that text is written to: standard output or a file, synchronous, so that nothing piles
 * up in memory however long the capture is.
 * @module
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { UserError } from '../../diagnostic/diagnostic.ts';
import { ByteText } from './byte-text.ts';

/** Text collected before a write call is made. */
const FLUSH_AT = 64 * 1024;
/** How long a full non-blocking pipe is left alone before the next try. */
const RETRY_MS = 5;

export interface TextOutput {
  write(text: string): void;
  /** Text that is UTF-8 already. */
  writeBytes(bytes: Uint8Array): void;
  /** For who puts text together, and says so by `added`. */
  readonly text: ByteText;
  added(): void;
  close(): void;
}

/** The reader of our output went away (`| head`): not a fault, the run just ends. */
export class OutputClosed extends Error {
  constructor() {
    super('the reader of the output is gone');
    this.name = 'OutputClosed';
  }
}

class DescriptorOutput implements TextOutput {
  readonly #name: string;
  readonly #fd: number;
  readonly #isOwn: boolean;
  readonly text = new ByteText();

  constructor(name: string, fd: number, isOwn: boolean) {
    this.#name = name;
    this.#fd = fd;
    this.#isOwn = isOwn;
  }

  write(text: string): void {
    this.text.text(text);
    this.added();
  }

  writeBytes(bytes: Uint8Array): void {
    this.text.copy(bytes);
    this.added();
  }

  added(): void {
    if (this.text.size >= FLUSH_AT) this.#flush();
  }

  close(): void {
    this.#flush();
    if (this.#isOwn) closeSync(this.#fd);
  }

  #flush(): void {
    const { bytes } = this.text;
    for (let at = 0; at < bytes.length; ) at += this.#writeSome(bytes, at);
    this.text.clear();
  }

  /** Standard output may be a non-blocking pipe: full means wait, gone means stop. */
  #writeSome(bytes: Uint8Array, at: number): number {
    try {
      return writeSync(this.#fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (code === 'EPIPE') throw new OutputClosed();
      if (code !== 'EAGAIN') throw unwritable(this.#name, error);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      return 0;
    }
  }
}

/** Standard output. */
export function standardOutput(): TextOutput {
  return new DescriptorOutput('standard output', 1, false);
}

/** A file, made or emptied. */
export function fileOutput(path: string): TextOutput {
  try {
    return new DescriptorOutput(path, openSync(path, 'w'), true);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** A full disk, a missing folder, a file that is not ours: the environment's fault (exit 4). */
function unwritable(name: string, cause: unknown): UserError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const mistake = { code: 'OUTPUT_UNWRITABLE', message: `can not write: ${why}`, found: name };
  return new UserError([mistake], 'environment', cause);
}
