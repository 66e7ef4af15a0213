/**
 * A packet on its way through emulated hosts: its bytes, where its headers start, and what the
 * current host's kernel has attached to it (`struct sk_buff`).
 *
 * The reference engine moves packet objects, not slots of an arena: it is the readable statement of
 * what is right. Parsing is done once per change of headers (packet/parse.ts); accessors afterwards
 * neither check nor throw.
 * @module
 */
import type { Address, Family } from '../wire/address/address.ts';
import type { VlanTag } from '../wire/header/ethernet.ts';
import type { MarkOrigins } from './mark-origins.ts';

/** Connection state as rules see it (`enum ip_conntrack_info` folded to words). */
export type PacketCtState = 'none' | 'new' | 'established' | 'related' | 'invalid' | 'untracked';

/** A part of the connection table that knows nothing of the others (`struct nf_conntrack_zone`). */
export interface CtZone {
  readonly id: number;
  /** Which of a connection's two tuples are in the zone; the other is in zone 0. */
  readonly direction: 'both' | 'original' | 'reply';
}

/** How a packet is to be tracked; with `byMark` its mark names the zone when it is. */
export interface CtTemplate {
  readonly zone: CtZone & { readonly byMark: boolean };
}

export interface Packet {
  /** Capture frame number; 0 for packets that hosts make. */
  readonly frame: number;
  /** The Ethernet frame as far as it was captured; replaced, never resized in place. */
  bytes: Uint8Array;
  /** Length of the frame on the wire; more than `bytes.length` when a snaplen cut it. */
  wireLength: number;
  /** The transport checksum is left to the sender's device: right by definition. */
  checksumOffloaded: boolean;

  /** Headers, valid while `family` is not 0. Offsets into `bytes`. */
  etherType: number;
  /** VLAN tags of the frame, outermost first; `etherType` and `l3` are those behind them. */
  vlanTags: readonly VlanTag[];
  family: Family | 0;
  /** Network header. */
  l3: number;
  /** Transport header; -1 when there is none to read (later fragment, cut, unknown). */
  l4: number;
  /** One past the IP packet's last byte on the wire; may lie past `bytes.length` when cut. */
  end: number;
  protocol: number;
  src: Address;
  dst: Address;
  /** In bytes; 0 for first fragments and whole packets. */
  fragmentOffset: number;
  moreFragments: boolean;
  /**
   * Of a packet that reassembly made: IP payload bytes of each original fragment, in order of
   * offset. On output it is cut up the same way (conntrack/fragment/refragment.ts). Null for all
   * others.
   */
  fragmentPieces: readonly number[] | null;

  /** Interface names of the current host, '' when there is none. */
  inDevice: string;
  outDevice: string;
  /** Bridge ports as br_netfilter keeps them. */
  physIn: string;
  physOut: string;
  mark: number;
  /** Who last set each mark bit: origin of the MARK rule, by bit number. */
  markOrigins: Map<number, MarkOrigins> | null;
  ctState: PacketCtState;
  /** The tracked connection (conntrack/connection.ts), and which way this packet goes. */
  connection: object | null;
  ctDirection: 'original' | 'reply';
  /**
   * A virtual server of this host has handled it, and looks at it no more (`ipvs_property`); absent
   * is no.
   */
  virtualServed?: boolean;
  /** The template that a CT rule hung on it before it was tracked; absent and null are none. */
  ctTemplate?: CtTemplate | null;
}
