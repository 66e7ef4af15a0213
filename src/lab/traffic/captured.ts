/**
 * One frame of the input as every stack is given it: decoded, mapped onto the cluster, placed, and
 * joined to its conversation. Made once by traffic.ts, read by each stack-run.ts.
 * @module
 */
import type { Address } from '../../wire/address/address.ts';
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import type { Datagram } from '../datagram/datagram.ts';
import type { Place } from '../identity.ts';
import type { Endpoints } from '../result.ts';
import type { Membership } from './conversation.ts';

/** What a frame turned out to be. */
export type CapturedKind =
  /** An IP packet to inject where its sender is. */
  | { readonly kind: 'datagram'; readonly datagram: Datagram }
  /** The same packet seen further on its way: compared, not sent again. */
  | { readonly kind: 'observed'; readonly beyondSender: boolean }
  /** An ARP frame: forwarded at its sender's device, never awaited. */
  | {
      readonly kind: 'arp';
      readonly operation: number;
      readonly sender: Address;
      readonly target: Address;
    }
  /** A packet that no kernel would take. */
  | { readonly kind: 'malformed'; readonly reason: DropReason }
  | { readonly kind: 'unknown'; readonly reason: UnknownReason };

/** A frame of a conversation that is judged elsewhere: only its conversation goes on. */
export interface Followed {
  readonly kind: 'followed';
  readonly datagram: Datagram;
  /** Null for one of a stranger (strangers.ts). */
  readonly membership: Membership | null;
}

/** What of a frame those are shown who keep its bytes until it is judged. */
export interface ShownFrame {
  readonly frame: number;
  /** The packet as it is judged; null for frames that have none, or have it as it is. */
  readonly datagram: Pick<Datagram, 'bytes' | 'family' | 'wireLength'> | null;
  /** The bytes of its record stay as they are; else they are to be copied. */
  readonly isKept?: boolean;
}

export type Captured = CapturedKind & {
  readonly frame: number;
  readonly timeNs: bigint;
  /** The run's clock: the largest capture time so far, from the start of the run (A11). */
  readonly nowNs: number;
  readonly wireLength: number;
  readonly endpoints: Endpoints;
  readonly from: Place;
  readonly to: Place;
  /** Null for frames that are not IP, or malformed. */
  readonly datagram: Datagram | null;
  readonly membership: Membership | null;
  /** TTL to send with: the captured one plus the hops already behind it (A4). */
  readonly ttl: number;
  /** The transport checksum is the sender's device's to fill in. */
  readonly offloaded: boolean;
  /** Payload size of the segments that an offload aggregate stands for; 0 when it is none. */
  readonly segmentSize: number;
  readonly notes: readonly string[];
};
