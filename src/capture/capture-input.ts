/**
 * One capture file under way: recognise its format, hand out its records, say how it ended.
 * @module
 */
import { type Access, type ByteSource, openBytes } from './format/byte-source.ts';
import type { PacketFormat, UnnumberedRecord } from './format/packet-format.ts';
import { openPcap, PCAP_HEADER_BYTES, pcapMagic } from './format/pcap.ts';
import { isPcapngMagic, PcapngFormat } from './format/pcapng.ts';
import { type CutShort, captureError } from './input-error.ts';
import type { CaptureInterface, InputSummary, ResolvedName } from './record.ts';
import type { RecordWalker, UnnumberedSlab } from './slab.ts';

const MAGIC_BYTES = 4;
const PCAPNG_HEADER_BYTES = 28;
/** A record that is not whole in a window with more than this is none to wait for. */
const NEARLY_READ = 64 * 1024;

/** What a file that is no capture starts with, for the message. */
const LOOKS_LIKE: readonly (readonly [string, string])[] = [
  ['28b52ffd', 'zstd-compressed data: decompress it first'],
  ['fd377a58', 'xz-compressed data: decompress it first'],
  ['425a68', 'bzip2-compressed data: decompress it first'],
  ['504b0304', 'a zip archive: unpack it first'],
  ['7573746172', 'a tar archive: unpack it first'],
  ['736e6f6f', 'a Solaris snoop capture: convert it with editcap'],
  ['52545353', 'a Network Monitor 1 capture: convert it with editcap'],
  ['474d4255', 'a Network Monitor 2 capture: convert it with editcap'],
  ['58435000', 'a NetXRay capture: convert it with editcap'],
  ['7f454c46', 'an ELF program'],
  ['25504446', 'a PDF document'],
  ['1f8b', 'a gzip stream inside a gzip stream'],
];

export class CaptureInput {
  readonly path: string;
  readonly #source: ByteSource;
  readonly #format: PacketFormat | null;
  #cut: CutShort | null;
  #packets = 0;
  /** Where the window was extended last. */
  #extendedAt = -1;
  #done: boolean;

  private constructor(path: string, source: ByteSource, start: PacketFormat | CutShort) {
    this.path = path;
    this.#source = source;
    const cut = 'message' in start ? start : null;
    this.#cut = cut;
    this.#format = 'message' in start ? null : start;
    this.#done = cut !== null;
  }

