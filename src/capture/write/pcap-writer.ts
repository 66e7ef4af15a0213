/**
 * Write a classic capture file with nanoseconds (draft-ietf-opsawg-pcap), little-endian.
 *
 * One link type a file, no comments, no names: what older tools read. For more: pcapng-writer.ts.
 * @module
 */
import { assert } from '../../diagnostic/diagnostic.ts';
import type { PacketRecord } from '../record.ts';
import type { ByteSink } from './byte-sink.ts';

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const NS_PER_SECOND = 1_000_000_000n;

export interface PcapOptions {
  readonly linkType: number;
  readonly snapLength?: number;
  /** Default nanoseconds; microseconds cut the rest off. */
  readonly resolution?: 'nanoseconds' | 'microseconds';
}

export class PcapWriter {
  readonly #sink: ByteSink;
  readonly #header = new Uint8Array(RECORD_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  readonly #unitNs: number;

  private constructor(sink: ByteSink, unitNs: number) {
    this.#sink = sink;
    this.#unitNs = unitNs;
  }

  static async create(sink: ByteSink, options: PcapOptions): Promise<PcapWriter> {
    const nano = (options.resolution ?? 'nanoseconds') === 'nanoseconds';
    const view = new DataView(new ArrayBuffer(HEADER_BYTES));
    view.setUint32(0, nano ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
    view.setUint16(4, 2, true);
    view.setUint16(6, 4, true);
    view.setUint32(16, options.snapLength ?? 262_144, true);
    view.setUint32(20, options.linkType, true);
    await sink.write(new Uint8Array(view.buffer));
    return new PcapWriter(sink, nano ? 1 : 1000);
  }

  /** Precondition: the time lies between 1970 and 2106, what the format can say. */
  async write(record: Pick<PacketRecord, 'timeNs' | 'data' | 'wireLength'>): Promise<void> {
    const second = record.timeNs / NS_PER_SECOND;
    assert(second >= 0n && second < 1n << 32n, 'a pcap timestamp lies between 1970 and 2106');
    this.#view.setUint32(0, Number(second), true);
    const fraction = Number(record.timeNs % NS_PER_SECOND);
    this.#view.setUint32(4, Math.floor(fraction / this.#unitNs), true);
    this.#view.setUint32(8, record.data.length, true);
    this.#view.setUint32(12, record.wireLength, true);
    await this.#sink.write(this.#header);
    await this.#sink.write(record.data);
  }

  close(): Promise<void> {
    return this.#sink.close();
  }
}
