/**
 * What a packet had instead of what a rule wanted, in a rule's own words: for traces only.
 * @module
 */
import type { RulePart } from '../../image/image.ts';
import type { LinkedRule } from '../../image/program.ts';
import type { Match } from '../../netfilter/match.ts';
import type { Packet } from '../../packet/packet.ts';
import { formatAddress } from '../../wire/address/address.ts';
import { u8, u16 } from '../../wire/bytes.ts';
import { source } from '../../wire/header/ethernet.ts';
import { protocolName } from '../../wire/protocol.ts';
import type { WalkContext } from '../hook/walk-context.ts';
import { connectionOf, packetStates } from './host/conntrack.ts';
import { packetClass, packetTtl, packetType } from './packet/header.ts';
import { transportHeader } from './packet/transport.ts';

/** Say what the packet had where `part` of `rule` did not hold. */
export function foundInstead(
  ctx: WalkContext,
  rule: LinkedRule,
  part: RulePart,
  packet: Packet,
): string {
  switch (part) {
    case 'source':
      return `src ${formatAddress(packet.src)}`;
    case 'destination':
      return `dst ${formatAddress(packet.dst)}`;
    case 'inInterface':
      return packet.inDevice === '' ? 'no input interface' : `in ${packet.inDevice}`;
    case 'outInterface':
      return packet.outDevice === '' ? 'no output interface' : `out ${packet.outDevice}`;
    case 'protocol':
      return `protocol ${protocolName(packet.protocol)}`;
    case 'fragment':
      return packet.fragmentOffset > 0
        ? `fragment at ${packet.fragmentOffset}`
        : 'no later fragment';
    default: {
      const linked = rule.matches[part];
      return linked === undefined ? '' : foundForMatch(ctx, linked.match, packet);
    }
  }
}

function foundForMatch(ctx: WalkContext, match: Match, packet: Packet): string {
  switch (match.kind) {
    case 'tcp':
      return `${ports(packet)}${tcpFlags(packet)}`;
    case 'udp':
    case 'udplite':
    case 'sctp':
    case 'dccp':
    case 'multiport':
      return ports(packet);
    case 'icmp':
    case 'icmp6':
      return icmpType(packet);
    case 'conntrack':
    case 'conntrackDetail':
    case 'state':
      return `ctstate ${[...packetStates(ctx, packet)].join(',')}`;
    case 'mark':
      return `mark ${hex(packet.mark)}`;
    case 'connmark': {
      const connection = connectionOf(packet);
      return connection === null
        ? 'no connection'
        : `connmark ${hex(ctx.connections.mark(connection))}`;
    }
    case 'set':
      return setFields(match.directions, packet);
    case 'physdev':
      return `physdev in ${packet.physIn || 'none'} out ${packet.physOut || 'none'}`;
    case 'addrtype':
      return [packet.src, packet.dst]
        .map((a, i) => `${i === 0 ? 'src' : 'dst'} ${formatAddress(a)} ${kind(ctx, a)}`)
        .join(', ');
    case 'rpfilter':
      return `src ${formatAddress(packet.src)} in ${packet.inDevice}`;
    case 'iprange':
      return `src ${formatAddress(packet.src)} dst ${formatAddress(packet.dst)}`;
    case 'length':
      return `length ${packet.end - packet.l3}`;
    case 'ttl':
    case 'hl':
      return `ttl ${packetTtl(packet)}`;
    case 'dscp':
    case 'tos':
      return `tos ${hex(packetClass(packet))}`;
    case 'pkttype':
      return `pkttype ${packetType(ctx, packet)}`;
    case 'mac':
      return packet.l3 >= 14 ? `mac ${source(packet.bytes)}` : 'no link header';
    default:
      return '';
  }
}

function kind(ctx: WalkContext, address: Packet['src']): string {
  return ctx.image.fib.addressType(address);
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

/** Why there are no ports, or the ports. */
function ports(packet: Packet): string {
  const at = transportHeader(packet, 4);
  if (at === 'fragment') return `fragment at ${packet.fragmentOffset}, no ports`;
  if (typeof at !== 'number') return `no ports (${at})`;
  return `sport ${u16(packet.bytes, at)} dport ${u16(packet.bytes, at + 2)}`;
}

function tcpFlags(packet: Packet): string {
  const at = transportHeader(packet, 20);
  return typeof at === 'number' ? ` flags ${hex(u8(packet.bytes, at + 13))}` : '';
}

function icmpType(packet: Packet): string {
  const at = transportHeader(packet, 2);
  if (typeof at !== 'number') return `no type (${at})`;
  return `type ${u8(packet.bytes, at)}/${u8(packet.bytes, at + 1)}`;
}

function setFields(directions: readonly ('src' | 'dst')[], packet: Packet): string {
  const address = formatAddress(directions[0] === 'src' ? packet.src : packet.dst);
  const head = `${directions[0] ?? ''} ${address}`;
  if (directions.length < 2) return head;
  return `${head} ${protocolName(packet.protocol)} ${ports(packet)}`;
}
