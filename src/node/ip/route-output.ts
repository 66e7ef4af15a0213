/**
 * Where a packet of the host itself goes: `ip_route_output_key` (net/ipv4/route.c) and
 * `ip_route_me_harder` (net/ipv4/netfilter.c), which asks again when rules changed the packet.
 * @module
 */
import type { RouteResult } from '../../image/route/fib.ts';
import type { Packet } from '../../packet/packet.ts';
import type { Address } from '../../wire/address/address.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import type { Host } from '../host.ts';
import { isIpv4Multicast } from './route-input.ts';

export type OutputRoute =
  | { readonly kind: 'route'; readonly route: RouteResult }
  | { readonly kind: 'drop'; readonly reason: DropReason };

const LIMITED_BROADCAST = 0xffffffff;
/** A route this long was made for groups, and its gateway stands (`__mkroute_output`). */
const GROUP_PREFIX = 4;

/** A group or everybody is on the link itself: the default route's gateway does not count. */
function toGroup(route: RouteResult, dst: Address): RouteResult {
  const isBroadcast = dst.w3 === LIMITED_BROADCAST;
  const via = isBroadcast || route.prefixLength < GROUP_PREFIX ? null : route.via;
  return { ...route, type: isBroadcast ? 'broadcast' : 'multicast', via };
}

/** Look up the way out; a packet to an address of the host goes out by its loopback. */
export function routeOutput(host: Host, packet: Packet): OutputRoute {
  const { dst, src, mark } = packet;
  const found = host.image.fib.lookup({ destination: dst, source: src, mark });
  const toAll = dst.family === 4 && (isIpv4Multicast(dst) || dst.w3 === LIMITED_BROADCAST);
  // What goes to a group must be the host's own.
  if (toAll && src.w3 !== 0 && !host.image.fib.isLocal(src)) {
    return { kind: 'drop', reason: 'martianSource' };
  }
  const route = toAll && found.type === 'unicast' ? toGroup(found, dst) : found;
  switch (route.type) {
    case 'unicast':
    case 'broadcast':
    case 'multicast':
      return { kind: 'route', route };
    case 'local':
    case 'anycast': {
      if (host.loopback === null) return { kind: 'drop', reason: 'noSuchDevice' };
      return { kind: 'route', route: { ...route, device: host.loopback.name, via: null } };
    }
    case 'none':
      return { kind: 'drop', reason: 'noRoute' };
    case 'blackhole':
      return { kind: 'drop', reason: 'blackholeRoute' };
    case 'unreachable':
    case 'prohibit':
      return { kind: 'drop', reason: 'prohibitedRoute' };
  }
}
