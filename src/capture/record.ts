/**
 * What a capture file holds, independent of its format.
 *
 * `PacketRecord.data` is a view into the reader's buffer: valid until the next batch is asked for.
 * Copy what is kept longer (a kept view would also keep its whole chunk alive).
 * @module
 */

/** Link types that are decoded (tcpdump.org/linktypes); packets of others are unknown. */
export const LinkType = {
  null: 0,
  ethernet: 1,
  /** LINKTYPE_RAW as BSDs and old Linux wrote it (DLT_RAW of the platform). */
  rawBsd: 12,
  rawOpenBsd: 14,
  raw: 101,
  linuxSll: 113,
  loop: 108,
  ipv4: 228,
  ipv6: 229,
  nflog: 239,
  linuxSll2: 276,
} as const;

/** One capture interface: a pcap file's only one, or a pcapng interface description block. */
export interface CaptureInterface {
  /** Index over the whole input, in order of appearance in the merged records. */
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
  /** What pcapng options said of this packet; absent when nothing. */
  readonly annotations?: PacketAnnotations;
}

/** A verdict as `epb_verdict` holds it; Wireshark 4.0 decodes types 1 and 2. */
export interface PacketVerdict {
  readonly type: 'hardware' | 'ebpfTc' | 'ebpfXdp';
  /** TC_ACT_* or XDP_* for the eBPF types; the low 64 bits, big-endian, of a hardware verdict. */
  readonly value: bigint;
}

/** Packet options of pcapng (draft-ietf-opsawg-pcapng section 4.3) that are read and written. */
export interface PacketAnnotations {
  readonly direction?: 'inbound' | 'outbound';
  readonly packetId?: bigint;
  /** Packets lost between this one and the one before on the same interface. */
  readonly dropCount?: bigint;
  readonly verdicts?: readonly PacketVerdict[];
}

/** A name for an address, from pcapng name resolution blocks. */
export interface ResolvedName {
  readonly address: string;
  readonly name: string;
}

/** What is known of one input once it has been read to its end. */
export interface InputSummary {
  readonly path: string;
  /**
   * Of the file's bytes as stored (compressed when it is), as far as they were read; all of them
   * when a count ended the reading. '' where nobody asked for it.
   */
  readonly sha256: string;
  /** Whole packets read, before any filter; up to the last one that a count asked for. */
  readonly packets: number;
  /** Bytes of the file as stored, as far as they were read. */
  readonly bytes: number;
  /** False when reading stopped before the file's end (a count or a time limit was reached). */
  readonly readToEnd?: boolean;
  /** Where and why the file ended too early, or null when it was whole. */
  readonly truncated: { readonly offset: number; readonly message: string } | null;
}
