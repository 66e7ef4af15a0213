/**
 * Ordinary records in bulk by native code: the walker that capture readers are given.
 * @module
 */
import type { FileShape } from '../../capture/format/packet-format.ts';
import type { RecordWalker } from '../../capture/slab.ts';
import {
  type LaneColumns,
  LaneWord,
  type MakeNativeLanes,
  makeColumns,
  type NativeLanes,
} from '../../engine/compiled/lane-door.ts';
import { findNative } from '../../engine/compiled/native-door.ts';

/** A walker, where there is native code; it takes at most so many records at a time. */
export function findWalker(records = SIZES.records): LaneWalker | null {
  const { addon } = findNative();
  return addon === null ? null : new LaneWalker(addon.Lanes, { records });
}

/** Whether there is one. */
export function hasWalker(): boolean {
  return findNative().addon !== null;
}

/** Records of one walk, packets of one batch and their bytes, flows with lanes. */
const SIZES = { records: 8192, staged: 1024, stagedBytes: 512 * 1024, flows: 262_144 };

/**
 * Records of the first walk, and by how many the next may be longer: the beginning of a capture is
 * mostly judged by hand, and a signal is answered between walks. Equal for all who read a capture.
 */
const FIRST_RECORDS = 512;
const MORE_RECORDS = 64;

/** Times of a walk have 64 bits; those of other bounds are as good as none, or all. */
const LATEST = (1n << 63n) - 1n;
const EARLIEST = -LATEST;

export class LaneWalker implements RecordWalker {
  readonly columns: LaneColumns;
  readonly native: NativeLanes;
  #shape: FileShape | null = null;
  #most = FIRST_RECORDS;

  constructor(make: MakeNativeLanes, sizes: Partial<typeof SIZES> = {}) {
    const all = { ...SIZES, ...sizes };
    this.columns = makeColumns(all);
    this.native = new make(all.flows, this.columns);
  }

  walk(window: Uint8Array, from: number, shape: FileShape, limit: number, untilNs: bigint) {
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.native.shape(shape, shape.nsPerUnit, shape.offsetsNs);
    }
    const most = Math.min(limit, this.#most);
    this.#most += MORE_RECORDS;
    const count = this.native.walk(window, from, most, within64(untilNs));
    return { count, next: this.columns.words[LaneWord.stop] ?? 0 };
  }
}

function within64(timeNs: bigint): bigint {
  if (timeNs > LATEST) return LATEST;
  return timeNs < EARLIEST ? EARLIEST : timeNs;
}
