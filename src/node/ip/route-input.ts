/**
 * Where a received IP packet goes: to this host, through it, or nowhere, with the checks of source
 * and destination that Linux makes on the way.
 *
 * Truth: net/ipv4/route.c `ip_route_input_slow`, net/ipv4/fib_frontend.c `fib_validate_source`,
 * net/ipv6/route.c `ip6_route_input` and ip6_input.c `ip6_rcv_core` (Linux 6.18). Prerouting is
 * done when this runs, so a translated destination is the one that is looked up.
 *
 * Not done: multicast routing, source routing options, directed-broadcast forwarding.
 * @module
 */

import type { ImageInterface } from '../../image/image.ts';
import type { RouteResult } from '../../image/route/fib.ts';
import type { Packet } from '../../packet/packet.ts';
import type { Address } from '../../wire/address/address.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import type { Host } from '../host.ts';

/** The error that an unroutable packet is answered with (`ip_error`); null for silence. */
export type RouteRefusal = 'noRoute' | 'unreachable' | 'prohibit' | null;

export type InputRoute =
  | { readonly kind: 'local' | 'broadcast' | 'multicast'; readonly route: RouteResult | null }
  | { readonly kind: 'forward'; readonly route: RouteResult }
  | { readonly kind: 'drop'; readonly reason: DropReason; readonly refusal: RouteRefusal };

const LOOPBACK_NET = 0x7f;
const LIMITED_BROADCAST = 0xffffffff;
/** The ways of what no table is asked about (`ip_route_input_mc`, `brd_input`). */
const LIMITED: RouteResult = {
  type: 'broadcast',
  device: '',
  via: null,
  source: null,
  scope: 'link',
  table: 255,
  prefixLength: 32,
};
const GROUP: RouteResult = { ...LIMITED, type: 'multicast' };

export function isIpv4Multicast(a: Address): boolean {
  return a.w3 >>> 28 === 0xe;
}

export function isIpv6Multicast(a: Address): boolean {
  return a.w0 >>> 24 === 0xff;
}

export function isIpv6Loopback(a: Address): boolean {
  return a.w0 === 0 && a.w1 === 0 && a.w2 === 0 && a.w3 === 1;
}

/** Route a packet that `device` received. */
export function routeInput(host: Host, packet: Packet, device: ImageInterface): InputRoute {
  return packet.family === 6
    ? routeInput6(host, packet, device)
    : routeInput4(host, packet, device);
}

function dropped(reason: DropReason, refusal: RouteRefusal = null): InputRoute {
  return { kind: 'drop', reason, refusal };
}

function routeInput4(host: Host, packet: Packet, device: ImageInterface): InputRoute {
  const { src, dst } = packet;
  if (isIpv4Multicast(dst)) return { kind: 'multicast', route: { ...GROUP, device: device.name } };
  if (isIpv4Multicast(src) || src.w3 === LIMITED_BROADCAST) return dropped('martianSource');
  if (dst.w3 === LIMITED_BROADCAST || (src.w3 === 0 && dst.w3 === 0)) {
    return broadcast(host, packet, device, { ...LIMITED, device: device.name });
  }
  if (src.w3 === 0) return dropped('martianSource');
  if (dst.w3 === 0) return dropped('martianDestination');
  const martian = loopbackMartian(host, packet, device);
  if (martian !== null) return dropped(martian);
  const route = host.image.fib.lookup({
    destination: dst,
    source: src,
    inDevice: device.name,
    mark: packet.mark,
  });
  if (route.type === 'broadcast') return broadcast(host, packet, device, route);
  if (route.type === 'local') {
    const reason = validateSource(host, packet, device);
    return reason === null ? { kind: 'local', route } : dropped(reason);
  }
  return routeForward4(host, packet, device, route);
}

