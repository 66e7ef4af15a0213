/**
 * A request on its way to a real server: routed by the real server's address alone, its TTL and
 * size judged as when forwarding, then out by the output hook as if the host had sent it. A real
 * server on this host takes it where it is.
 *
 * Truth: net/netfilter/ipvs/ip_vs_xmit.c `__ip_vs_get_out_rt`, `crosses_local_route_boundary`,
 * `decrement_ttl`, `ensure_mtu_is_adequate`, `ip_vs_nat_xmit`, `ip_vs_nat_send_or_cont`
 * (Linux 6.1).
 * @module
 */

import type { ImageInterface } from '../../image/image.ts';
import type { RouteResult } from '../../image/route/fib.ts';
import { type Address, formatAddress } from '../../wire/address/address.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as ipv6 from '../../wire/header/ipv6.ts';
import { noteStep } from '../hook/settle.ts';
import type { Visit } from '../hook/visit.ts';
import { sendIcmpError } from '../ip/icmp-error.ts';
import { isIpv6Loopback } from '../ip/route-input.ts';
import { drop, unknown } from '../run.ts';
import type { VirtualConnection } from './connections.ts';

/**
 * Send the packet on; `write` writes its headers.
 *
 * @returns true when it goes on at this hook: its real server is the host itself
 */
export function sendOn(visit: Visit, found: VirtualConnection, write: () => void): boolean {
  const { passage, hook } = visit;
  const { host } = passage;
  const route = host.image.fib.lookup({ destination: found.real.address, mark: 0 });
  if (route.assumed) {
    unknown(passage, { host: host.name, stage: 'route' }, 'dumpIncomplete');
    return false;
  }
  if (route.type === 'local') return takesItself(visit, found, write);
  const out = route.type === 'unicast' ? host.device(route.device) : null;
  if (out === null) {
    sendIcmpError(visit.run, passage, { kind: 'hostUnreachable' });
    drop(passage, 'virtual-server', 'noRoute', hook);
    return false;
  }
  if (!mayLeave(visit, out)) return false;
  write();
  leave(visit, route, out);
  return false;
}

/** The route stays that to the virtual server: the packet is local already. */
function takesItself({ passage, hook }: Visit, found: VirtualConnection, write: () => void) {
  const cameIn = hook === 'input' && passage.device.kind !== 'loopback';
  if (hook === 'forward' || (cameIn && isLoopbackAddress(found.real.address))) {
    drop(passage, 'virtual-server', 'martianDestination', hook);
    return false;
  }
  write();
  return true;
}

function isLoopbackAddress(a: Address): boolean {
  return a.family === 4 ? a.w3 >>> 24 === 127 : isIpv6Loopback(a);
}

/** Loopback sources stay here; TTL and size are those of a router. */
function mayLeave({ run, passage, hook }: Visit, out: ImageInterface): boolean {
  const { packet } = passage;
  const { bytes, l3, family } = packet;
  if (isLoopbackAddress(packet.src)) {
    drop(passage, 'virtual-server', 'martianSource', hook);
    return false;
  }
  const ttl = family === 4 ? ipv4.ttl(bytes, l3) : ipv6.hopLimit(bytes, l3);
  if (ttl <= 1) {
    sendIcmpError(run, passage, { kind: 'ttlExpired' });
    drop(passage, 'virtual-server', 'ttlExpired', hook);
    return false;
  }
  if (family === 4) ipv4.setTtl(bytes, l3, ttl - 1);
  else ipv6.setHopLimit(bytes, l3, ttl - 1);
  if (!exceeds(passage, out)) return true;
  sendIcmpError(run, passage, { kind: 'tooBig', mtu: out.mtu });
  drop(passage, 'virtual-server', 'tooBig', hook);
  return false;
}

/** An aggregate is judged by its segments, an IPv6 packet put together here by its pieces. */
function exceeds(
  sizes: Pick<Visit['passage'], 'packet' | 'segmentSize' | 'fragmentMaxSize' | 'ipLength'>,
  out: ImageInterface,
): boolean {
  const { packet, segmentSize, fragmentMaxSize, ipLength } = sizes;
  const length = segmentSize > 0 ? segmentSize : ipLength;
  if (packet.family === 6) return (fragmentMaxSize > 0 ? fragmentMaxSize : length) > out.mtu;
  return length > out.mtu && ipv4.dontFragment(packet.bytes, packet.l3);
}

function leave(visit: Visit, route: RouteResult, out: ImageInterface): void {
  const { run, passage } = visit;
  const { packet } = passage;
  const { via } = route;
  noteStep(visit);
  passage.step('route', `dev ${out.name}${via === null ? '' : ` via ${formatAddress(via)}`}`);
  passage.route = route;
  passage.device = out;
  packet.inDevice = '';
  packet.outDevice = out.name;
  run.later(passage, 'virtualOutput');
}
