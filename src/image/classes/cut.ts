/**
 * The constants of a host, as what they do to the values of a field: a *cut* is one question that
 * a rule, set, route or neighbour table asks of an address or a port, given as the ranges of values
 * whose answers differ (SEMANTICS C1: only constants can tell packets apart).
 *
 * lowering/cuts.ts reads them off a plan; image/classes/* makes classes of them.
 * @module
 */
import type { Family, Prefix } from '../../wire/address/address.ts';

/** Which end of a packet. */
export const SIDES = ['source', 'destination'] as const;
export type Side = (typeof SIDES)[number];

/** A prefix and the answer that addresses in it get; any text that is equal for equal answers. */
export interface PrefixAnswer {
  readonly prefix: Prefix;
  readonly answer: string;
}

/** A question about an address. */
export interface AddressCut {
  readonly kind: 'address';
  readonly family: Family;
  readonly sides: readonly Side[];
  /** Who asks, for listings (`set ns-shop`, `routes of table 254`). */
  readonly what: string;
  /**
   * Equal for equal questions, which are asked once: a text, or an object that all hosts with the
   * question share. Absent: not worth remembering.
   */
  readonly key?: string | object;
  /** Which of the questions about an object that is the key. */
  readonly about?: string;
  /**
   * Made when asked for. Addresses in no prefix answer ''. Where prefixes nest, the longest answers
   * alone, unless `chained`: then what the shorter ones say counts too (a longer route may be
   * unusable).
   */
  readonly answers: () => readonly PrefixAnswer[];
  readonly chained: boolean;
}

/** Inclusive; ranges of one cut do not overlap. */
export interface PortAnswer {
  readonly low: number;
  readonly high: number;
  readonly answer: string;
}

/** Protocols whose ports have classes: those of packets that the fast path takes. */
export const PORT_PROTOCOLS = ['tcp', 'udp'] as const;
export type PortProtocol = (typeof PORT_PROTOCOLS)[number];

/** A question about a port. */
export interface PortCut {
  readonly kind: 'port';
  readonly protocols: readonly PortProtocol[];
  readonly sides: readonly Side[];
  readonly what: string;
  readonly key?: string | object;
  readonly answers: () => readonly PortAnswer[];
}

export type Cut = AddressCut | PortCut;
