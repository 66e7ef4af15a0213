/**
 * What a protocol's tracker is given of a packet, and what it answers.
 * @module
 */
import type { Address } from '../../wire/address/address.ts';
import type { Direction } from '../connection.ts';

/** A transport header with its payload, as the packet at hand has it. */
export interface TrackedSegment {
  readonly bytes: Uint8Array;
  /** First byte of the transport header. */
  readonly off: number;
  /** One past the packet's last byte on the wire; past `bytes.length` when the capture cut it. */
  readonly end: number;
  readonly protocol: number;
  readonly src: Address;
  readonly dst: Address;
  readonly direction: Direction;
  readonly nowNs: number;
  /** Judge the transport checksum: at prerouting, unless left to a device or switched off. */
  readonly verifyChecksum: boolean;
}

/**
 * `accept`: part of the connection. `invalid`: no part of it, the packet loses it. `repeat`: the
 * entry is to be deleted and the packet looked up anew. `headerCut`: the capture cut what is
 * needed.
 */
export type TrackVerdict = 'accept' | 'invalid' | 'repeat' | 'headerCut';
