/**
 * Block types, option codes and the layout numbers of pcapng (draft-ietf-opsawg-pcapng), shared by
 * reader and writer.
 *
 *   block    type(4) length(4) body length(4)       length counts everything, a multiple of 4
 *   option   code(2) length(2) value padded to 4    a list ends with code 0 or with its block
 * @module
 */

export const BlockType = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  /** Obsolete, still written by old tools. */
  packet: 2,
  simplePacket: 3,
  nameResolution: 4,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const BLOCK_OVERHEAD = 12;

/** Smallest body of each block that is read: what its fixed fields take. */
export const BodyMinimum = {
  sectionHeader: 16,
  interfaceDescription: 8,
  packet: 20,
  simplePacket: 4,
  enhancedPacket: 20,
} as const;

export const OptionCode = {
  end: 0,
  comment: 1,
  sectionHardware: 2,
  sectionOs: 3,
  sectionApplication: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  interfaceResolution: 9,
  interfaceFilter: 11,
  interfaceOs: 12,
  interfaceOffset: 14,
  packetFlags: 2,
  packetDropCount: 4,
  packetId: 5,
  packetVerdict: 7,
  statisticsStart: 2,
  statisticsEnd: 3,
  statisticsReceived: 4,
  statisticsDropped: 5,
  statisticsFilterAccepted: 6,
  statisticsOsDropped: 7,
  statisticsDelivered: 8,
} as const;

/** First octet of an `epb_verdict` value. */
export const VerdictType = { hardware: 0, ebpfTc: 1, ebpfXdp: 2 } as const;

/** Record types of a name resolution block. */
export const NameRecord = { end: 0, ipv4: 1, ipv6: 2 } as const;

/** Round up to the next multiple of four. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}
