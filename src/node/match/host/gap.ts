/**
 * Questions that a host can not answer because nobody described the part of it that would: its own
 * addresses, its routes, its bridges (image/gaps.ts).
 * @module
 */
import { isAssumedDevice } from '../../../image/gaps.ts';
import type { Match } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import type { Address } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';

type Asked = Extract<Match, { kind: 'addrtype' | 'rpfilter' | 'physdev' }>;

/** Does the answer lie in what nobody knows of the host? */
export function isOpen(ctx: WalkContext, match: Asked, packet: Packet): boolean {
  switch (match.kind) {
    case 'addrtype':
      return (
        (match.source !== undefined && isAssumed(ctx, packet.src)) ||
        (match.destination !== undefined && isAssumed(ctx, packet.dst))
      );
    case 'rpfilter':
      return isAssumedDevice(packet.inDevice) || isAssumed(ctx, packet.src);
    case 'physdev':
      return isAssumedDevice(packet.inDevice) || isAssumedDevice(packet.outDevice);
  }
}

/** Is the address one of which only an assumed route tells? It may be the host's own. */
export function isAssumed(ctx: Pick<WalkContext, 'image'>, address: Address): boolean {
  if (!ctx.image.gaps.routes) return false;
  return ctx.image.fib.lookup({ destination: address, mark: 0 }).assumed === true;
}