function routeForward4(
  host: Host,
  packet: Packet,
  device: ImageInterface,
  route: RouteResult,
): InputRoute {
  if (!host.ipv4(device.name).forwarding) return dropped('forwardingDisabled');
  if (route.type === 'none') return dropped('noRoute', 'noRoute');
  if (route.type === 'unreachable') return dropped('prohibitedRoute', 'unreachable');
  if (route.type === 'prohibit') return dropped('prohibitedRoute', 'prohibit');
  if (route.type === 'blackhole') return dropped('blackholeRoute');
  if (route.type !== 'unicast') return dropped('martianDestination');
  const reason = validateSource(host, packet, device);
  return reason === null ? { kind: 'forward', route } : dropped(reason);
}

function broadcast(
  host: Host,
  packet: Packet,
  device: ImageInterface,
  route: RouteResult,
): InputRoute {
  const reason = packet.src.w3 === 0 ? null : validateSource(host, packet, device);
  return reason === null ? { kind: 'broadcast', route } : dropped(reason);
}

/** 127/8 comes from outside only where route_localnet lets it. */
function loopbackMartian(
  host: Host,
  packet: Packet,
  device: ImageInterface,
): 'martianSource' | 'martianDestination' | null {
  if (device.kind === 'loopback') return null;
  const toLoopback = packet.dst.w3 >>> 24 === LOOPBACK_NET;
  const fromLoopback = packet.src.w3 >>> 24 === LOOPBACK_NET;
  if (!toLoopback && !fromLoopback) return null;
  if (host.ipv4(device.name).routeLocalnet) return null;
  return toLoopback ? 'martianDestination' : 'martianSource';
}

/**
 * Whether the source may come in by this device (`fib_validate_source`).
 *
 * @returns null when it may, else why not
 */
export function validateSource(
  host: Host,
  packet: Packet,
  device: ImageInterface,
): DropReason | null {
  if (device.kind === 'loopback') return null;
  const { rpFilter: mode, acceptLocal, srcValidMark } = host.ipv4(device.name);
  const { fib } = host.image;
  if (mode === 0) {
    return !acceptLocal && fib.isLocal(packet.src) ? 'martianSource' : null;
  }
  const mark = srcValidMark ? packet.mark : 0;
  const back = { destination: packet.src, source: packet.dst, inDevice: device.name, mark };
  const route = fib.lookup(back);
  if (route.type === 'none') return 'reversePathFilter';
  if (route.type === 'local') {
    if (!acceptLocal) return 'martianSource';
  } else if (route.type !== 'unicast') return 'martianSource';
  if (route.device === device.name) return null;
  // Even loosely a device without an address of its own takes only what is routed back by it.
  const hasAddress = device.addresses.some((own) => own.address.family === 4);
  return mode === 1 || !hasAddress ? 'reversePathFilter' : null;
}

function routeInput6(host: Host, packet: Packet, device: ImageInterface): InputRoute {
  const { src, dst } = packet;
  if (isIpv6Multicast(src)) return dropped('martianSource');
  if (isIpv6Multicast(dst)) return { kind: 'multicast', route: { ...GROUP, device: device.name } };
  if (device.kind !== 'loopback' && (isIpv6Loopback(src) || isIpv6Loopback(dst))) {
    return dropped(isIpv6Loopback(src) ? 'martianSource' : 'martianDestination');
  }
  const route = host.image.fib.lookup({
    destination: dst,
    source: src,
    inDevice: device.name,
    mark: packet.mark,
  });
  switch (route.type) {
    case 'local':
    case 'anycast':
      return { kind: 'local', route };
    case 'unicast':
      return host.forwards6 ? { kind: 'forward', route } : dropped('forwardingDisabled');
    case 'none':
      return dropped('noRoute', 'noRoute');
    case 'unreachable':
      return dropped('prohibitedRoute', 'noRoute');
    case 'prohibit':
      return dropped('prohibitedRoute', 'prohibit');
    case 'blackhole':
      return dropped('blackholeRoute');
    default:
      return dropped('martianDestination');
  }
}
