/**
 * What iproute2 says of a host, one record per object, whichever form it was written in: the JSON
 * of `ip -j` and `bridge -j` and their plain text come to the same records.
 *
 * Texts stay as they were found; what they mean is read where plans are made of them.
 * Source: iproute2 6.1, ip/ipaddress.c, ip/iproute.c, ip/iprule.c, ip/ipneigh.c, bridge/link.c,
 * bridge/fdb.c.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Family } from '../../wire/address/address.ts';

/** Where a record stands; JSON has no lines. */
export interface RecordPlace {
  readonly file: string;
  readonly line?: number;
}

export interface AddressRecord {
  readonly local: string;
  readonly length: number;
  readonly scope: string;
}

export interface LinkRecord {
  readonly at: RecordPlace;
  readonly name: string;
  /** The other end of a veth pair or the device beneath, when it has one. */
  readonly peer?: string;
  readonly flags: readonly string[];
  readonly mtu?: number;
  readonly master?: string;
  /** `ether`, `loopback`, `none`, `ipip` …; bridge(8) does not say. */
  readonly linkType?: string;
  readonly mac?: string;
  /** Driver: `veth`, `bridge`, `vxlan` …; only with `-d`. */
  readonly kind?: string;
  readonly hairpin?: boolean;
  readonly promiscuity?: number;
  /** Absent when the command does not list addresses. */
  readonly addresses?: readonly AddressRecord[];
}

export interface RouteRecord {
  readonly at: RecordPlace;
  readonly type: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly table: string;
  readonly protocol?: string;
  readonly scope?: string;
  readonly prefsrc?: string;
  readonly metric: number;
  readonly flags: readonly string[];
  /** A route over several next hops at once. */
  readonly multipath: boolean;
  /** The family of the file, for `default`, which does not say. */
  readonly family?: Family;
}

export interface RuleRecord {
  readonly at: RecordPlace;
  readonly priority: number;
  readonly not: boolean;
  readonly src: string;
  readonly dst: string;
  readonly iif?: string;
  readonly oif?: string;
  readonly fwmark?: string;
  readonly table?: string;
  /** Selectors and actions that have no place here, as they were written. */
  readonly others: readonly string[];
  readonly family?: Family;
}

export interface NeighborRecord {
  readonly at: RecordPlace;
  readonly dst: string;
  readonly dev: string;
  readonly mac?: string;
  readonly states: readonly string[];
}

export interface FdbRecord {
  readonly at: RecordPlace;
  readonly mac: string;
  readonly dev: string;
  readonly master?: string;
  readonly state: string;
}

/** A record that can not be read: what is wrong, where, and the text. */
export function recordFault(
  at: RecordPlace,
  message: string,
  found: string,
  accepted?: string,
): Diagnostic {
  return {
    code: 'DUMP_RECORD',
    ...at,
    message,
    found: found.length > 200 ? `${found.slice(0, 200)} …` : found,
    ...(accepted === undefined ? {} : { accepted }),
  };
}
