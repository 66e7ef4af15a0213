/**
 * Header fields that nft names: where they are, how wide, and which protocol a packet must have for
 * them to be there.
 *
 * Source: nftables 1.0.6 src/proto.c. Not done: fields that exist for some types of ICMP only, link
 * headers, IPv6 extension headers, TCP options.
 * @module
 */
import { Protocol } from '../../wire/protocol.ts';
import { integer, type NftType, nftType } from './datatype.ts';
import type { RawBase } from './expression.ts';

export interface NftField {
  readonly base: RawBase;
  /** Bits from the start of the header. */
  readonly offset: number;
  readonly type: NftType;
}

export interface NftProtocol {
  readonly base: RawBase;
  /** Only packets of this family have it. */
  readonly family?: 'ip' | 'ip6';
  /** Only packets of this transport protocol have it. */
  readonly transport?: number;
  readonly fields: Readonly<Record<string, readonly [offset: number, type: NftType]>>;
}

const PORTS = {
  sport: [0, nftType('inet_service')],
  dport: [16, nftType('inet_service')],
} as const;

const PROTOCOLS: Readonly<Record<string, NftProtocol>> = {
  ip: {
    base: 'nh',
    family: 'ip',
    fields: {
      version: [0, integer(4)],
      hdrlength: [4, integer(4)],
      dscp: [8, nftType('dscp')],
      ecn: [14, nftType('ecn')],
      length: [16, integer(16)],
      id: [32, integer(16)],
      'frag-off': [48, integer(16)],
      ttl: [64, integer(8)],
      protocol: [72, nftType('inet_proto')],
      checksum: [80, integer(16)],
      saddr: [96, nftType('ipv4_addr')],
      daddr: [128, nftType('ipv4_addr')],
    },
  },
  ip6: {
    base: 'nh',
    family: 'ip6',
    fields: {
      version: [0, integer(4)],
      dscp: [4, nftType('dscp')],
      ecn: [10, nftType('ecn')],
      flowlabel: [12, integer(20)],
      length: [32, integer(16)],
      nexthdr: [48, nftType('inet_proto')],
      hoplimit: [56, integer(8)],
      saddr: [64, nftType('ipv6_addr')],
      daddr: [192, nftType('ipv6_addr')],
    },
  },
  th: { base: 'th', fields: PORTS },
  tcp: {
    base: 'th',
    transport: Protocol.tcp,
    fields: {
      ...PORTS,
      sequence: [32, integer(32)],
      ackseq: [64, integer(32)],
      doff: [96, integer(4)],
      reserved: [100, integer(4)],
      flags: [104, nftType('tcp_flag')],
      window: [112, integer(16)],
      checksum: [128, integer(16)],
      urgptr: [144, integer(16)],
    },
  },
  udp: {
    base: 'th',
    transport: Protocol.udp,
    fields: { ...PORTS, length: [32, integer(16)], checksum: [48, integer(16)] },
  },
  udplite: { base: 'th', transport: Protocol.udplite, fields: PORTS },
  sctp: {
    base: 'th',
    transport: Protocol.sctp,
    fields: { ...PORTS, vtag: [32, integer(32)], checksum: [64, integer(32)] },
  },
  dccp: { base: 'th', transport: Protocol.dccp, fields: PORTS },
  icmp: {
    base: 'th',
    family: 'ip',
    transport: Protocol.icmp,
    fields: {
      type: [0, nftType('icmp_type')],
      code: [8, nftType('icmp_code')],
      checksum: [16, integer(16)],
    },
  },
  icmpv6: {
    base: 'th',
    family: 'ip6',
    transport: Protocol.icmpv6,
    fields: {
      type: [0, nftType('icmpv6_type')],
      code: [8, nftType('icmpv6_code')],
      checksum: [16, integer(16)],
    },
  },
};

/** The protocol of this name, or null. */
export function protocolNamed(name: string): NftProtocol | null {
  return Object.hasOwn(PROTOCOLS, name) ? (PROTOCOLS[name] ?? null) : null;
}

/** `PROTOCOL FIELD`; null when there is no such field. */
export function fieldNamed(protocol: string, field: string): NftField | null {
  const found = protocolNamed(protocol);
  const at = found !== null && Object.hasOwn(found.fields, field) ? found.fields[field] : undefined;
  if (found === null || at === undefined) return null;
  return { base: found.base, offset: at[0], type: at[1] };
}
