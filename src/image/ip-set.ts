/**
 * Compiled ip sets. (Signatures first; bodies follow.)
 * @module
 */
import type { SetDirection } from '../netfilter/match.ts';
import type { Address, Family } from '../wire/address.ts';

/** What a set may ask of a packet (image knows no packets). */
export interface SetView {
  readonly family: Family;
  readonly src: Address;
  readonly dst: Address;
  readonly protocol: number;
  /**
   * The port that ip_set_getport.c reads: of TCP, UDP, UDP-Lite and SCTP the port, of ICMP type and
   * code as one number, of any other protocol 0.
   * @returns -1 when the packet has none, `PORT_CUT` when the capture cut it off.
   */
  setPort(direction: SetDirection): number;
}

export const PORT_CUT = -2;

export interface CompiledSet {
  readonly name: string;
  /** How many dimensions a rule must give for the set to match at all. */
  readonly dimension: number;
  /** `cut`: the answer lies in bytes that the capture does not have. */
  test(view: SetView, directions: readonly SetDirection[]): boolean | 'cut';
}
