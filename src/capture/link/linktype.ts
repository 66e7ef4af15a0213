/**
 * Where a captured frame's network header is, whatever link type it was captured with.
 *
 *   Ethernet   dst(6) src(6) [tpid tci]… type(2) payload
 *   SLL        type(2) arphrd(2) addrlen(2) addr(8) protocol(2) payload
 *   SLL2       protocol(2) 0(2) ifindex(4) arphrd(2) type(1) addrlen(1) addr(8) payload
 *   NULL/LOOP  address family(4) payload          RAW, IPV4, IPV6   payload
 *   NFLOG      capture/link/nflog.ts
 *
 * Sources: IEEE 802.3 and 802.1Q; tcpdump.org/linktypes, read 2026-08. Nothing is copied.
 * Not done here: 802.2 LLC/SNAP (`notIp`), PPPoE, MPLS and tunnels (ether types like others).
 * @module
 */
import { u8, u16, u32 } from '../../wire/bytes.ts';
import { EtherType } from '../../wire/protocol.ts';
import { LinkType, type PacketRecord } from '../record.ts';
import {
  type LinkDirection,
  type LinkFailure,
  type LinkView,
  missingHeader,
  NO_VLANS,
  payloadView,
} from './link-view.ts';
import { nflogView } from './nflog.ts';

const ETHERNET_HEADER = 14;
const SLL_HEADER = 16;
const SLL2_HEADER = 20;
const LOOPBACK_HEADER = 4;
const MAC_LENGTH = 6;
const TAG_LENGTH = 4;
/** Below this an Ethernet type field is an 802.3 length (IEEE 802.3 section 3.2.6). */
const ETHERTYPE_MIN = 0x0600;
const PACKET_OUTGOING = 4;
/** ARPHRD_NETLINK: the protocol field is a netlink family, not an Ethernet type. */
const ARPHRD_NETLINK = 824;
const AF_INET = 2;
/** AF_INET6 of Linux, NetBSD/OpenBSD/Npcap, FreeBSD and Darwin. */
const AF_INET6: ReadonlySet<number> = new Set([10, 24, 28, 30]);

/**
 * Find the network header of a captured frame.
 *
 * @returns the view, or as a string why there is none: `headerCut` when the snaplen cut the link
 * header, `…Truncated` when the frame itself was too short. Never throws.
 */
export function toIp(record: PacketRecord): LinkView | LinkFailure {
  const direction = record.annotations?.direction ?? null;
  switch (record.iface.linkType) {
    case LinkType.ethernet:
      return ethernetView(record, direction);
    case LinkType.linuxSll:
      return sllView(record, direction);
    case LinkType.linuxSll2:
      return sll2View(record, direction);
    case LinkType.null:
    case LinkType.loop:
      return loopbackView(record, direction);
    case LinkType.raw:
    case LinkType.rawBsd:
    case LinkType.rawOpenBsd:
      return rawView(record, direction);
    case LinkType.ipv4:
      return payloadView(record, EtherType.ipv4, 0, direction);
    case LinkType.ipv6:
      return payloadView(record, EtherType.ipv6, 0, direction);
    case LinkType.nflog:
      return nflogView(record, direction);
    default:
      return 'unsupportedLinkType';
  }
}

function ethernetView(
  record: PacketRecord,
  direction: LinkDirection | null,
): LinkView | LinkFailure {
  const b = record.data;
  if (b.length < ETHERNET_HEADER) return missingHeader(record, 'ethernetTruncated');
  const mac: Addresses = {
    destinationMac: b.subarray(0, MAC_LENGTH),
    sourceMac: b.subarray(MAC_LENGTH, 2 * MAC_LENGTH),
    direction,
    ifIndex: null,
  };
  return taggedView(record, u16(b, 12), ETHERNET_HEADER, mac);
}

