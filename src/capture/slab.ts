/**
 * Records in bulk: a run of ordinary records that lie one behind the other in a window of one
 * file, as columns. A walker (native code) fills them; records of files that take turns are put
 * together as such a run, and what is not ordinary comes as single records from the formats'
 * readers, so that a file says the same with and without a walker.
 * @module
 */
import { sharedCopy } from '../wire/shared-copy.ts';
import type { FileShape } from './format/packet-format.ts';
import type { CaptureInterface, PacketRecord } from './record.ts';

/** One place a record: where its bytes are in the window, lengths, interface by place, time. */
export interface SlabColumns {
  readonly at: Uint32Array;
  readonly captured: Uint32Array;
  readonly wire: Uint32Array;
  /** By place in `Slab.interfaces`. */
  readonly iface: Uint32Array;
  readonly times: BigInt64Array;
  /** Frame numbers, where they do not follow each other. */
  readonly frames: Float64Array;
}

/** Valid until the next part of the stream is asked for. */
export interface Slab {
  readonly window: Uint8Array;
  readonly columns: SlabColumns;
  readonly count: number;
  readonly firstFrame: number;
  /** Some records were left out: frame numbers stand in `columns.frames`. */
  readonly isSelection: boolean;
  readonly interfaces: readonly CaptureInterface[];
}

/** Frames and interfaces are not numbered yet. */
export type UnnumberedSlab = Omit<Slab, 'firstFrame' | 'isSelection'>;

/** Who takes ordinary records out of a window. */
export interface RecordWalker {
  readonly columns: SlabColumns;
  /**
   * Take at most `limit` records from `from` on, up to the first that is not before `untilNs`; how
   * many, and where the next one is.
   */
  walk(
    window: Uint8Array,
    from: number,
    shape: FileShape,
    limit: number,
    untilNs: bigint,
  ): { readonly count: number; readonly next: number };
}

/** The n-th record's frame number. */
export function frameAt({ columns, firstFrame, isSelection }: Slab, n: number): number {
  return isSelection ? (columns.frames[n] ?? 0) : firstFrame + n;
}

/** The n-th record of a slab as the readers would have given it, with bytes of its own. */
export function recordOf(slab: Slab, n: number): PacketRecord {
  const { columns, window } = slab;
  const at = columns.at[n] ?? 0;
  return recordWith(slab, n, sharedCopy(window, at, at + (columns.captured[n] ?? 0)));
}

/** Records `from..to` of a slab, with the bytes of all of them in one piece that stays as it is. */
export class SlabCopy {
  readonly #slab: Slab;
  readonly #base: number;
  readonly #bytes: Uint8Array;

  constructor(slab: Slab, from: number, to: number) {
    const { columns, window } = slab;
    const last = Math.max(from, to - 1);
    this.#slab = slab;
    this.#base = columns.at[from] ?? 0;
    this.#bytes = window.slice(this.#base, (columns.at[last] ?? 0) + (columns.captured[last] ?? 0));
  }

  record(n: number): PacketRecord {
    const { columns } = this.#slab;
    const at = (columns.at[n] ?? 0) - this.#base;
    const data = this.#bytes.subarray(at, at + (columns.captured[n] ?? 0));
    return recordWith(this.#slab, n, data);
  }
}

function recordWith(slab: Slab, n: number, data: Uint8Array): PacketRecord {
  const { columns, interfaces } = slab;
  const iface = interfaces[columns.iface[n] ?? 0];
  if (iface === undefined) throw new RangeError('a record has an interface');
  const timeNs = columns.times[n] ?? 0n;
  return { frame: frameAt(slab, n), iface, timeNs, data, wireLength: columns.wire[n] ?? 0 };
}

/**
 * Records of several files as one slab, with their bytes side by side; null when some have more to
 * say than a slab does. Precondition: columns have room for them.
 */
export function slabOf(records: readonly PacketRecord[], columns: SlabColumns): Slab | null {
  const isOrdinary = (r: PacketRecord) => r.comments === undefined && r.annotations === undefined;
  if (!records.every(isOrdinary)) return null;
  const window = new Uint8Array(records.reduce((sum, { data }) => sum + data.length, 0));
  const places = new Map<CaptureInterface, number>();
  let used = 0;
  for (const [n, { frame, iface, timeNs, data, wireLength }] of records.entries()) {
    const place = places.get(iface) ?? places.size;
    places.set(iface, place);
    window.set(data, used);
    columns.at[n] = used;
    columns.captured[n] = data.length;
    columns.wire[n] = wireLength;
    columns.iface[n] = place;
    columns.times[n] = timeNs;
    columns.frames[n] = frame;
    used += data.length;
  }
  const interfaces = [...places.keys()];
  return { window, columns, count: records.length, firstFrame: 0, interfaces, isSelection: true };
}
