/**
 * Local delivery: `ip_local_deliver` (net/ipv4/ip_input.c), `ip6_input` (net/ipv6/ip6_input.c):
 * reassembly, INPUT, and whoever takes the packet. Whether a process listens is not judged, and
 * nothing is answered in a process's name.
 * @module
 */

import * as icmp from '../../wire/header/icmp.ts';
import * as icmpv6 from '../../wire/header/icmpv6.ts';
import { Protocol } from '../../wire/protocol.ts';
import { hook } from '../hook/hook.ts';
import { takeNeighborDiscovery } from '../link/neighbor-discovery.ts';
import type { Passage } from '../passage.ts';
import { finish, type Run } from '../run.ts';
import { reassembleLocal } from './fragments.ts';
import { isIpv4Multicast, isIpv6Multicast } from './route-input.ts';

export function ipLocal(run: Run, passage: Passage): null {
  const { packet } = passage;
  // IPv6 puts fragments together behind the hook: rules see them one by one (`ip6_input`).
  if (packet.family === 4 && !reassembleLocal(run, passage)) return null;
  passage.packet.outDevice = '';
  if (!hook(run, passage, 'input')) return null;
  if (packet.family === 6 && !reassembleLocal(run, passage)) return null;
  if (takeNeighborDiscovery(run, passage)) return null;
  if (isKept(passage)) {
    passage.step('input', 'taken by the host itself');
    return finish(passage, 'consumed', null);
  }
  passage.step('input', 'delivered');
  return finish(passage, 'delivered', null);
}

/** Group and broadcast packets, IGMP, and ICMP errors to a node are the host's own business. */
function isKept(passage: Passage): boolean {
  const { packet, host, route } = passage;
  const { dst, family, protocol, bytes, l4 } = packet;
  if (route === null || route.type === 'broadcast') return true;
  if (family === 4 ? isIpv4Multicast(dst) : isIpv6Multicast(dst)) return true;
  if (protocol === Protocol.igmp) return true;
  if (host.image.role === 'pod' || l4 < 0) return false;
  if (family === 4 && protocol === Protocol.icmp) return icmp.isError(icmp.type(bytes, l4));
  const isIcmp6 = family === 6 && protocol === Protocol.icmpv6;
  return isIcmp6 && icmpv6.isError(icmpv6.type(bytes, l4));
}
