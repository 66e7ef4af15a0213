/**
 * The pcapng capture file (draft-ietf-opsawg-pcapng): sections, interfaces, packets, names.
 *
 * Each section has its own byte order and its own interfaces; each interface its own link type and
 * clock. Enhanced, simple and the obsolete packet block become records. Statistics, custom blocks,
 * decryption secrets, journal entries and unknown blocks are passed over without being held.
 *
 * A block whose length can not be true ends the reading: without it the next block is not found.
 * @module
 */

import type { CutShort } from '../input-error.ts';
import type { ResolvedName } from '../record.ts';
import type { ByteSource } from './byte-source.ts';
import {
  type FileShape,
  PACKET_BYTES_MAX,
  type PacketFormat,
  type TakeResult,
  type UnnumberedInterface,
  type UnnumberedRecord,
} from './packet-format.ts';
import { InterfaceClock } from './pcapng-clock.ts';
import {
  BLOCK_OVERHEAD,
  BlockType,
  BodyMinimum,
  BYTE_ORDER_MAGIC,
  OptionCode,
  padded,
} from './pcapng-layout.ts';
import {
  type BlockRange,
  eachName,
  eachOption,
  optionText,
  packetOptions,
} from './pcapng-options.ts';

/** Room for options beside the largest packet. */
const BLOCK_BYTES_MAX = PACKET_BYTES_MAX + 1024 * 1024;
/** Interfaces and names are held; a file that claims more than any real one is refused them. */
const INTERFACES_MAX = 65_536;
const NAMES_MAX = 65_536;
const BLOCK_HEADER = 8;

interface SectionInterface {
  readonly iface: UnnumberedInterface;
  readonly clock: InterfaceClock;
}

/** Whether four bytes start a pcapng file. The type reads the same in both byte orders. */
export function isPcapngMagic(b: Uint8Array): boolean {
  return b[0] === 0x0a && b[1] === 0x0d && b[2] === 0x0d && b[3] === 0x0a;
}