  /** Open and recognise. Throws a UserError when it can not be read or is no capture. */
  static async open(path: string, access: Access): Promise<CaptureInput> {
    const source = await openBytes(path, access);
    try {
      return new CaptureInput(path, source, await recognise(source, path));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** Whole records, at most `limit`; none only at the end. */
  async next(limit: number): Promise<UnnumberedRecord[]> {
    const out: UnnumberedRecord[] = [];
    const format = this.#format;
    this.#source.lend();
    while (!this.#done && format !== null) {
      const result = format.take(this.#source, out, limit);
      if (result === 'full') break;
      if (result === 'cut') this.#end(format.cut);
      else if (result === 'skip') await this.#skip(format);
      else if (out.length > 0) break;
      else if (!(await this.#source.fill(format.amount))) this.#endOfFile(format);
      this.#source.lend();
    }
    this.#packets += out.length;
    return out;
  }

  /**
   * Ordinary records that are in the window already, at most `limit`, none from `untilNs` on; null
   * when the next record must come from `next`. Frames and interfaces are not numbered yet.
   */
  walk(walker: RecordWalker, limit: number, untilNs: bigint): UnnumberedSlab | null {
    const source = this.#source;
    const format = this.#format;
    if (this.#done || format === null || source.available === 0) return null;
    const { shape } = format;
    const { window, position } = source;
    const { count, next } = walker.walk(window, position, shape, limit, untilNs);
    if (count === 0) return null;
    source.position = next;
    this.#packets += count;
    return { window, count, columns: walker.columns, interfaces: shape.interfaces };
  }

  /**
   * Read on behind a record that may be ordinary but is not wholly in the window; whether there is
   * more to walk. Once a record: what it still is not then, it is not.
   */
  async extend(): Promise<boolean> {
    const source = this.#source;
    const { available, offset } = source;
    if (this.#done || available >= NEARLY_READ || this.#extendedAt === offset) return false;
    this.#extendedAt = offset;
    return source.fill(available + 1);
  }

  async #skip(format: PacketFormat): Promise<void> {
    const { offset } = this.#source;
    if (!(await this.#source.skip(format.amount))) {
      this.#end({ offset, message: this.#ends(format) });
    }
  }

  #endOfFile(format: PacketFormat): void {
    const whole = this.#source.available === 0 && this.#source.failure === null;
    this.#end(whole ? null : { offset: this.#source.offset, message: this.#ends(format) });
  }

  #ends(format: PacketFormat): string {
    return endsEarly(this.#source, format.expected);
  }

  #end(cut: CutShort | null): void {
    this.#cut = cut;
    this.#done = true;
  }

  get interfaces(): readonly CaptureInterface[] {
    return this.#format?.interfaces ?? [];
  }

  get names(): readonly ResolvedName[] {
    return this.#format?.names ?? [];
  }

  get bytes(): number {
    return this.#source.stored.bytes;
  }

  /** Number the interfaces up to the one that `record` came by; see CaptureInterface.id. */
  numberInterfaces({ iface: last }: Pick<UnnumberedRecord, 'iface'>, next: number): number {
    let id = next;
    for (const iface of this.#format?.interfaces ?? []) {
      if (iface.id < 0) iface.id = id++;
      if (iface === last) break;
    }
    return id;
  }

  /**
   * Nobody wants more of it, nor the last `unwanted` records that it gave: what was met behind them
   * does not count. What is stored is read to its end where it is digested.
   */
  async breakOff(unwanted: number): Promise<void> {
    this.#packets -= unwanted;
    this.#done = false;
    this.#cut = null;
    await this.#source.stored.readOut();
  }

  /** To be asked for once, after the last `next`. */
  summary(): InputSummary {
    return {
      path: this.path,
      sha256: this.#source.stored.sha256(),
      packets: this.#packets,
      bytes: this.bytes,
      readToEnd: this.#done,
      truncated: this.#cut,
    };
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}

function endsEarly(source: ByteSource, expected: string): string {
  if (source.failure !== null) return `${source.failure} (expected: ${expected})`;
  return `the file ends after ${source.available} more bytes (expected: ${expected})`;
}

async function recognise(source: ByteSource, path: string): Promise<PacketFormat | CutShort> {
  await source.fill(MAGIC_BYTES);
  const b = source.window;
  if (source.available < MAGIC_BYTES) throw tooShort(source, path);
  const magic = pcapMagic(b);
  if (magic?.kind === 'variant') {
    throw captureError('CAPTURE_VARIANT', path, `${magic.name} is not read`, {
      accepted: 'pcap with microseconds or nanoseconds, pcapng; editcap converts',
    });
  }
  if (magic === null && !isPcapngMagic(b)) throw notACapture(b, path);
  const need = magic === null ? PCAPNG_HEADER_BYTES : PCAP_HEADER_BYTES;
  if (!(await source.fill(need))) {
    return { offset: 0, message: endsEarly(source, `a file header (${need} bytes)`) };
  }
  return magic === null ? new PcapngFormat(path) : openPcap(source, path, magic);
}

function tooShort(source: ByteSource, path: string): Error {
  const found =
    source.failure ?? (source.available === 0 ? 'no bytes at all' : `${source.available} bytes`);
  return captureError('CAPTURE_EMPTY', path, 'is not a capture', {
    found,
    accepted: 'pcap or pcapng, also gzip-compressed',
  });
}

function notACapture(b: Uint8Array, path: string): Error {
  return captureError('CAPTURE_UNKNOWN', path, 'is not a capture', {
    found: looksLike(b),
    accepted: 'pcap or pcapng, also gzip-compressed',
  });
}

function looksLike(b: Uint8Array): string {
  const hex = Buffer.from(b.subarray(0, 8)).toString('hex');
  const known = LOOKS_LIKE.find(([magic]) => hex.startsWith(magic));
  if (known !== undefined) return known[1];
  const head = b.subarray(0, 40);
  const printable = head.every((byte) => (byte >= 0x20 && byte < 0x7f) || isSpace(byte));
  if (printable) {
    return `text: ${JSON.stringify(Buffer.from(head).toString('latin1'))}`;
  }
  return `bytes ${hex.replace(/(..)(?=.)/g, '$1 ')}`;
}

function isSpace(byte: number): boolean {
  return byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/** Whether a file starts as a capture does (gzip counts: what is inside shows when it is read). */
export function startsAsCapture(b: Uint8Array): boolean {
  if (b.length < MAGIC_BYTES) return false;
  return pcapMagic(b) !== null || isPcapngMagic(b) || (b[0] === 0x1f && b[1] === 0x8b);
}
