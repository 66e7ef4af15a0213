/**
 * What a set sees of a packet.
 *
 * Source: net/netfilter/ipset/ip_set_getport.c `ip_set_get_ip4_port`, `ip_set_get_ip6_port`.
 * @module
 */

import type { SetMemory } from '../../../image/set/set-memory.ts';
import { PORT_CUT, type SetView } from '../../../image/set/set-view.ts';
import type { Packet } from '../../../packet/packet.ts';
import type { Family } from '../../../wire/address/address.ts';
import { u8, u16 } from '../../../wire/bytes.ts';
import { Protocol } from '../../../wire/protocol.ts';
import type { WalkContext } from '../../hook/walk-context.ts';
import { memoryOf } from '../memory/rule-memory.ts';
import { transportHeader } from '../packet/transport.ts';

/** The members of sets that change, as they are now. */
export function setMemory(ctx: WalkContext): SetMemory {
  return { nowNs: ctx.nowNs, sets: memoryOf(ctx).sets };
}

/**
 * A packet as sets see it (ip_set_getport.c): a later IPv4 fragment has no port where its protocol
 * has ports, and port 0 where it has none (ICMPv6 over IPv4 counts as such); a later IPv6 fragment
 * never has one.
 */
export class PacketSetView implements SetView {
  readonly #packet: Packet;

  constructor(packet: Packet) {
    this.#packet = packet;
  }

  get family(): Family {
    return this.#packet.family === 6 ? 6 : 4;
  }

  get src() {
    return this.#packet.src;
  }

  get dst() {
    return this.#packet.dst;
  }

  get protocol() {
    return this.#packet.protocol;
  }

  setPort(direction: 'src' | 'dst'): number {
    const packet = this.#packet;
    if (packet.family === 6 ? packet.fragmentOffset > 0 : packet.protocol === 0) return -1;
    const length = SET_HEADER_LENGTH.get(packet.protocol);
    if (length === undefined) return 0;
    if (packet.fragmentOffset > 0) return packet.protocol === Protocol.icmpv6 ? 0 : -1;
    const at = transportHeader(packet, length);
    if (at === 'cut') return PORT_CUT;
    if (typeof at !== 'number') return -1;
    const isIcmp = packet.protocol === Protocol.icmp || packet.protocol === Protocol.icmpv6;
    if (isIcmp) return (u8(packet.bytes, at) << 8) | u8(packet.bytes, at + 1);
    return u16(packet.bytes, direction === 'src' ? at : at + 2);
  }
}

/** How much of the header ip_set_getport.c wants to see before it answers. */
const SET_HEADER_LENGTH: ReadonlyMap<number, number> = new Map([
  [Protocol.tcp, 20],
  [Protocol.sctp, 12],
  [Protocol.udp, 8],
  [Protocol.udplite, 8],
  [Protocol.icmp, 8],
  [Protocol.icmpv6, 8],
]);
