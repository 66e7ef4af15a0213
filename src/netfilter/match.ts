/**
 * The matches of iptables rules as data: the closed vocabulary that plans are written in and that
 * the walk evaluates. Names and meanings are those of the kernel's xt_* modules and of
 * iptables-extensions(8); a module that is not here is refused where rules are read or written.
 *
 * A rule's first part (addresses, interfaces, protocol) is the kernel's `struct ipt_ip`, kept
 * apart because iptables-save always prints it first, whatever the order it was typed in.
 * @module
 */
import type { Address, Prefix } from '../wire/address/address.ts';
import type { ChunkTypes, FurtherMatch, HeadNetwork } from './further-match.ts';

/** What stands for an address in dumps that somebody made anonymous. */
export const REDACTED_MAC = 'XX:XX:XX:XX:XX:XX';

/** A value of the rule's head with its `!`. */
export interface Negatable<T> {
  readonly value: T;
  readonly negate: boolean;
}

/** The head of a rule: `struct ipt_ip` / `ip6t_ip6`. Absent parts match everything. */
export interface IpMatch {
  readonly source?: Negatable<HeadNetwork>;
  readonly destination?: Negatable<HeadNetwork>;
  /** Interface name; a trailing `+` matches any name that starts so. */
  readonly inInterface?: Negatable<string>;
  readonly outInterface?: Negatable<string>;
  readonly protocol?: Negatable<number>;
  /** `-f`: second and further fragments only (IPv4). */
  readonly fragment?: Negatable<true>;
}

/** Inclusive range of ports (or of any 16-bit number). */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** Connection states that rules can ask for (xt_conntrack `XT_CONNTRACK_STATE_*`). */
export const CT_STATES = [
  'INVALID',
  'NEW',
  'RELATED',
  'ESTABLISHED',
  'UNTRACKED',
  'SNAT',
  'DNAT',
] as const;
export type CtState = (typeof CT_STATES)[number];

/** Kinds of address as the routing table sees them (xt_addrtype, `RTN_*`). */
export const ADDRESS_TYPES = [
  'UNSPEC',
  'UNICAST',
  'LOCAL',
  'BROADCAST',
  'ANYCAST',
  'MULTICAST',
  'BLACKHOLE',
  'UNREACHABLE',
  'PROHIBIT',
] as const;
export type AddressType = (typeof ADDRESS_TYPES)[number];

/** Status bits that rules can ask for (xt_conntrack `--ctstatus`, `IPS_*`). */
export const CT_STATUSES = ['NONE', 'EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED'] as const;
export type CtStatus = (typeof CT_STATUSES)[number];

/** What hashlimit counts by (`--hashlimit-mode`). */
export const HASHLIMIT_MODES = ['srcip', 'srcport', 'dstip', 'dstport'] as const;
export type HashlimitMode = (typeof HASHLIMIT_MODES)[number];

/** How the link layer addressed the frame (`skb->pkt_type`). */
export const PACKET_TYPES = ['unicast', 'broadcast', 'multicast'] as const;
export type PacketType = (typeof PACKET_TYPES)[number];

/** Inclusive range of addresses of one family. */
export interface AddressRange {
  readonly low: Address;
  readonly high: Address;
}

/** Which address or port of the packet a set match looks at, one per dimension. */
export type SetDirection = 'src' | 'dst';