export class PcapngFormat implements PacketFormat {
  readonly interfaces: UnnumberedInterface[] = [];
  readonly names: ResolvedName[] = [];
  amount = 0;
  cut: CutShort | null = null;
  expected = 'a block';
  readonly #file: string;
  readonly #known = new Set<string>();
  #little = true;
  #section: SectionInterface[] = [];
  #shape: FileShape | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  get shape(): FileShape {
    const clocks = this.#section.map(({ clock }) => clock);
    this.#shape ??= {
      pcapng: true,
      little: this.#little,
      swaps: false,
      interfaces: this.#section.map(({ iface }) => iface),
      nsPerUnit: Float64Array.from(clocks, (clock) => (fits(clock) ? clock.nsPerUnit : 0)),
      offsetsNs: BigInt64Array.from(clocks, ({ offsetNs }) => offsetNs),
    };
    return this.#shape;
  }

  take(source: ByteSource, out: UnnumberedRecord[], limit: number): TakeResult {
    const bytes = source.window;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (out.length < limit) {
      const at = source.position;
      const left = bytes.length - at;
      if (left < BLOCK_OVERHEAD) return this.#need(BLOCK_OVERHEAD, 'a block header (12 bytes)');
      const section = view.getUint32(at, true) === BlockType.sectionHeader;
      if (section && !this.#startSection(view, at)) {
        return this.#stop(source, 'a section header without its byte order mark');
      }
      const type = view.getUint32(at, this.#little);
      const size = view.getUint32(at + 4, this.#little);
      const problem = sizeProblem(type, size);
      if (problem !== null) return this.#stop(source, problem);
      if (!isRead(type)) {
        this.amount = size;
        this.expected = `a block of ${size} bytes (type 0x${type.toString(16)})`;
        return 'skip';
      }
      if (left < size) return this.#need(size, `a block of ${size} bytes`);
      if (view.getUint32(at + size - 4, this.#little) !== size) {
        return this.#stop(source, `a block of ${size} bytes does not end with its length`);
      }
      const block: BlockRange = { view, bytes, little: this.#little };
      const wrong = this.#readBlock(block, type, at + BLOCK_HEADER, at + size - 4, out);
      if (wrong !== null) return this.#stop(source, wrong);
      source.position = at + size;
    }
    return 'full';
  }

  #need(amount: number, expected: string): TakeResult {
    this.amount = amount;
    this.expected = expected;
    return 'need';
  }

  #stop(source: ByteSource, message: string): TakeResult {
    this.cut = { offset: source.offset, message };
    return 'cut';
  }

  /** @returns false when the byte order mark is neither. */
  #startSection(view: DataView, at: number): boolean {
    const little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
    if (!little && view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC) return false;
    this.#little = little;
    this.#shape = null;
    return true;
  }

  /** Read one whole block's body at `from..to`. @returns what is wrong with it, or null. */
  #readBlock(
    block: BlockRange,
    type: number,
    from: number,
    to: number,
    out: UnnumberedRecord[],
  ): string | null {
    switch (type) {
      case BlockType.enhancedPacket:
        return this.#packet(block, from, to, out, from + BodyMinimum.enhancedPacket, 0);
      case BlockType.packet:
        return this.#packet(block, from, to, out, from + BodyMinimum.packet, 1);
      case BlockType.simplePacket:
        return this.#simplePacket(block, from, to, out);
      case BlockType.interfaceDescription:
        return this.#interface(block, from, to);
      case BlockType.nameResolution:
        eachName(block, from, to, (name) => this.#name(name));
        return null;
      default:
        return this.#sectionHeader(block, from);
    }
  }

  #sectionHeader(block: BlockRange, from: number): string | null {
    const major = block.view.getUint16(from + 4, block.little);
    if (major !== 1) return `a section of pcapng version ${major} (accepted: 1)`;
    this.#section = [];
    this.#shape = null;
    return null;
  }

  #interface(block: BlockRange, from: number, to: number): string | null {
    if (this.interfaces.length >= INTERFACES_MAX) return `more than ${INTERFACES_MAX} interfaces`;
    const iface: UnnumberedInterface = {
      id: -1,
      file: this.#file,
      linkType: block.view.getUint16(from, block.little),
      snapLength: block.view.getUint32(from + 4, block.little),
    };
    let resolution = 6;
    let offsetSeconds = 0n;
    eachOption(block, from + BodyMinimum.interfaceDescription, to, (code, off, length) => {
      if (code === OptionCode.interfaceName) iface.name = optionText(block, off, length);
      if (code === OptionCode.interfaceDescription) {
        iface.description = optionText(block, off, length);
      }
      if (code === OptionCode.interfaceResolution && length === 1) {
        resolution = block.view.getUint8(off);
      }
      if (code === OptionCode.interfaceOffset && length === 8) {
        offsetSeconds = block.view.getBigInt64(off, block.little);
      }
    });
    this.interfaces.push(iface);
    this.#section.push({ iface, clock: new InterfaceClock(resolution, offsetSeconds) });
    this.#shape = null;
    return null;
  }

  /** Both packet blocks: only the interface field and drop count differ. */
  #packet(
    block: BlockRange,
    from: number,
    to: number,
    out: UnnumberedRecord[],
    data: number,
    obsolete: 0 | 1,
  ): string | null {
    const { view, bytes, little } = block;
    const index = obsolete === 1 ? view.getUint16(from, little) : view.getUint32(from, little);
    const on = this.#section[index];
    if (on === undefined) return `a packet on interface ${index}, which was not described`;
    const captured = view.getUint32(from + 12, little);
    const original = view.getUint32(from + 16, little);
    if (captured > to - data) {
      return `a packet of ${captured} bytes in a block with room for ${to - data}`;
    }
    const record: UnnumberedRecord = {
      frame: 0,
      iface: on.iface,
      timeNs: on.clock.toNs(view.getUint32(from + 4, little), view.getUint32(from + 8, little)),
      data: bytes.subarray(data, data + captured),
      wireLength: Math.max(original, captured),
    };
    const options = data + padded(captured);
    if (options < to) Object.assign(record, packetOptions(block, options, to));
    out.push(record);
    return null;
  }

  /** A simple packet has no time (0) and belongs to the section's first interface. */
  #simplePacket(
    block: BlockRange,
    from: number,
    to: number,
    out: UnnumberedRecord[],
  ): string | null {
    const on = this.#section[0];
    if (on === undefined) return 'a simple packet before any interface was described';
    const original = block.view.getUint32(from, block.little);
    const snap = on.iface.snapLength === 0 ? original : Math.min(original, on.iface.snapLength);
    const data = from + BodyMinimum.simplePacket;
    if (snap > to - data) return `a packet of ${snap} bytes in a block with room for ${to - data}`;
    out.push({
      frame: 0,
      iface: on.iface,
      timeNs: 0n,
      data: block.bytes.subarray(data, data + snap),
      wireLength: original,
    });
    return null;
  }

  #name(name: ResolvedName): void {
    const key = `${name.address} ${name.name}`;
    if (this.#known.has(key) || this.names.length >= NAMES_MAX) return;
    this.#known.add(key);
    this.names.push(name);
  }
}

/** Whether the clock's offset is one of 64 bits. */
function fits({ offsetNs }: InterfaceClock): boolean {
  return BigInt.asIntN(64, offsetNs) === offsetNs;
}

function isRead(type: number): boolean {
  return (
    type === BlockType.enhancedPacket ||
    type === BlockType.simplePacket ||
    type === BlockType.packet ||
    type === BlockType.interfaceDescription ||
    type === BlockType.nameResolution ||
    type === BlockType.sectionHeader
  );
}

/** Smallest body by block type; types that are passed over need none. */
const MINIMUM: ReadonlyMap<number, number> = new Map([
  [BlockType.sectionHeader, BodyMinimum.sectionHeader],
  [BlockType.interfaceDescription, BodyMinimum.interfaceDescription],
  [BlockType.packet, BodyMinimum.packet],
  [BlockType.simplePacket, BodyMinimum.simplePacket],
  [BlockType.enhancedPacket, BodyMinimum.enhancedPacket],
]);

function sizeProblem(type: number, size: number): string | null {
  const name = `a block of type 0x${type.toString(16)}`;
  if (size % 4 !== 0) return `${name} claims ${size} bytes, not a multiple of 4`;
  const minimum = BLOCK_OVERHEAD + (MINIMUM.get(type) ?? 0);
  if (size < minimum) return `${name} claims ${size} bytes (accepted: at least ${minimum})`;
  if (isRead(type) && size > BLOCK_BYTES_MAX) {
    return `${name} claims ${size} bytes (accepted: up to ${BLOCK_BYTES_MAX})`;
  }
  return null;
}