function sllView(record: PacketRecord, direction: LinkDirection | null): LinkView | LinkFailure {
  const b = record.data;
  if (b.length < SLL_HEADER) return missingHeader(record, 'ethernetTruncated');
  if (u16(b, 2) === ARPHRD_NETLINK) return 'notIp';
  return taggedView(record, u16(b, 14), SLL_HEADER, {
    destinationMac: null,
    sourceMac: u16(b, 4) === MAC_LENGTH ? b.subarray(6, 6 + MAC_LENGTH) : null,
    direction: direction ?? cookedDirection(u16(b, 0)),
    ifIndex: null,
  });
}

function sll2View(record: PacketRecord, direction: LinkDirection | null): LinkView | LinkFailure {
  const b = record.data;
  if (b.length < SLL2_HEADER) return missingHeader(record, 'ethernetTruncated');
  if (u16(b, 8) === ARPHRD_NETLINK) return 'notIp';
  return taggedView(record, u16(b, 0), SLL2_HEADER, {
    destinationMac: null,
    sourceMac: u8(b, 11) === MAC_LENGTH ? b.subarray(12, 12 + MAC_LENGTH) : null,
    direction: direction ?? cookedDirection(u8(b, 10)),
    ifIndex: u32(b, 4),
  });
}

/** `PACKET_OTHERHOST` (3) was seen promiscuously: neither in nor out. */
function cookedDirection(packetType: number): LinkDirection | null {
  if (packetType === PACKET_OUTGOING) return 'outbound';
  return packetType < 3 ? 'inbound' : null;
}

type Addresses = Pick<LinkView, 'destinationMac' | 'sourceMac' | 'direction' | 'ifIndex'>;

/** Walk the VLAN tags behind a type field. */
function taggedView(
  record: PacketRecord,
  firstType: number,
  start: number,
  addresses: Addresses,
): LinkView | LinkFailure {
  const b = record.data;
  let etherType = firstType;
  let offset = start;
  let vlans: number[] | null = null;
  while (isVlan(etherType)) {
    if (offset + TAG_LENGTH > b.length) return missingHeader(record, 'vlanTruncated');
    vlans ??= [];
    vlans.push(u16(b, offset));
    etherType = u16(b, offset + 2);
    offset += TAG_LENGTH;
  }
  if (etherType < ETHERTYPE_MIN) return 'notIp';
  return {
    etherType,
    offset,
    end: b.length,
    wireEnd: record.wireLength,
    vlans: vlans ?? NO_VLANS,
    sourceMac: addresses.sourceMac,
    destinationMac: addresses.destinationMac,
    direction: addresses.direction,
    ifIndex: addresses.ifIndex,
    netfilter: null,
    bytes: b,
  };
}

function isVlan(etherType: number): boolean {
  return (
    etherType === EtherType.vlan || etherType === EtherType.qinq || etherType === EtherType.qinqOld
  );
}

/** The family is in the byte order of the host that captured (NULL) or big-endian (LOOP). */
function loopbackView(
  record: PacketRecord,
  direction: LinkDirection | null,
): LinkView | LinkFailure {
  const b = record.data;
  if (b.length < LOOPBACK_HEADER) return missingHeader(record, 'ethernetTruncated');
  const big = u32(b, 0);
  const little = (u8(b, 3) << 24) | (u8(b, 2) << 16) | (u8(b, 1) << 8) | u8(b, 0);
  const families = record.iface.linkType === LinkType.loop ? [big] : [little, big];
  for (const family of families) {
    if (family === AF_INET) return payloadView(record, EtherType.ipv4, LOOPBACK_HEADER, direction);
    if (AF_INET6.has(family)) {
      return payloadView(record, EtherType.ipv6, LOOPBACK_HEADER, direction);
    }
  }
  return 'notIp';
}

function rawView(record: PacketRecord, direction: LinkDirection | null): LinkView | LinkFailure {
  if (record.data.length === 0) return missingHeader(record, 'notIp');
  const version = u8(record.data, 0) >>> 4;
  if (version === 4) return payloadView(record, EtherType.ipv4, 0, direction);
  return version === 6 ? payloadView(record, EtherType.ipv6, 0, direction) : 'notIp';
}
