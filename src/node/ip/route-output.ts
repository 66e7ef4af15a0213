/**
 * Where a packet of the host itself goes: `ip_route_output_key` (net/ipv4/route.c) and
 * `ip_route_me_harder` (net/ipv4/netfilter.c), which asks again when rules changed the packet.
 * @module
 */
import type { RouteResult } from '../../image/fib.ts';
import type { Packet } from '../../packet/packet.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import type { Host } from '../host.ts';

export type OutputRoute =
  | { readonly kind: 'route'; readonly route: RouteResult }
  | { readonly kind: 'drop'; readonly reason: DropReason };

/** Look up the way out; a packet to an address of the host goes out by its loopback. */
export function routeOutput(host: Host, packet: Packet): OutputRoute {
  const route = host.image.fib.lookup({
    destination: packet.dst,
    source: packet.src,
    mark: packet.mark,
  });
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
