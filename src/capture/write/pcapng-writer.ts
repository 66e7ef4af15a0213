/**
 * Write a pcapng capture file (draft-ietf-opsawg-pcapng) that stock Wireshark shows in full:
 * interfaces by name, comments, verdicts, packet ids, names for addresses, statistics.
 *
 * Little-endian, nanoseconds. No custom blocks: Wireshark counts them as packets. Keep to one link
 * type: libpcap refuses files that mix them.
 * @module
 */
import { assert, unreachable } from '../../diagnostic/diagnostic.ts';
import { parseAddress, writeAddress } from '../../wire/address/address.ts';
import {
  BlockType,
  BYTE_ORDER_MAGIC,
  NameRecord,
  OptionCode,
  VerdictType,
} from '../format/pcapng-layout.ts';
import type { PacketAnnotations, PacketVerdict, ResolvedName } from '../record.ts';
import { BlockBuilder } from './block-builder.ts';
import type { ByteSink } from './byte-sink.ts';

/** What the section header says about the capture. */
export interface SectionOptions {
  readonly hardware?: string;
  readonly os?: string;
  readonly application?: string;
  readonly comments?: readonly string[];
}

export interface InterfaceOptions {
  readonly linkType: number;
  /** 0 or absent: not limited. */
  readonly snapLength?: number;
  readonly name?: string;
  readonly description?: string;
  readonly os?: string;
  /** A pcap filter expression, shown by Wireshark as the capture filter. */
  readonly filter?: string;
  readonly comments?: readonly string[];
}

export interface PacketOptions {
  /** What `addInterface` returned. */
  readonly interface: number;
  readonly timeNs: bigint;
  readonly data: Uint8Array;
  readonly wireLength: number;
  readonly comments?: readonly string[];
  readonly annotations?: PacketAnnotations;
}

/** Totals of one interface, for its statistics block. */
export interface InterfaceStatistics {
  readonly timeNs: bigint;
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly received?: bigint;
  readonly dropped?: bigint;
  readonly filterAccepted?: bigint;
  readonly osDropped?: bigint;
  readonly delivered?: bigint;
  readonly comments?: readonly string[];
}

const RESOLUTION_NANOSECONDS = 9;
const UNKNOWN_LENGTH = 0xffff_ffff_ffff_ffffn;
const TIME_LIMIT = 1n << 64n;
/** A name block is flushed when it holds so many records: readers bound block lengths. */
const NAMES_PER_BLOCK = 4096;
/** Comments that are kept as bytes. */
const MOST_ENCODINGS = 4096;
/** One number of 64 bits, little-endian, until the next. */
const OCTETS = new Uint8Array(8);
const WORD = new DataView(OCTETS.buffer);

export class PcapngWriter {
  readonly #sink: ByteSink;
  readonly #block = new BlockBuilder();
  readonly #encodings = new Map<string, Uint8Array>();
  #interfaces = 0;

  private constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  static async create(sink: ByteSink, section: SectionOptions = {}): Promise<PcapngWriter> {
    const writer = new PcapngWriter(sink);
    const block = writer.#block;
    block.start(BlockType.sectionHeader);
    block.u32(BYTE_ORDER_MAGIC);
    block.u16(1);
    block.u16(0);
    block.u64(UNKNOWN_LENGTH);
    writer.#comments(section.comments);
    writer.#text(OptionCode.sectionHardware, section.hardware);
    writer.#text(OptionCode.sectionOs, section.os);
    writer.#text(OptionCode.sectionApplication, section.application);
    await writer.#finish();
    return writer;
  }

  /** @returns the index that packets name it by. */
  async addInterface(options: InterfaceOptions): Promise<number> {
    const block = this.#block;
    block.start(BlockType.interfaceDescription);
    block.u16(options.linkType);
    block.u16(0);
    block.u32(options.snapLength ?? 0);
    this.#comments(options.comments);
    this.#text(OptionCode.interfaceName, options.name);
    this.#text(OptionCode.interfaceDescription, options.description);
    block.option(OptionCode.interfaceResolution, Uint8Array.of(RESOLUTION_NANOSECONDS));
    if (options.filter !== undefined) {
      // Octet 0: the rest is a filter expression.
      block.option(OptionCode.interfaceFilter, Buffer.from(`\0${options.filter}`, 'utf8'));
    }
    this.#text(OptionCode.interfaceOs, options.os);
    await this.#finish();
    return this.#interfaces++;
  }

  /**
   * Precondition: the interface was added; the time is not before 1970. The answer is that of
   * `ByteSink.write`.
   */
  write(packet: PacketOptions): Promise<void> | null {
    assert(
      packet.interface < this.#interfaces,
      'a packet is written on an interface that was added',
    );
    const block = this.#block;
    block.start(BlockType.enhancedPacket);
    block.u32(packet.interface);
    this.#time(packet.timeNs);
    block.u32(packet.data.length);
    block.u32(packet.wireLength);
    block.bytes(packet.data);
    this.#comments(packet.comments);
    if (packet.annotations !== undefined) this.#annotations(packet.annotations);
    return this.#finish();
  }

