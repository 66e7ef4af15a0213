/**
 * A capture's bytes, front to back: a window that grows on demand over a file, standard input or
 * what gunzip makes of them.
 *
 * Views into a window that was said to be lent stay what they were; the memory of others serves the
 * chunks that follow. The window holds one chunk, or one record where a record is longer: memory
 * does not grow with the file.
 * @module
 */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { captureError } from '../input-error.ts';
import type { Chunks } from './chunks.ts';
import { gunzipChunks } from './gunzip.ts';

/** How files are opened: what `-` is, and whether what is read is digested. */
export interface Access {
  readonly stdin: () => Readable;
  readonly digest: boolean;
}

/** What has been read of the stored file so far. */
export interface StoredBytes {
  bytes: number;
  /** Hex digest of what was read, '' when there is none; to be asked for once, at the end. */
  sha256(): string;
  /** Read what is left, where it is digested. */
  readOut(): Promise<void>;
}

const CHUNK_BYTES = 512 * 1024;
/** What is left of a window is put in front of the next chunk, where it fits. */
const HEADROOM = 64 * 1024;
/** Buffers of one file at most: the window's, and the one behind it. */
const MOST_SPARE = 2;
const GZIP_MAGIC = [0x1f, 0x8b];
const EMPTY = new Uint8Array(0);

export class ByteSource {
  /** The window: `window[position..]` is unread. */
  window: Uint8Array = EMPTY;
  position = 0;
  readonly stored: StoredBytes;
  /** Why the bytes ended too early, when they did (a damaged gzip, a failing disk). */
  failure: string | null = null;
  readonly compressed: boolean;
  readonly #chunks: Chunks;
  /** Somebody may have views into the window. */
  #isLent = false;
  /** File offset of `window[0]`. */
  #base = 0;

  constructor(chunks: Chunks, stored: StoredBytes, compressed: boolean) {
    this.#chunks = chunks;
    this.stored = stored;
    this.compressed = compressed;
  }

  /** Offset of the next unread byte in the (uncompressed) file. */
  get offset(): number {
    return this.#base + this.position;
  }

  get available(): number {
    return this.window.length - this.position;
  }

  /**
   * Grow the window until `need` bytes are unread.
   *
   * @returns false when the file ends before; what there is stays in the window.
   */
  async fill(need: number): Promise<boolean> {
    if (this.available >= need) return true;
    const rest = this.window.subarray(this.position);
    const parts: Uint8Array[] = [];
    let have = rest.length;
    while (have < need) {
      const chunk = await this.#next();
      if (chunk === null) break;
      parts.push(chunk);
      have += chunk.length;
    }
    if (parts.length === 0) return have >= need;
    this.#base += this.position;
    this.#show(this.#joined(rest, parts, have));
    return have >= need;
  }

  /** Views into the window are handed out: its memory is theirs. */
  lend(): void {
    this.#isLent = true;
  }

  #show(window: Uint8Array): void {
    const before = this.window;
    if (!this.#isLent && before.buffer !== window.buffer) this.#chunks.reuse?.(before);
    this.#isLent = false;
    this.window = window;
    this.position = 0;
  }

  #joined(rest: Uint8Array, parts: readonly Uint8Array[], length: number): Uint8Array {
    const [first] = parts;
    if (first === undefined || parts.length > 1) return concat([rest, ...parts], length);
    if (rest.length === 0) return first;
    if (rest.length > (this.#chunks.headroom ?? 0)) return concat([rest, first], length);
    const from = first.byteOffset - rest.length;
    const joined = new Uint8Array(first.buffer as ArrayBuffer, from, length);
    joined.set(rest);
    return joined;
  }

  /** Pass over `count` bytes without holding them. @returns false when the file ends before. */
  async skip(count: number): Promise<boolean> {
    let left = count;
    while (left > this.available) {
      left -= this.available;
      this.#base += this.window.length;
      const chunk = await this.#next();
      this.#show(chunk ?? EMPTY);
      if (chunk === null) return false;
    }
    this.position += left;
    return true;
  }

  async #next(): Promise<Uint8Array | null> {
    if (this.failure !== null) return null;
    try {
      return await this.#chunks.next();
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      return null;
    }
  }

  close(): Promise<void> {
    return this.#chunks.close();
  }
}

