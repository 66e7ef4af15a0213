/**
 * Where the link type puts the protocol and the payload, and what `ether proto` tests there.
 *
 * Source: libpcap 1.10.3 `gencode.c`: init_linktype, gen_linktype, gen_ether_linktype,
 * gen_linux_sll_linktype, gen_loopback_linktype. One difference: DLT_NULL's address family is tried
 * in both byte orders (as libpcap's main branch of 2026 does), for a file does not keep its host's
 * order once merged or converted.
 * @module
 */

import { EtherType } from '../../wire/protocol.ts';
import { LinkType } from '../record.ts';
import { filterError } from './error.ts';
import { always, and, between, equals, load, never, or, type Test } from './test.ts';

/** Offsets for the rest of the expression; `vlan` moves them. */
export interface LinkState {
  readonly linkType: number;
  /** Of the protocol field; -1 when the header has none. */
  typeOffset: number;
  payloadOffset: number;
}

const LINKS: ReadonlyMap<number, { name: string; typeOffset: number; payloadOffset: number }> =
  new Map([
    [LinkType.ethernet, { name: 'Ethernet', typeOffset: 12, payloadOffset: 14 }],
    [LinkType.linuxSll, { name: 'Linux cooked v1', typeOffset: 14, payloadOffset: 16 }],
    [LinkType.linuxSll2, { name: 'Linux cooked v2', typeOffset: 0, payloadOffset: 20 }],
    [LinkType.null, { name: 'BSD loopback', typeOffset: 0, payloadOffset: 4 }],
    [LinkType.loop, { name: 'OpenBSD loopback', typeOffset: 0, payloadOffset: 4 }],
    [LinkType.raw, { name: 'Raw IP', typeOffset: -1, payloadOffset: 0 }],
    [LinkType.rawBsd, { name: 'Raw IP', typeOffset: -1, payloadOffset: 0 }],
    [LinkType.rawOpenBsd, { name: 'Raw IP', typeOffset: -1, payloadOffset: 0 }],
    [LinkType.ipv4, { name: 'Raw IPv4', typeOffset: -1, payloadOffset: 0 }],
    [LinkType.ipv6, { name: 'Raw IPv6', typeOffset: -1, payloadOffset: 0 }],
    [LinkType.nflog, { name: 'Linux netfilter log messages', typeOffset: -1, payloadOffset: 0 }],
  ]);

/** Link types that expressions can be compiled for. */
export const FILTERED_LINK_TYPES: readonly number[] = [...LINKS.keys()];

const ETHERNET_LENGTH_MAX = 1500;
const SLL_802_2 = 4;
const SAP_IP = 0x06;
const SAP_ISO = 0xfe;
const SAP_NETBEUI = 0xf0;
const SAP_IPX = 0xe0;
const ATALK = 0x809b;
const AARP = 0x80f3;
const AF_INET = 2;
/** AF_INET6 of NetBSD, OpenBSD and Npcap; of FreeBSD; of Darwin. */
const AF_INET6 = [24, 28, 30];

export function startLink(linkType: number): LinkState {
  const link = LINKS.get(linkType);
  if (link === undefined) {
    throw filterError(
      'FILTER_LINK_TYPE',
      0,
      `packets of link type ${linkType} can not be filtered`,
    );
  }
  return { linkType, typeOffset: link.typeOffset, payloadOffset: link.payloadOffset };
}

export function linkName(linkType: number): string {
  return LINKS.get(linkType)?.name ?? `link type ${linkType}`;
}

/** Test for an Ethernet type, or for an 802.2 service access point when it is at most 1500. */
export function linkProtocol(state: LinkState, value: number, at: number): Test {
  switch (state.linkType) {
    case LinkType.ethernet:
      return etherProtocol(
        state,
        value,
        between(load(state.typeOffset, 2), 0, ETHERNET_LENGTH_MAX),
        at,
      );
    case LinkType.linuxSll:
      return etherProtocol(state, value, equals(load(state.typeOffset, 2), SLL_802_2), at);
    case LinkType.linuxSll2:
      return equals(load(state.typeOffset, 2), value);
    case LinkType.null:
    case LinkType.loop:
      return loopbackProtocol(state.linkType === LinkType.loop, value);
    case LinkType.raw:
    case LinkType.rawBsd:
    case LinkType.rawOpenBsd:
      if (value === EtherType.ipv4) return equals(load(0, 1), 0x40, 0xf0);
      return value === EtherType.ipv6 ? equals(load(0, 1), 0x60, 0xf0) : never;
    case LinkType.ipv4:
      return value === EtherType.ipv4 ? always : never;
    case LinkType.ipv6:
      return value === EtherType.ipv6 ? always : never;
    default: {
      const name = linkName(state.linkType);
      throw filterError('FILTER_LINK_TYPE', at, `${name} packets can not be filtered by protocol`, {
        accepted: 'len, less, greater and link[…] on this link type',
      });
    }
  }
}

function etherProtocol(state: LinkState, value: number, llcFrame: Test, at: number): Test {
  if (value > ETHERNET_LENGTH_MAX) {
    if (value === ATALK || value === AARP) throw unsupportedProtocol(value, at);
    return equals(load(state.typeOffset, 2), value);
  }
  if (value === SAP_IPX) throw unsupportedProtocol(value, at);
  const bothPoints = value === SAP_ISO || value === SAP_IP || value === SAP_NETBEUI;
  if (bothPoints) {
    return and(llcFrame, equals(load(state.payloadOffset, 2), (value << 8) | value));
  }
  const point = state.linkType === LinkType.ethernet ? state.typeOffset + 2 : state.payloadOffset;
  return and(llcFrame, equals(load(point, 1), value));
}

function unsupportedProtocol(value: number, at: number): Error {
  return filterError('FILTER_UNSUPPORTED', at, 'IPX and AppleTalk are not supported', {
    found: `0x${value.toString(16)}`,
  });
}

function loopbackProtocol(bigEndianOnly: boolean, value: number): Test {
  const families = value === EtherType.ipv4 ? [AF_INET] : value === EtherType.ipv6 ? AF_INET6 : [];
  const values = families.flatMap((family) =>
    bigEndianOnly ? [family] : [family, (family << 24) >>> 0],
  );
  return values.reduce<Test>(
    (test, family) =>
      test === never ? equals(load(0, 4), family) : or(test, equals(load(0, 4), family)),
    never,
  );
}
