/**
 * What nobody knows of a host: parts that a partial dump does not hold. Whatever one of them would
 * decide has no verdict.
 *
 * Devices that nobody listed have names that no kernel would give them (`uplink?`), so that a rule
 * that names a device is seen to ask about something unknown.
 * @module
 */
import type { Family } from '../wire/address/address.ts';

export interface ImageGaps {
  /** Families whose rules are not known. */
  readonly tables: ReadonlySet<Family>;
  readonly ebtables: boolean;
  /** The host's own addresses are not all known. */
  readonly addresses: boolean;
  /** Some routes are assumed (`RouteResult.assumed`). */
  readonly routes: boolean;
  /** Settings are assumed: whether it checks where packets come from is not known. */
  readonly sysctls: boolean;
  /** There are virtual servers, and nobody listed them. */
  readonly virtualServers: boolean;
}

export const NO_GAPS: ImageGaps = {
  tables: new Set(),
  ebtables: false,
  addresses: false,
  routes: false,
  sysctls: false,
  virtualServers: false,
};

/** The last character of an assumed device's name. */
export const ASSUMED_MARK = '?';

/** Is the device one that nobody listed? */
export function isAssumedDevice(name: string): boolean {
  return name.endsWith(ASSUMED_MARK);
}