/**
 * Open a capture's bytes; gzip is recognised by its magic, whatever the name.
 *
 * @param path a file, or `-` for standard input
 * Throws a UserError when the file can not be opened or read at all.
 */
export async function openBytes(path: string, access: Access): Promise<ByteSource> {
  const digest = access.digest ? createHash('sha256') : null;
  const stored: StoredBytes = {
    bytes: 0,
    sha256: () => digest?.digest('hex') ?? '',
    readOut: async () => {
      if (digest === null) return;
      for (let chunk = await counted.next(); chunk !== null; chunk = await counted.next()) {
        counted.reuse?.(chunk);
      }
    },
  };
  const raw = path === '-' ? streamChunks(access.stdin()) : await fileChunks(path);
  const counted: Chunks = {
    next: async () => {
      const chunk = await raw.next();
      if (chunk !== null) {
        stored.bytes += chunk.length;
        digest?.update(chunk);
      }
      return chunk;
    },
    close: () => raw.close(),
    headroom: raw.headroom ?? 0,
    reuse: (chunk) => raw.reuse?.(chunk),
  };
  const plain = new ByteSource(counted, stored, false);
  await plain.fill(GZIP_MAGIC.length);
  if (plain.failure !== null) {
    await plain.close();
    throw captureError('CAPTURE_UNREADABLE', path, `can not be read: ${plain.failure}`);
  }
  if (!GZIP_MAGIC.every((byte, i) => plain.window[i] === byte)) return plain;
  return new ByteSource(gunzipChunks(unread(plain, counted)), stored, true);
}

/** The chunks of a source of which the first bytes have been looked at. */
function unread(source: ByteSource, rest: Chunks): Chunks {
  let first: Uint8Array | null = source.window;
  return {
    next: async () => {
      const chunk = first ?? (await rest.next());
      first = null;
      return chunk;
    },
    close: () => rest.close(),
  };
}

async function fileChunks(path: string): Promise<Chunks> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw captureError('CAPTURE_UNREADABLE', path, `can not be opened: ${why}`, { cause });
  });
  const isRegular = (await file.stat()).isFile();
  const spare: Uint8Array<ArrayBuffer>[] = [];
  const next = isRegular ? fromFile(file) : fromPipe(file);
  return {
    headroom: HEADROOM,
    next: async () => {
      const buffer = spare.pop() ?? plainView(Buffer.allocUnsafeSlow(HEADROOM + CHUNK_BYTES));
      return next(buffer);
    },
    reuse: ({ buffer }) => {
      const isWhole = buffer.byteLength === HEADROOM + CHUNK_BYTES;
      if (isWhole && spare.length < MOST_SPARE) spare.push(new Uint8Array(buffer as ArrayBuffer));
    },
    close: () => file.close(),
  };
}

/** Reads on into a buffer behind its headroom; null at the end. */
type ReadOn = (buffer: Uint8Array<ArrayBuffer>) => Promise<Uint8Array | null>;

/**
 * At once: the kernel reads ahead by itself, and to have another thread copy what it has read costs
 * twice as much as to copy it.
 */
function fromFile({ fd }: FileHandle): ReadOn {
  return async (buffer) => {
    const length = readSync(fd, buffer, HEADROOM, CHUNK_BYTES, null);
    return length === 0 ? null : buffer.subarray(HEADROOM, HEADROOM + length);
  };
}

/** Of a pipe somebody has to wait: not the thread that signals come to. */
function fromPipe(file: FileHandle): ReadOn {
  return async (buffer) => {
    const { bytesRead } = await file.read(buffer, HEADROOM, CHUNK_BYTES, null);
    return bytesRead === 0 ? null : buffer.subarray(HEADROOM, HEADROOM + bytesRead);
  };
}

function streamChunks(stream: Readable): Chunks {
  const iterator = stream[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await iterator.next();
      return done === true ? null : plainView(value as Buffer);
    },
    close: async () => {
      await iterator.return?.();
    },
  };
}

/** A plain Uint8Array over a Buffer's bytes: its `subarray` is several times cheaper. */
function plainView({ buffer, byteOffset, length }: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
}

function concat(parts: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length);
  let off = 0;
  for (const part of parts) {
    out.set(part, off);
    off += part.length;
  }
  return out;
}
