/**
 * The classic capture file (draft-ietf-opsawg-pcap): micro- or nanoseconds, either byte order.
 *
 *   header   magic(4) major(2) minor(2) zone(4) sigfigs(4) snaplen(4) linktype(4)
 *   record   seconds(4) fraction(4) captured(4) original(4) data(captured)
 *
 * Variants with other record headers share the first bytes of the magic; they are refused by name.
 * Versions are taken as libpcap takes them (sf-pcap.c, `pcap_check_header`): 2.0 to 2.4, and 543.0
 * of the tcpdump of DG/UX. Those before 2.3 and 543.0 hold the two lengths in the other order.
 * Beyond libpcap, and as Wireshark does, a 2.x is taken whose two numbers alone stand in the other
 * byte order: recorders of today (deepflow) write it.
 * The time zone and accuracy fields are ignored, as every other reader does.
 * @module
 */

import { type CutShort, captureError } from '../input-error.ts';
import type { ByteSource } from './byte-source.ts';
import {
  type FileShape,
  PACKET_BYTES_MAX,
  type PacketFormat,
  type TakeResult,
  type UnnumberedInterface,
  type UnnumberedRecord,
} from './packet-format.ts';

export const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
/** The link type field's lower bits; the upper ones say how long a frame check sequence is. */
const LINK_TYPE_MASK = 0x03ffffff;
const NS_PER_SECOND = 1_000_000_000n;
const MAJOR = 2;
const MINOR_NEWEST = 4;
/** Up to here lengths are, or may be, the other way round. */
const MINOR_LENGTHS_SWAPPED = 3;
const MAJOR_DG_UX = 543;

/** Unit of the record header's fraction field. */
type Fraction = 'microseconds' | 'nanoseconds';

const MAGICS: ReadonlyMap<number, Fraction> = new Map([
  [0xa1b2c3d4, 'microseconds'],
  [0xa1b23c4d, 'nanoseconds'],
]);

/** Variants (libpcap's sf-pcap.c, wiretap's libpcap.c) by the magic they start with. */
const VARIANTS: ReadonlyMap<number, string> = new Map([
  [0xa1b2cd34, 'the "modified" pcap of Kuznetsov\'s tcpdump'],
  [0xa1b234cd, 'the "modified" pcap of the Mesquita patch'],
  [0xa12b3c4d, 'the pcap variant of Navtel'],
  [0x1c0001ac, 'the pcap variant of IXIA (hardware capture)'],
  [0x1c0001ab, 'the pcap variant of IXIA (software capture)'],
]);

/** Which pcap the first four bytes announce. */
export type PcapMagic =
  | { readonly kind: 'pcap'; readonly little: boolean; readonly fraction: Fraction }
  | { readonly kind: 'variant'; readonly name: string };

/** @returns null when the bytes are no pcap magic. Precondition: four bytes are there. */
export function pcapMagic(b: Uint8Array): PcapMagic | null {
  const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
  for (const little of [true, false]) {
    const magic = view.getUint32(0, little);
    const fraction = MAGICS.get(magic);
    if (fraction !== undefined) return { kind: 'pcap', little, fraction };
    const name = VARIANTS.get(magic);
    if (name !== undefined) return { kind: 'variant', name };
  }
  return null;
}

/**
 * Read the file header at the window's position and step over it. Throws a UserError for a version
 * whose records nobody has described. Precondition: the header is whole.
 */
export function openPcap(
  source: ByteSource,
  file: string,
  magic: Extract<PcapMagic, { kind: 'pcap' }>,
): PcapFormat {
  const b = source.window;
  const view = new DataView(b.buffer, b.byteOffset + source.position, PCAP_HEADER_BYTES);
  const iface: UnnumberedInterface = {
    id: -1,
    file,
    linkType: view.getUint32(20, magic.little) & LINK_TYPE_MASK,
    snapLength: view.getUint32(16, magic.little),
  };
  const versionIn = (little: boolean) => ({
    major: view.getUint16(4, little),
    minor: view.getUint16(6, little),
  });
  const said = versionIn(magic.little);
  const meant = [said, versionIn(!magic.little)].find(isModern);
  if (meant === undefined && !(said.major === MAJOR_DG_UX && said.minor === 0)) {
    throw captureError('CAPTURE_VERSION', file, 'is a pcap of an unsupported version', {
      found: `${said.major}.${said.minor}`,
      accepted: `${MAJOR}.0 to ${MAJOR}.${MINOR_NEWEST}`,
    });
  }
  source.position += PCAP_HEADER_BYTES;
  return new PcapFormat(iface, magic, (meant ?? said).minor);
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

function isModern({ major, minor }: Version): boolean {
  return major === MAJOR && minor <= MINOR_NEWEST;
}

export class PcapFormat implements PacketFormat {
  readonly interfaces: readonly UnnumberedInterface[];
  readonly names = [];
  amount = 0;
  cut: CutShort | null = null;
  expected = 'a record header';
  readonly shape: FileShape;
  readonly #iface: UnnumberedInterface;
  readonly #little: boolean;
  readonly #fractionNs: number;
  readonly #minor: number;
  /** The last record's second, and its nanoseconds: bigints are slow to make. */
  #second = -1;
  #secondNs = 0n;

  constructor(
    iface: UnnumberedInterface,
    magic: { readonly little: boolean; readonly fraction: Fraction },
    minor: number,
  ) {
    this.interfaces = [iface];
    this.#iface = iface;
    this.#little = magic.little;
    this.#fractionNs = magic.fraction === 'microseconds' ? 1000 : 1;
    this.#minor = minor;
    this.shape = {
      pcapng: false,
      little: magic.little,
      swaps: minor <= MINOR_LENGTHS_SWAPPED,
      interfaces: this.interfaces,
      nsPerUnit: Float64Array.of(this.#fractionNs),
      offsetsNs: BigInt64Array.of(0n),
    };
  }

  take(source: ByteSource, out: UnnumberedRecord[], limit: number): TakeResult {
    const b = source.window;
    const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
    while (out.length < limit) {
      const at = source.position;
      const left = b.length - at;
      if (left < RECORD_HEADER_BYTES) {
        this.expected = 'a record header (16 bytes)';
        return this.#need(RECORD_HEADER_BYTES);
      }
      let captured = view.getUint32(at + 8, this.#little);
      let original = view.getUint32(at + 12, this.#little);
      if (this.#minor < 3 || (this.#minor === 3 && captured > original)) {
        [captured, original] = [original, captured];
      }
      if (captured > PACKET_BYTES_MAX) {
        const limit = `(accepted: up to ${PACKET_BYTES_MAX})`;
        const message = `a record claims ${captured} captured bytes ${limit}`;
        this.cut = { offset: source.offset, message };
        return 'cut';
      }
      const size = RECORD_HEADER_BYTES + captured;
      if (left < size) {
        this.expected = `a record of ${size} bytes`;
        return this.#need(size);
      }
      out.push({
        frame: 0,
        iface: this.#iface,
        timeNs: this.#time(view, at),
        data: b.subarray(at + RECORD_HEADER_BYTES, at + size),
        // A record that was cut to nothing by a broken tool may claim less than it holds.
        wireLength: Math.max(original, captured),
      });
      source.position = at + size;
    }
    return 'full';
  }

  #time(view: DataView, at: number): bigint {
    const second = view.getUint32(at, this.#little);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondNs = BigInt(second) * NS_PER_SECOND;
    }
    return this.#secondNs + BigInt(view.getUint32(at + 4, this.#little) * this.#fractionNs);
  }

  #need(amount: number): TakeResult {
    this.amount = amount;
    return 'need';
  }
}
