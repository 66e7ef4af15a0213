/**
 * Matches that ask the routing table: addrtype and rpfilter.
 *
 * Source: net/netfilter/xt_addrtype.c, net/ipv4/netfilter/ipt_rpfilter.c,
 * net/ipv6/netfilter/ip6t_rpfilter.c.
 * @module
 */
import {
  isLimitedBroadcast,
  isLinkLocal6,
  isLocalMulticast,
  isMulticast,
  isUnicast6,
  isUnspecified,
  isZeroNet,
} from '../../../image/route/address-kind.ts';
import type { AddressType, Match, Negatable } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import type { Address } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';

type AddressTypeMatch = Extract<Match, { kind: 'addrtype' }>;

export function matchAddressType(
  ctx: WalkContext,
  match: AddressTypeMatch,
  packet: Packet,
): boolean {
  const device = match.limitIfaceIn
    ? packet.inDevice
    : match.limitIfaceOut
      ? packet.outDevice
      : undefined;
  const holds = (want: Negatable<readonly AddressType[]> | undefined, address: Address) =>
    want === undefined || isOfType(ctx, address, want.value, device) !== want.negate;
  return holds(match.source, packet.src) && holds(match.destination, packet.dst);
}

function isOfType(
  ctx: WalkContext,
  address: Address,
  types: readonly AddressType[],
  device: string | undefined,
): boolean {
  if (address.family === 4) return types.includes(ctx.image.fib.addressType(address, device));
  return isOfType6(ctx, address, types, device);
}

/**
 * xt_addrtype.c `match_type6`: the kinds that are written in the address must all hold; LOCAL,
 * ANYCAST and UNREACHABLE are asked of the routing table, any of them suffices.
 */
function isOfType6(
  ctx: WalkContext,
  address: Address,
  types: readonly AddressType[],
  device: string | undefined,
): boolean {
  if (types.includes('MULTICAST') && !isMulticast(address)) return false;
  if (types.includes('UNICAST') && !isUnicast6(address)) return false;
  if (types.includes('UNSPEC') && !isUnspecified(address)) return false;
  const routed = (['LOCAL', 'ANYCAST', 'UNREACHABLE'] as const).filter((t) => types.includes(t));
  if (routed.length === 0) return true;
  const found = routeKinds6(ctx, address, device);
  return routed.some((type) => found.has(type));
}

function routeKinds6(
  ctx: WalkContext,
  address: Address,
  device: string | undefined,
): ReadonlySet<AddressType> {
  const { fib } = ctx.image;
  const kinds = new Set<AddressType>();
  if (device !== undefined && fib.addressType(address, device) === 'LOCAL') kinds.add('LOCAL');
  const constraint = device === undefined ? {} : { outDevice: device };
  const route = fib.lookup({ destination: address, mark: 0, ...constraint });
  switch (route.type) {
    case 'none':
    case 'blackhole':
    case 'unreachable':
    case 'prohibit':
      kinds.add('UNREACHABLE');
      break;
    case 'local':
      if (device === undefined) kinds.add('LOCAL');
      break;
    case 'anycast':
      kinds.add('ANYCAST');
      break;
    default:
      break;
  }
  return kinds;
}

type ReversePathMatch = Extract<Match, { kind: 'rpfilter' }>;

export function matchReversePath(
  ctx: WalkContext,
  match: ReversePathMatch,
  packet: Packet,
): boolean {
  const passes = packet.family === 6 ? reverse6(ctx, match, packet) : reverse4(ctx, match, packet);
  return passes !== match.invert;
}

/** Packets that came in by the loopback device pass. */
function cameByLoopback(ctx: WalkContext, packet: Packet): boolean {
  return ctx.image.interfaces.get(packet.inDevice)?.kind === 'loopback';
}

function reverse4(ctx: WalkContext, match: ReversePathMatch, packet: Packet): boolean {
  if (cameByLoopback(ctx, packet)) return true;
  const { src, dst } = packet;
  if (isZeroNet(src) && (isLimitedBroadcast(dst) || isLocalMulticast(dst))) return true;
  const answers = !isMulticast(dst) && !isLimitedBroadcast(dst) && !isZeroNet(dst);
  const route = ctx.image.fib.lookup({
    destination: src,
    ...(answers ? { source: dst } : {}),
    mark: match.validmark ? packet.mark : 0,
  });
  const accepted = route.type === 'unicast' || (route.type === 'local' && match.acceptLocal);
  return accepted && (match.loose || route.device === packet.inDevice);
}

function reverse6(ctx: WalkContext, match: ReversePathMatch, packet: Packet): boolean {
  const { src, dst, inDevice } = packet;
  if (cameByLoopback(ctx, packet) || isUnspecified(src)) return true;
  // Only link-local sources are looked for on the device alone (`RT6_LOOKUP_F_IFACE`).
  const onDevice = isLinkLocal6(src);
  const route = ctx.image.fib.lookup({
    destination: src,
    ...(isUnicast6(dst) ? { source: dst } : {}),
    ...(onDevice ? { outDevice: inDevice } : {}),
    mark: match.validmark ? packet.mark : 0,
  });
  if (route.type === 'local') return match.acceptLocal;
  const leads = route.type === 'unicast' || route.type === 'multicast';
  return leads && (match.loose || route.device === inDevice);
}
