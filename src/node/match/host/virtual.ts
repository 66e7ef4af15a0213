/**
 * The match that asks for the virtual server that handled a packet.
 *
 * Source: net/netfilter/xt_ipvs.c `ipvs_mt` (Linux 6.1): but for `--ipvs` alone, only a packet that
 * goes to a real server passes, found by its connection as that of an answer turned round.
 * @module
 */
import type { FurtherMatch } from '../../../netfilter/further-match.ts';
import { packetEnds } from '../../../packet/ends.ts';
import type { Packet } from '../../../packet/packet.ts';
import { contains } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';

type VirtualMatch = Extract<FurtherMatch, { kind: 'ipvs' }>;

export function virtualHolds(ctx: WalkContext, match: VirtualMatch, packet: Packet): boolean {
  const isServed = packet.virtualServed === true;
  if (match.handled !== undefined) return isServed !== match.handled.negate;
  if (!isServed || packet.l4 < 0) return false;
  const { protocol } = packet;
  if (match.protocol && (protocol === match.protocol.value) === match.protocol.negate) return false;
  const { src, dst, sport, dport } = packetEnds(packet);
  const real = { address: dst, port: dport };
  const found = ctx.virtual?.fromReal(protocol, real, { address: src, port: sport }) ?? null;
  if (found === null) return false;
  const { address, port } = found.virtual;
  if (match.port && (port === match.port.value) === match.port.negate) return false;
  if (match.direction !== undefined) {
    if (packet.connection === null) return false;
    if ((packet.ctDirection === 'reply') !== (match.direction === 'REPLY')) return false;
  }
  if (match.method && (match.method.value === 'MASQ') === match.method.negate) return false;
  return !match.address || contains(match.address.value, address) !== match.address.negate;
}