  /** Names for addresses; to be written before the packets they shall show at. */
  async writeNames(names: readonly ResolvedName[]): Promise<void> {
    for (let from = 0; from < names.length; from += NAMES_PER_BLOCK) {
      const block = this.#block;
      block.start(BlockType.nameResolution);
      for (const { address: text, name } of names.slice(from, from + NAMES_PER_BLOCK)) {
        const address = parseAddress(text);
        assert(address !== null, `${text} is an address`);
        if (address === null) continue;
        const raw = new Uint8Array(address.family === 4 ? 4 : 16);
        writeAddress(raw, 0, address);
        const value = Buffer.concat([raw, Buffer.from(`${name}\0`, 'utf8')]);
        block.option(address.family === 4 ? NameRecord.ipv4 : NameRecord.ipv6, value);
      }
      block.option(NameRecord.end, new Uint8Array(0));
      await this.#finish();
    }
  }

  async writeStatistics(iface: number, statistics: InterfaceStatistics): Promise<void> {
    const block = this.#block;
    block.start(BlockType.interfaceStatistics);
    block.u32(iface);
    this.#time(statistics.timeNs);
    this.#comments(statistics.comments);
    this.#timeOption(OptionCode.statisticsStart, statistics.startNs);
    this.#timeOption(OptionCode.statisticsEnd, statistics.endNs);
    this.#counter(OptionCode.statisticsReceived, statistics.received);
    this.#counter(OptionCode.statisticsDropped, statistics.dropped);
    this.#counter(OptionCode.statisticsFilterAccepted, statistics.filterAccepted);
    this.#counter(OptionCode.statisticsOsDropped, statistics.osDropped);
    this.#counter(OptionCode.statisticsDelivered, statistics.delivered);
    await this.#finish();
  }

  close(): Promise<void> {
    return this.#sink.close();
  }

  #finish(): Promise<void> | null {
    return this.#sink.write(this.#block.finish());
  }

  #time(timeNs: bigint): void {
    assert(timeNs >= 0n && timeNs < TIME_LIMIT, 'a pcapng timestamp fits 64 bits');
    WORD.setBigUint64(0, timeNs, true);
    this.#block.u32(WORD.getUint32(4, true));
    this.#block.u32(WORD.getUint32(0, true));
  }

  #comments(comments: readonly string[] | undefined): void {
    if (comments === undefined) return;
    for (const comment of comments) this.#block.option(OptionCode.comment, this.#encoded(comment));
  }

  /** Packets by the thousand have the same comment. */
  #encoded(comment: string): Uint8Array {
    const known = this.#encodings.get(comment);
    if (known !== undefined) return known;
    if (this.#encodings.size >= MOST_ENCODINGS) this.#encodings.clear();
    const made = Buffer.from(comment, 'utf8');
    this.#encodings.set(comment, made);
    return made;
  }

  #text(code: number, text: string | undefined): void {
    if (text !== undefined) this.#block.option(code, Buffer.from(text, 'utf8'));
  }

  #timeOption(code: number, timeNs: bigint | undefined): void {
    if (timeNs === undefined) return;
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, Number(timeNs >> 32n), true);
    view.setUint32(4, Number(timeNs & 0xffff_ffffn), true);
    this.#block.option(code, new Uint8Array(view.buffer));
  }

  #counter(code: number, value: bigint | undefined): void {
    if (value !== undefined) this.#block.option(code, octets(value));
  }

  #annotations(annotations: PacketAnnotations): void {
    if (annotations.direction !== undefined) {
      const flags = new Uint8Array(4);
      flags[0] = annotations.direction === 'inbound' ? 1 : 2;
      this.#block.option(OptionCode.packetFlags, flags);
    }
    this.#counter(OptionCode.packetDropCount, annotations.dropCount);
    this.#counter(OptionCode.packetId, annotations.packetId);
    for (const verdict of annotations.verdicts ?? []) {
      this.#block.option(OptionCode.packetVerdict, verdictOctets(verdict));
    }
  }
}

/** 64 bits, little-endian; valid until the next. */
function octets(value: bigint): Uint8Array {
  WORD.setBigUint64(0, value, true);
  return OCTETS;
}

/** By verdict, which writers of many packets give again and again. */
const VERDICTS = new WeakMap<PacketVerdict, Uint8Array>();

function verdictOctets(verdict: PacketVerdict): Uint8Array {
  const known = VERDICTS.get(verdict);
  if (known !== undefined) return known;
  const made = encodeVerdict(verdict);
  VERDICTS.set(verdict, made);
  return made;
}

/** eBPF verdicts in the section's byte order; a hardware one as big-endian octets. */
function encodeVerdict(verdict: PacketVerdict): Uint8Array {
  const out = new Uint8Array(9);
  out[0] = VerdictType[verdict.type];
  const view = new DataView(out.buffer);
  switch (verdict.type) {
    case 'hardware':
      view.setBigUint64(1, verdict.value, false);
      return out;
    case 'ebpfTc':
    case 'ebpfXdp':
      view.setBigUint64(1, verdict.value, true);
      return out;
    default:
      return unreachable(verdict.type);
  }
}
