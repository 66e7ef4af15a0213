/**
 * What a rule does when all its matches hold: verdicts, jumps and the xt_* targets, as data.
 * Names and meanings are those of the kernel and of iptables-extensions(8).
 * @module
 */
import type { Address, Prefix } from '../wire/address/address.ts';
import type { PortRange, SetDirection } from './match.ts';

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

/** Options of LOG that add to the line, in the order in which they are printed. */
export const LOG_FLAGS = ['tcp-sequence', 'tcp-options', 'ip-options', 'uid', 'macdecode'] as const;
export type LogFlag = (typeof LOG_FLAGS)[number];

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
      /** Of the new connection mark (`set`), or of the bits that move (`save`, `restore`). */
      readonly shift?: { readonly direction: 'left' | 'right'; readonly bits: number };
    }
  | { readonly kind: 'reject'; readonly with: RejectWith }
  | {
      readonly kind: 'log';
      readonly prefix: string;
      readonly level: number;
      /** What more the log line says; decides nothing. */
      readonly flags?: readonly LogFlag[];
    }
  /** xt_CT `--notrack`; `alias` when it was written `-j NOTRACK`, which decides nothing. */
  | { readonly kind: 'notrack'; readonly alias?: true }
  | { readonly kind: 'masquerade'; readonly range: NatRange }
  | { readonly kind: 'snat' | 'dnat'; readonly range: NatRange }
  /** xt_TTL / xt_HL. */
  | { readonly kind: 'ttl'; readonly operation: 'set' | 'inc' | 'dec'; readonly value: number }
  /** xt_CT without `--notrack`: the new connection's template. */
  | {
      readonly kind: 'ct';
      readonly helper?: string;
      /** `mark`: the packet's mark names the zone. */
      readonly zone?: number | 'mark';
      readonly zoneDirection?: 'orig' | 'reply';
    }
  /** xt_REDIRECT: to the address of the device that the packet came in by, or to loopback. */
  | { readonly kind: 'redirect'; readonly range: NatRange }
  /** xt_NETMAP: the network part becomes that of `to`, the host part stays. */
  | { readonly kind: 'netmap'; readonly to: Prefix }
  /** xt_TCPMSS: lower the MSS option of SYNs to this, or to the path's MTU less headers. */
  | { readonly kind: 'tcpmss'; readonly mss: number | 'pmtu' }
  /** xt_TOS: `class = (class & ~mask) ^ value`. */
  | { readonly kind: 'tos'; readonly value: number; readonly mask: number }
  | { readonly kind: 'dscp'; readonly value: number }
  /** xt_CHECKSUM `--checksum-fill`. */
  | { readonly kind: 'checksum' }
  /** xt_CLASSIFY: queueing class, for the shaper only. */
  | { readonly kind: 'classify'; readonly major: number; readonly minor: number }
  /** xt_SET: add or delete the packet's address; the walk goes on. */
  | {
      readonly kind: 'set';
      readonly operation: 'add' | 'del';
      readonly set: string;
      readonly directions: readonly SetDirection[];
      readonly exist: boolean;
      /** Seconds; for `add` only. */
      readonly timeout?: number;
    }
  | {
      readonly kind: 'nflog';
      readonly prefix: string;
      readonly group: number;
      readonly size?: number;
      readonly threshold: number;
    }
  /**
   * No target of a kernel: what the platform that such rules stand for does here is documented
   * nowhere, so that no verdict can be given.
   */
  | { readonly kind: 'undocumented'; readonly reason?: 'nameDecides' }
  /** Log the packet's way through the tables (xt_TRACE), or record a verdict (xt_AUDIT). */
  | { readonly kind: 'trace' }
  | { readonly kind: 'audit'; readonly type: 'accept' | 'drop' | 'reject' };

export type TargetKind = Target['kind'];
