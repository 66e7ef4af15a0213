/**
 * What a capture format's reader does: take whole records out of a window of bytes.
 * @module
 */

import type { CutShort } from '../input-error.ts';
import type { CaptureInterface, PacketRecord, ResolvedName } from '../record.ts';
import type { ByteSource } from './byte-source.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A record before the merge has numbered it (`frame` is 0). */
export type UnnumberedRecord = Mutable<PacketRecord>;

/** An interface before the merge has numbered it (`id` is -1). */
export type UnnumberedInterface = Mutable<CaptureInterface>;

/**
 * What the reader has to do before `take` can go on.
 *
 * `full`: nothing, the limit was reached · `need`: have `amount` bytes in the window ·
 * `skip`: pass over `amount` bytes · `cut`: stop, `cut` says where and why.
 */
export type TakeResult = 'full' | 'need' | 'skip' | 'cut';

/**
 * How ordinary records of a file are written, for a walk that takes only these: its byte order, and
 * its interfaces in the order of their numbers with their clocks: nanoseconds a unit (0: no whole
 * number) and what is to be added. Replaced, never changed, when the file says otherwise.
 */
export interface FileShape {
  readonly pcapng: boolean;
  readonly little: boolean;
  /** The lengths of a record may stand in the other order. */
  readonly swaps: boolean;
  readonly interfaces: readonly UnnumberedInterface[];
  readonly nsPerUnit: Float64Array;
  readonly offsetsNs: BigInt64Array;
}

export interface PacketFormat {
  /** Of the records at the window's position. */
  readonly shape: FileShape;
  /** In order of appearance in this file. */
  readonly interfaces: readonly UnnumberedInterface[];
  readonly names: readonly ResolvedName[];
  /** See `TakeResult`. */
  readonly amount: number;
  readonly cut: CutShort | null;
  /** What the bytes at the window's position should be: the reader's words when the file ends. */
  readonly expected: string;
  /** Append whole records to `out` until it holds `limit`. Never awaits, never throws. */
  take(source: ByteSource, out: UnnumberedRecord[], limit: number): TakeResult;
}

/** No packet is longer: 64 times what libpcap accepts, far below what would endanger memory. */
export const PACKET_BYTES_MAX = 16 * 1024 * 1024;
