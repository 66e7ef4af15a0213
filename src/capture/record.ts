/**
 * What a capture file holds, independent of its format.
 *
 * `PacketRecord.data` is only valid until the next record is asked for: readers reuse buffers.
 * @module
 */

/** Link types that are decoded (tcpdump.org/linktypes); others are read, and their packets unknown. */
export const LinkType = {
  null: 0,
  ethernet: 1,
  raw: 101,
  linuxSll: 113,
  loop: 108,
  ipv4: 228,
  ipv6: 229,
  nflog: 239,
  linuxSll2: 276,
} as const;

/** One capture interface: of a pcap file the only one, of pcapng one interface description block. */
export interface CaptureInterface {
  /** Index over the whole input, in order of appearance. */
  readonly id: number;
  readonly file: string;
  readonly linkType: number;
  readonly snapLength: number;
  readonly name?: string;
  readonly description?: string;
}

export interface PacketRecord {
  /** From 1 over the whole (merged) input, as Wireshark numbers them. */
  readonly frame: number;
  readonly iface: CaptureInterface;
  /** Nanoseconds since the epoch, as captured. */
  readonly timeNs: bigint;
  readonly data: Uint8Array;
  /** Length on the wire; larger than `data.length` when cut by snaplen. */
  readonly wireLength: number;
  readonly comments?: readonly string[];
}

/** A name for an address, from pcapng name resolution blocks. */
export interface ResolvedName {
  readonly address: string;
  readonly name: string;
}

/** What is known of one input once it has been read to its end. */
export interface InputSummary {
  readonly path: string;
  readonly sha256: string;
  readonly packets: number;
  readonly bytes: number;
  /** Where and why the file ended too early, or null when it was whole. */
  readonly truncated: { readonly offset: number; readonly message: string } | null;
}
