/**
 * What is known of a captured frame once its link header is understood, whatever link type it had.
 * @module
 */
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import type { PacketRecord } from '../record.ts';

/** Which way a frame went, seen from the host that captured it. */
export type LinkDirection = 'inbound' | 'outbound';

/** What netfilter said of a packet that an NFLOG rule logged. */
export interface NetfilterLog {
  /** Hook number (`enum nf_inet_hooks`), or null when it was not recorded. */
  readonly hook: number | null;
  /** The rule's `--nflog-prefix`, '' when none. */
  readonly prefix: string;
  readonly mark: number | null;
  /** Interface indexes, null where the packet had none. */
  readonly inDevice: number | null;
  readonly outDevice: number | null;
  readonly physIn: number | null;
  readonly physOut: number | null;
}

/** A frame with its link header understood. Offsets are into `bytes`. */
export interface LinkView {
  /** Of the network header, behind all VLAN tags. */
  readonly etherType: number;
  /** First byte of the network header; equals `end` when the payload is empty. */
  readonly offset: number;
  /** One past the last captured byte of the payload. */
  readonly end: number;
  /** Where `end` would be had no snaplen cut the frame. */
  readonly wireEnd: number;
  /** Tag control information of each 802.1Q tag, outermost first. */
  readonly vlans: readonly number[];
  /** Views of six bytes, or null when the link header holds none. */
  readonly sourceMac: Uint8Array | null;
  readonly destinationMac: Uint8Array | null;
  /** From cooked headers or pcapng flags; null when unknown. */
  readonly direction: LinkDirection | null;
  /** Interface index of SLL2, else null. */
  readonly ifIndex: number | null;
  readonly netfilter: NetfilterLog | null;
  readonly bytes: Uint8Array;
}

/** Why a frame has no view. */
export type LinkFailure =
  | Extract<DropReason, 'ethernetTruncated' | 'vlanTruncated'>
  | Extract<UnknownReason, 'headerCut' | 'notIp' | 'unsupportedLinkType'>;

/** The tag list of an untagged frame. */
export const NO_VLANS: readonly number[] = [];

/** A view of everything behind `offset` as one packet without MAC addresses. */
export function payloadView(
  record: PacketRecord,
  etherType: number,
  offset: number,
  direction: LinkDirection | null,
): LinkView {
  return {
    etherType,
    offset,
    end: record.data.length,
    wireEnd: record.wireLength,
    vlans: NO_VLANS,
    sourceMac: null,
    destinationMac: null,
    direction,
    ifIndex: null,
    netfilter: null,
    bytes: record.data,
  };
}

/** Whether a header that is not whole was cut by the capture or came so. */
export function missingHeader<R extends LinkFailure>(
  record: PacketRecord,
  malformed: R,
): R | 'headerCut' {
  return record.wireLength > record.data.length ? 'headerCut' : malformed;
}
