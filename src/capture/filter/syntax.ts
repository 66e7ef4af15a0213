/**
 * A parsed filter expression, before any link type is known.
 * @module
 */
import type { Prefix } from '../../wire/address/address.ts';
import type { ProtocolWord } from './names.ts';

export type Direction = 'src' | 'dst' | 'or' | 'and';
export type AddressKind = 'host' | 'net' | 'port' | 'portrange' | 'proto';

/** The qualifiers before an id. */
export interface Qualifiers {
  readonly protocol: ProtocolWord | null;
  /** null: none was written. */
  readonly direction: Direction | null;
  readonly kind: AddressKind | null;
}

export type Relation = '>' | '>=' | '=' | '<=' | '<' | '!=';
export type BinaryOperator = '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '<<' | '>>';

export type Arithmetic =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'length' }
  | { readonly kind: 'negate'; readonly operand: Arithmetic }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Arithmetic;
      readonly right: Arithmetic;
    }
  | {
      readonly kind: 'load';
      readonly protocol: ProtocolWord;
      readonly index: Arithmetic;
      readonly size: 1 | 2 | 4;
      readonly at: number;
    };

/** Protocols that have ports; null is all three. */
export type PortProtocol = 'tcp' | 'udp' | 'sctp' | null;

/** `at` is where the primitive starts in the expression, for messages that need the link type. */
export type Node =
  | { readonly kind: 'and' | 'or'; readonly left: Node; readonly right: Node }
  | { readonly kind: 'not'; readonly operand: Node }
  | {
      readonly kind: 'address4';
      readonly protocol: 'ip' | 'arp' | 'rarp' | null;
      readonly direction: Direction;
      readonly value: number;
      readonly mask: number;
      readonly at: number;
    }
  | {
      readonly kind: 'address6';
      readonly direction: Direction;
      readonly prefix: Prefix;
      readonly at: number;
    }
  | {
      readonly kind: 'mac';
      readonly direction: Direction;
      readonly address: readonly number[];
      readonly at: number;
    }
  | {
      readonly kind: 'ports';
      readonly protocol: PortProtocol;
      readonly direction: Direction;
      readonly low: number;
      readonly high: number;
      readonly at: number;
    }
  | { readonly kind: 'linkProtocol'; readonly value: number; readonly at: number }
  | {
      readonly kind: 'ipProtocol';
      readonly family: 'ip' | 'ip6' | null;
      readonly value: number;
      readonly at: number;
    }
  | { readonly kind: 'abbreviation'; readonly protocol: ProtocolWord; readonly at: number }
  | { readonly kind: 'broadcast'; readonly at: number }
  | { readonly kind: 'multicast'; readonly family: 'ether' | 'ip' | 'ip6'; readonly at: number }
  | { readonly kind: 'vlan'; readonly id: number | null; readonly at: number }
  | { readonly kind: 'inbound' | 'outbound'; readonly at: number }
  | { readonly kind: 'ifindex'; readonly value: number; readonly at: number }
  | {
      readonly kind: 'relation';
      readonly relation: Relation;
      readonly left: Arithmetic;
      readonly right: Arithmetic;
      readonly at: number;
    };
