/**
 * Matches that count what went before, read a packet's bytes, or ask the clock or the host: the
 * rest of the vocabulary of netfilter/match.ts, with the same meanings.
 * @module
 */
import type { Address, Prefix } from '../wire/address/address.ts';

/** Which packets of a connection xt_connbytes counts. */
export const CONNBYTES_DIRECTIONS = ['original', 'reply', 'both'] as const;
export type ConnbytesDirection = (typeof CONNBYTES_DIRECTIONS)[number];

export const CONNBYTES_MODES = ['packets', 'bytes', 'avgpkt'] as const;
export type ConnbytesMode = (typeof CONNBYTES_MODES)[number];

/** One step of a u32 location: take what was read so far, and do this with the number. */
export interface U32Step {
  readonly operation: 'and' | 'left' | 'right' | 'at';
  readonly number: number;
}

/** Read 32 bits at `start` of the packet, take the steps, and look whether it lies in a range. */
export interface U32Test {
  readonly start: number;
  readonly steps: readonly U32Step[];
  readonly ranges: readonly { readonly low: number; readonly high: number }[];
}

export const WEEK_DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;

/** A part of a match, and whether `!` stands before it. */
interface Asked<T> {
  readonly value: T;
  readonly negate: boolean;
}

export type FurtherMatch =
  /** xt_quota: holds while `bytes` last; the first packet that is too long empties it. */
  | { readonly kind: 'quota'; readonly bytes: number; readonly negate: boolean }
  /** xt_connbytes: inclusive; `to` absent is no upper bound. */
  | {
      readonly kind: 'connbytes';
      readonly from: number;
      readonly to?: number;
      readonly direction: ConnbytesDirection;
      readonly mode: ConnbytesMode;
      readonly negate: boolean;
    }
  /** xt_u32: all tests hold; bytes count from the IP header. */
  | { readonly kind: 'u32'; readonly tests: readonly U32Test[]; readonly negate: boolean }
  /**
   * xt_time: seconds since 1970 and since midnight, both ends inclusive; days of the month from 1,
   * of the week from 1 (Monday). Absent lists hold on every day.
   */
  | {
      readonly kind: 'time';
      readonly dateStart: number;
      readonly dateStop: number;
      readonly dayStart: number;
      readonly dayStop: number;
      readonly monthDays?: readonly number[];
      readonly weekDays?: readonly number[];
      readonly contiguous: boolean;
      /** The kernel's time zone instead of UTC. */
      readonly kernelZone: boolean;
    }
  /** xt_policy: whether IPsec handled, or will handle, the packet. */
  | {
      readonly kind: 'policy';
      readonly direction: 'in' | 'out';
      readonly policy: 'none' | 'ipsec';
      readonly strict: boolean;
      /** What is asked of the one transformation, as options; empty when nothing is. */
      readonly element: string;
    }
  /** xt_socket: a socket of the host would take the packet. */
  | {
      readonly kind: 'socket';
      readonly transparent: boolean;
      readonly nowildcard: boolean;
      readonly restoreMark: boolean;
    }
  /** xt_ipvs: a virtual server has handled the packet; what it asks of its connection. */
  | {
      readonly kind: 'ipvs';
      /** Absent where anything else is asked, which no other packet passes. */
      readonly handled?: Asked<true>;
      readonly protocol?: Asked<number>;
      readonly address?: Asked<Prefix>;
      readonly port?: Asked<number>;
      readonly direction?: 'ORIGINAL' | 'REPLY';
      readonly method?: Asked<'GATE' | 'IPIP' | 'MASQ'>;
    }
  /** xt_cgroup: the socket belongs to this control group. */
  | {
      readonly kind: 'cgroup';
      readonly group: { readonly classId: number } | { readonly path: string };
      readonly negate: boolean;
    }
  /**
   * xt_string: the bytes start between `from` and `to` of the packet, counted from its IP header.
   */
  | {
      readonly kind: 'string';
      readonly algorithm: 'bm' | 'kmp';
      readonly from: number;
      readonly to: number;
      readonly pattern: readonly number[];
      readonly ignoreCase: boolean;
      readonly negate: boolean;
    };

/** How the chunks of an SCTP packet are compared with a list (xt_sctp). */
export const CHUNK_MODES = ['all', 'any', 'only'] as const;

export interface ChunkTypes {
  readonly mode: (typeof CHUNK_MODES)[number];
  /** Types 0–255; of a type with `flags`, only chunks count whose flag bits `mask` equal `set`. */
  readonly chunks: readonly {
    readonly type: number;
    readonly flags?: { readonly mask: number; readonly set: number };
  }[];
}

/** Either form in which a rule's head can name addresses. */
export type HeadNetwork = Prefix & { readonly mask?: Address };
