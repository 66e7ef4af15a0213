/**
 * What a rule does when all its matches hold: verdicts, jumps and the xt_* targets, as data.
 * Names and meanings are those of the kernel and of iptables-extensions(8).
 * @module
 */
import type { Address } from '../wire/address.ts';
import type { PortRange } from './match.ts';

/** `--reject-with` of REJECT (ipt_REJECT, ip6t_REJECT). */
export const REJECT_WITH = [
  'icmp-net-unreachable',
  'icmp-host-unreachable',
  'icmp-port-unreachable',
  'icmp-proto-unreachable',
  'icmp-net-prohibited',
  'icmp-host-prohibited',
  'icmp-admin-prohibited',
  'icmp6-no-route',
  'icmp6-adm-prohibited',
  'icmp6-addr-unreachable',
  'icmp6-port-unreachable',
  'icmp6-policy-fail',
  'icmp6-reject-route',
  'tcp-reset',
] as const;
export type RejectWith = (typeof REJECT_WITH)[number];

/** Where translation may take the new address and port from (`nf_nat_range2`). */
export interface NatRange {
  readonly low?: Address;
  readonly high?: Address;
  readonly ports?: PortRange;
  readonly random: boolean;
  readonly randomFully: boolean;
  readonly persistent: boolean;
}

export type Target =
  /** A rule without `-j`: counts, and the walk goes on. */
  | { readonly kind: 'none' }
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** xt_MARK revision 2: `mark = (mark & ~mask) ^ value`; iptables-save prints `--set-xmark`. */
  | { readonly kind: 'mark'; readonly value: number; readonly mask: number }
  | {
      readonly kind: 'connmark';
      readonly operation: 'set' | 'save' | 'restore';
      readonly value: number;
      readonly mask: number;
      readonly nfmask: number;
    }
  | { readonly kind: 'reject'; readonly with: RejectWith }
  | { readonly kind: 'log'; readonly prefix: string; readonly level: number }
  /** xt_CT `--notrack`, or raw's NOTRACK. */
  | { readonly kind: 'notrack' }
  | { readonly kind: 'masquerade'; readonly range: NatRange }
  | { readonly kind: 'snat' | 'dnat'; readonly range: NatRange }
  /** xt_TTL / xt_HL. */
  | { readonly kind: 'ttl'; readonly operation: 'set' | 'inc' | 'dec'; readonly value: number };

export type TargetKind = Target['kind'];
