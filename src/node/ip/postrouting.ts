/**
 * On the way out: POSTROUTING, fragmentation, the neighbour and the link header.
 *
 * Truth: net/ipv4/ip_output.c `ip_output`, `__ip_finish_output`, `ip_finish_output2`,
 * `ip_fragment`; net/ipv6/ip6_output.c `ip6_finish_output` (Linux 6.18). A next hop that nobody
 * answers for is reported as the kernel does when its questions time out (`ipv4_link_failure`).
 * @module
 */
import { completeChecksum } from '../../packet/transport-checksum.ts';
import { formatAddress } from '../../wire/address/address.ts';
import { BROADCAST_MAC } from '../../wire/address/mac.ts';
import { hook } from '../hook/hook.ts';
import { writeLinkHeader } from '../link/link-header.ts';
import { groupMac, nextHopMac } from '../link/neighbor.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, type Run } from '../run.ts';
import { sendFragments } from './fragments.ts';
import { sendIcmpError } from './icmp-error.ts';

export function postrouting(run: Run, passage: Passage): Stage | null {
  const { host, packet, route } = passage;
  const out = route === null ? null : host.device(route.device);
  if (out === null) return drop(passage, 'postrouting', 'noSuchDevice');
  packet.outDevice = out.name;
  packet.physOut = '';
  if (!hook(run, passage, 'postrouting')) return null;
  passage.device = out;
  if (passage.segmentSize > 0) {
    const whole = `offload aggregate of ${passage.ipLength} bytes`;
    passage.step('ip-output', `${whole}, judged as segments of ${passage.segmentSize}`);
    return 'neighborOutput';
  }
  if (passage.ipLength <= out.mtu && !wasCut(passage)) return 'neighborOutput';
  return sendFragments(run, passage, out.mtu, 'neighborOutput') ? 'neighborOutput' : null;
}

/**
 * A reassembled packet goes out in fragments again; one of IPv6 only when it is larger than its
 * largest fragment was (`ip6_finish_output`).
 */
function wasCut({ fragmentMaxSize, ipLength, packet }: Passage): boolean {
  return packet.family === 6
    ? ipLength > fragmentMaxSize && fragmentMaxSize > 0
    : fragmentMaxSize > 0;
}

/** Find the next hop's MAC and build the link header (`ip_finish_output2`). */
export function neighborOutput(run: Run, passage: Passage): Stage | null {
  const { packet, route, device: out } = passage;
  if (!out.up) return drop(passage, 'neighbor', 'noSuchDevice');
  if (out.kind === 'loopback') return loopBack(passage);
  const mac = destinationMac(run, passage);
  if (mac === null) {
    sendIcmpError(run, passage, { kind: 'hostUnreachable' });
    passage.step('neighbor', `nobody answers for ${formatAddress(route?.via ?? packet.dst)}`);
    return drop(passage, 'neighbor', 'noNeighbor');
  }
  writeLinkHeader(packet, { source: out.mac, destination: mac });
  return 'transmit';
}

function destinationMac(run: Run, passage: Passage): string | null {
  const { packet, route, device } = passage;
  if (route?.type === 'broadcast') return BROADCAST_MAC;
  const address = route?.via ?? packet.dst;
  const group = groupMac(address);
  if (group === null) return nextHopMac(run, passage, { device, address });
  // A group's MAC is made of its address.
  passage.host.counters.observer?.exact('destination');
  return group;
}

/** `loopback_xmit`: the packet comes in again, with mark and connection as they are. */
function loopBack(passage: Passage): Stage {
  const { packet } = passage;
  packet.inDevice = passage.device.name;
  packet.outDevice = '';
  passage.frameType = 'host';
  passage.local = false;
  passage.route = null;
  passage.step('transmit', `${passage.device.name}: back to the host itself`);
  return 'ipInput';
}

/** The frame is ready: down to the bridge, or out of the host. */
export function transmit(run: Run, passage: Passage): Stage | null {
  const { packet, device } = passage;
  if (!device.up) return drop(passage, 'transmit', 'noSuchDevice');
  if (device.kind === 'bridge') return 'bridgeOutput';
  if (packet.checksumOffloaded && device.kind === 'physical') completeChecksum(packet);
  run.transmit(passage, device);
  return null;
}
