/**
 * The matches of iptables rules as data: the closed vocabulary that plans are written in and that
 * the walk evaluates. Names and meanings are those of the kernel's xt_* modules and of
 * iptables-extensions(8); a module that is not here is refused where rules are read or written.
 *
 * A rule's first part (addresses, interfaces, protocol) is the kernel's `struct ipt_ip`, kept apart
 * because iptables-save always prints it first, whatever the order it was typed in.
 * @module
 */
import type { Prefix } from '../wire/address.ts';

/** A value of the rule's head with its `!`. */
export interface Negatable<T> {
  readonly value: T;
  readonly negate: boolean;
}

/** The head of a rule: `struct ipt_ip` / `ip6t_ip6`. Absent parts match everything. */
export interface IpMatch {
  readonly source?: Negatable<Prefix>;
  readonly destination?: Negatable<Prefix>;
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

/** Which address or port of the packet a set match looks at, one per dimension. */
export type SetDirection = 'src' | 'dst';

export type Match =
  | {
      readonly kind: 'tcp';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
      /** Flag bits as in the TCP header: of `mask`, exactly `set` are on. */
      readonly flags?: Negatable<{ readonly mask: number; readonly set: number }>;
      readonly option?: Negatable<number>;
    }
  | {
      readonly kind: 'udp' | 'sctp' | 'dccp' | 'udplite';
      readonly sport?: Negatable<PortRange>;
      readonly dport?: Negatable<PortRange>;
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
  | { readonly kind: 'comment'; readonly text: string };

export type MatchKind = Match['kind'];
