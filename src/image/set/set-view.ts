/**
 * What every compiled set can be asked, and what it may ask of a packet.
 *
 * Source: net/netfilter/ipset/ip_set_core.c `ip_set_test`, `ip_set_add`; ip_set_getport.c.
 * @module
 */
import type { SetType } from '../../netfilter/ip-set.ts';
import type { SetDirection } from '../../netfilter/match.ts';
import type { Address, Family, Prefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { SetMemory } from './set-memory.ts';

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
  readonly type: SetType;
  /** How many dimensions a rule must give for the set to match at all. */
  readonly dimension: number;
  /** Which of a rule's directions it asks for the port, from 0. */
  readonly portDimensions: readonly number[];
  /** Whether its answers may change while packets pass. */
  readonly changes: boolean;
  /**
   * `cut`: the answer lies in bytes that the capture does not have; `missing`: in members that
   * nobody knows.
   */
  test(view: SetView, directions: readonly SetDirection[], memory?: SetMemory): SetAnswer;
  /**
   * Where its members are, of sets that ask for one address and nothing else: an address outside of
   * all of these is none. Null, or absent, where that can not be said.
   */
  prefixes?(): Iterable<Prefix> | null;
  /** Add or delete the packet's element; absent on sets of which it has none to give. */
  change?(
    view: SetView,
    directions: readonly SetDirection[],
    memory: SetMemory,
    change: SetChange,
  ): ChangeResult;
}

export type SetAnswer = boolean | 'cut' | 'missing';

/** How many dimensions a type has (`ip_set_type.dimension`). */
export const SET_DIMENSION: Readonly<Record<SetType, number>> = {
  'hash:ip': 1,
  'hash:net': 1,
  'hash:ip,port': 2,
  'hash:net,port': 2,
  'hash:ip,port,ip': 3,
  'hash:ip,port,net': 3,
  'bitmap:port': 1,
  'list:set': 1,
};

/** At which of its dimensions a type has ports. */
export function portDimensions(type: SetType): readonly number[] {
  if (type === 'bitmap:port') return [0];
  return SET_DIMENSION[type] > 1 ? [1] : [];
}

/** What a SET rule wants done; `timeout` in seconds, 0 for ever. */
export interface SetChange {
  readonly operation: 'add' | 'del';
  readonly exist: boolean;
  readonly timeout?: number;
}

/**
 * `refused`: the set stays as it is; `cut`: bytes decide that the capture does not have; `missing`:
 * nobody knows the set.
 */
export type ChangeResult = 'done' | 'refused' | 'cut' | 'missing';

/** Protocols whose members keep their port (`ip_set_proto_with_ports` and the family's ICMP). */
const WITH_PORTS: ReadonlySet<number> = new Set([
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
]);

/** The port as the kernel stores it: 0 where the protocol has none. */
export function storedPort(
  family: Family,
  member: { readonly protocol: number; readonly port: number },
): number {
  const icmp = family === 4 ? Protocol.icmp : Protocol.icmpv6;
  return WITH_PORTS.has(member.protocol) || member.protocol === icmp ? member.port : 0;
}