export type Match =
  | FurtherMatch
  | {
      readonly kind: 'tcp';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
      /** Flag bits as in the TCP header: of `mask`, exactly `set` are on. */
      readonly flags?: Negatable<{ readonly mask: number; readonly set: number }>;
      readonly option?: Negatable<number>;
    }
  | {
      readonly kind: 'udp' | 'udplite';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
    }
  | {
      readonly kind: 'sctp';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
      readonly chunks?: Negatable<ChunkTypes>;
    }
  | {
      readonly kind: 'dccp';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
      /** Packet types 0–15 (RFC 4340 section 5.1). */
      readonly types?: Negatable<readonly number[]>;
      readonly option?: Negatable<number>;
    }
  | {
      readonly kind: 'icmp' | 'icmp6';
      /** Type 0–255 with inclusive code range; type 255 of ICMP means any. */
      readonly type: Negatable<{ readonly type: number; readonly codes: PortRange }>;
    }
  | {
      readonly kind: 'multiport';
      readonly which: 'sports' | 'dports' | 'ports';
      readonly ports: readonly PortRange[];
      readonly negate: boolean;
    }
  | { readonly kind: 'conntrack'; readonly states: readonly CtState[]; readonly negate: boolean }
  /** xt_state: the same test under its old name (`-m state --state`). */
  | { readonly kind: 'state'; readonly states: readonly CtState[]; readonly negate: boolean }
  /** `(mark & mask) == value`; values unsigned 32-bit. */
  | {
      readonly kind: 'mark';
      readonly value: number;
      readonly mask: number;
      readonly negate: boolean;
    }
  | {
      readonly kind: 'connmark';
      readonly value: number;
      readonly mask: number;
      readonly negate: boolean;
    }
  | {
      readonly kind: 'set';
      readonly set: string;
      readonly directions: readonly SetDirection[];
      readonly negate: boolean;
    }
  | {
      readonly kind: 'physdev';
      readonly physIn?: Negatable<string>;
      readonly physOut?: Negatable<string>;
      readonly isIn?: Negatable<true>;
      readonly isOut?: Negatable<true>;
      readonly isBridged?: Negatable<true>;
    }
  | {
      readonly kind: 'addrtype';
      readonly source?: Negatable<readonly AddressType[]>;
      readonly destination?: Negatable<readonly AddressType[]>;
      readonly limitIfaceIn: boolean;
      readonly limitIfaceOut: boolean;
    }
  | {
      readonly kind: 'rpfilter';
      readonly loose: boolean;
      readonly validmark: boolean;
      readonly acceptLocal: boolean;
      readonly invert: boolean;
    }
  | { readonly kind: 'comment'; readonly text: string }
  /**
   * xt_conntrack with any condition besides `--ctstate`. Original addresses and ports are those
   * of the first packet before translation, reply ones those that answers really carry.
   */
  | {
      readonly kind: 'conntrackDetail';
      readonly states?: Negatable<readonly CtState[]>;
      readonly protocol?: Negatable<number>;
      readonly originalSource?: Negatable<Prefix>;
      readonly originalDestination?: Negatable<Prefix>;
      readonly replySource?: Negatable<Prefix>;
      readonly replyDestination?: Negatable<Prefix>;
      readonly originalSourcePort?: Negatable<PortRange>;
      readonly originalDestinationPort?: Negatable<PortRange>;
      readonly replySourcePort?: Negatable<PortRange>;
      readonly replyDestinationPort?: Negatable<PortRange>;
      readonly status?: Negatable<readonly CtStatus[]>;
      /** Seconds left. */
      readonly expires?: Negatable<{ readonly low: number; readonly high: number }>;
      readonly direction?: 'ORIGINAL' | 'REPLY';
    }
  /** xt_limit: a bucket of `burst` that gains one packet each `interval` (in 100 µs). */
  | { readonly kind: 'limit'; readonly interval: number; readonly burst: number }
  /** xt_statistic by chance: holds when 31 random bits are below `threshold`. */
  | { readonly kind: 'random'; readonly threshold: number; readonly negate: boolean }
  /**
   * xt_statistic by count: holds for one packet of `every`, first for the one numbered `packet`.
   */
  | {
      readonly kind: 'nth';
      readonly every: number;
      readonly packet: number;
      readonly negate: boolean;
    }
  /** xt_recent; `seconds` and `hitcount` of 0 are no condition. */
  | {
      readonly kind: 'recent';
      readonly operation: 'set' | 'rcheck' | 'update' | 'remove';
      readonly negate: boolean;
      readonly seconds: number;
      readonly reap: boolean;
      readonly hitcount: number;
      readonly ttl: boolean;
      readonly list: string;
      readonly mask: Address;
      readonly side: 'source' | 'destination';
    }
  /** xt_connlimit: more than (`above`) or at most `limit` connections per masked address. */
  | {
      readonly kind: 'connlimit';
      readonly above: boolean;
      readonly limit: number;
      readonly maskLength: number;
      readonly side: 'source' | 'destination';
    }
  /** xt_hashlimit by packets: `interval` in microseconds; times of the table in milliseconds. */
  | {
      readonly kind: 'hashlimit';
      readonly above: boolean;
      readonly interval: number;
      readonly burst: number;
      readonly modes: readonly HashlimitMode[];
      readonly name: string;
      readonly sourceLength: number;
      readonly destinationLength: number;
      readonly size?: number;
      readonly max?: number;
      readonly gcInterval?: number;
      readonly expire?: number;
    }
  /** xt_nfacct: counts under a name, and always holds. */
  | { readonly kind: 'nfacct'; readonly name: string }
  /** xt_owner: the socket that a local packet comes from. */
  | {
      readonly kind: 'owner';
      readonly uid?: Negatable<{ readonly low: number; readonly high: number }>;
      readonly gid?: Negatable<{ readonly low: number; readonly high: number }>;
      readonly socketExists?: Negatable<true>;
      readonly supplementaryGroups?: true;
    }
  /** xt_length: bytes of the IP packet, IPv6 payload and header together. */
  | { readonly kind: 'length'; readonly range: PortRange; readonly negate: boolean }
  /** xt_hl: TTL of IPv4 (`ttl`), hop limit of IPv6 (`hl`); only `eq` can be inverted. */
  | {
      readonly kind: 'ttl' | 'hl';
      readonly comparison: 'eq' | 'lt' | 'gt';
      readonly value: number;
      readonly negate: boolean;
    }
  /** xt_mac: the frame's source address, lower case; `REDACTED_MAC` when it was blacked out. */
  | { readonly kind: 'mac'; readonly address: string; readonly negate: boolean }
  | { readonly kind: 'pkttype'; readonly type: PacketType; readonly negate: boolean }
  | {
      readonly kind: 'iprange';
      readonly source?: Negatable<AddressRange>;
      readonly destination?: Negatable<AddressRange>;
    }
  /** Upper six bits of the traffic class. */
  | { readonly kind: 'dscp'; readonly value: number; readonly negate: boolean }
  /** `(traffic class & mask) == value`. */
  | {
      readonly kind: 'tos';
      readonly value: number;
      readonly mask: number;
      readonly negate: boolean;
    }
  /** xt_helper: the connection was expected by this helper; empty means by any. */
  | { readonly kind: 'helper'; readonly name: string; readonly negate: boolean };

export type MatchKind = Match['kind'];
