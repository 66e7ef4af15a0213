/**
 * A slab as native code is given it (native/src/lane-door.cc: `look`, `run`).
 * @module
 */
import type { Slab } from '../../capture/slab.ts';

/** The number of interfaces that have none. */
const NO_IFACE = 0xffffffff;

export interface SlabView {
  /** By the interface's place in the slab. */
  readonly linkTypes: Uint32Array;
  readonly ifaces: Uint32Array;
  /**
   * The first record's place in the capture, from 0; -1 where the records do not follow each other:
   * their frame numbers stand in the columns.
   */
  readonly place: number;
}

export function viewOf({ interfaces, isSelection, firstFrame }: Slab): SlabView {
  return {
    linkTypes: Uint32Array.from(interfaces, ({ linkType }) => linkType),
    ifaces: Uint32Array.from(interfaces, ({ id }) => (id < 0 ? NO_IFACE : id)),
    place: isSelection ? -1 : firstFrame - 1,
  };
}
