/**
 * br_netfilter: bridged IP packets visit iptables' hooks, with the bridge as in- and out-device and
 * the ports as physdevs.
 *
 * Truth: net/bridge/br_netfilter_hooks.c `br_nf_pre_routing`, `br_nf_pre_routing_finish`,
 * `br_nf_pre_routing_finish_bridge`, `br_nf_forward_ip`, `br_nf_post_routing`,
 * `br_nf_dev_queue_xmit`; br_netfilter_ipv6.c (Linux 6.18). Tagged frames pass by, as with the
 * default bridge-nf-filter-vlan-tagged=0.
 * @module
 */
import type { RouteResult } from '../../image/route/fib.ts';
import type { Packet } from '../../packet/packet.ts';
import { parseFrame } from '../../packet/parse.ts';
import { equalAddress } from '../../wire/address/address.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import * as ethernet from '../../wire/header/ethernet.ts';
import { EtherType } from '../../wire/protocol.ts';
import { hook } from '../hook/hook.ts';
import type { Bridge } from '../host.ts';
import { sendFragments } from '../ip/fragments.ts';
import { areBridged } from '../ip/hop-by-hop.ts';
import { routeInput } from '../ip/route-input.ts';
import { faulty } from '../link/link-input.ts';
import { nextHopMac } from '../link/neighbor.ts';
import type { Passage } from '../passage.ts';
import { drop, type Run } from '../run.ts';

function calls(passage: Passage): boolean {
  const { packet, host } = passage;
  if (packet.vlanTags.length > 0) return false;
  if (packet.etherType === EtherType.ipv4) return host.bridgeCalls[4];
  return packet.etherType === EtherType.ipv6 && host.bridgeCalls[6];
}

/** Prerouting of a frame that came in by a port; false when it ended there. */
export function bridgePrerouting(run: Run, passage: Passage, bridge: Bridge): boolean {
  if (!calls(passage)) return true;
  const { packet } = passage;
  if (packet.family === 0) {
    const fault = parseFrame(packet);
    if (fault !== null) {
      // br_netfilter judges frames of other hosts too: PACKET_HOST meanwhile (`setup_pre_routing`).
      passage.frameType = 'host';
      faulty(passage, fault);
      return false;
    }
  }
  if (!areBridged(packet)) {
    drop(passage, 'bridge', 'ipv6BadExtension');
    return false;
  }
  trimPadding(packet);
  const port = passage.device;
  const before = packet.dst;
  passage.bridgeNetfilter = { destination: before, preroutingSkipped: false };
  packet.physIn = port.name;
  packet.inDevice = bridge.device.name;
  packet.outDevice = '';
  passage.device = bridge.device;
  const passed = hook(run, passage, 'prerouting');
  passage.device = port;
  if (!passed) return false;
  // Fragments became another packet meanwhile.
  if (equalAddress(before, passage.packet.dst)) return true;
  return redirectTranslated(run, passage, bridge);
}

/** Bytes behind the IP packet go (`br_validate_ipv4`, `br_validate_ipv6`). */
function trimPadding(packet: Packet): void {
  if (packet.wireLength <= packet.end) return;
  if (packet.bytes.length > packet.end) packet.bytes = packet.bytes.slice(0, packet.end);
  packet.wireLength = packet.end;
}

/** The destination was translated: bridge it to the new neighbour, or hand it up to be routed. */
function redirectTranslated(run: Run, passage: Passage, bridge: Bridge): boolean {
  const { packet } = passage;
  const way = packet.family === 6 ? newWay6(passage, bridge) : newWay4(passage, bridge);
  if (way.kind === 'drop') {
    drop(passage, 'prerouting', way.reason, 'prerouting');
    return false;
  }
  if (way.route?.device === bridge.device.name) {
    // `skb_dst` is that route from now on: MASQUERADE asks it for the next hop.
    passage.route = way.route;
    const mac = nextHopMac(run, passage, {
      device: bridge.device,
      address: way.route.via ?? packet.dst,
    });
    if (mac === null) {
      drop(passage, 'bridge', 'noNeighbor');
      return false;
    }
    ethernet.setDestination(packet.bytes, mac);
    passage.step('bridge', `bridged DNAT: destination MAC ${mac}`);
    return true;
  }
  ethernet.setDestination(packet.bytes, bridge.device.mac);
  passage.frameType = 'host';
  passage.step('bridge', 'translated: up to the bridge to be routed');
  return true;
}

/** `up` with the way on; null where the IP layer takes the packet, or refuses it with an answer. */
type NewWay =
  | { readonly kind: 'up'; readonly route: RouteResult | null }
  | { readonly kind: 'drop'; readonly reason: DropReason };

/** Addresses that can not be end here; what has no route is `ip_error`'s to answer. */
function newWay4({ host, packet }: Passage, bridge: Bridge): NewWay {
  const found = routeInput(host, packet, bridge.device);
  if (found.kind === 'forward') return { kind: 'up', route: found.route };
  if (found.kind !== 'drop') return { kind: 'up', route: null };
  const { reason } = found;
  const isAddress = reason.startsWith('martian') || reason === 'reversePathFilter';
  return isAddress ? { kind: 'drop', reason } : { kind: 'up', route: null };
}

/** `ip6_route_input` asks neither for the source nor whether the host forwards. */
function newWay6({ host, packet }: Passage, bridge: Bridge): NewWay {
  const { src, dst, mark } = packet;
  const inDevice = bridge.device.name;
  const route = host.image.fib.lookup({ destination: dst, source: src, inDevice, mark });
  switch (route.type) {
    case 'none':
      return { kind: 'drop', reason: 'noRoute' };
    case 'unreachable':
    case 'prohibit':
      return { kind: 'drop', reason: 'prohibitedRoute' };
    case 'blackhole':
      return { kind: 'drop', reason: 'blackholeRoute' };
    case 'unicast':
      return { kind: 'up', route };
    default:
      return { kind: 'up', route: null };
  }
}

/** FORWARD of a frame between two ports. */
export function bridgeForwardHook(run: Run, passage: Passage, bridge: Bridge): boolean {
  if (passage.packet.etherType === EtherType.arp) return forwardsArp(passage);
  if (passage.bridgeNetfilter === null || !calls(passage)) return true;
  const { packet } = passage;
  packet.inDevice = bridge.device.name;
  packet.outDevice = bridge.device.name;
  packet.physIn = passage.bridgePortIn?.name ?? '';
  packet.physOut = passage.bridgePortOut?.name ?? '';
  return hook(run, passage, 'forward');
}

const ARP_FIXED_PART = 8;

/** `br_nf_forward_arp`: not even without rules does it let a frame by that is no ARP at all. */
function forwardsArp(passage: Passage): boolean {
  const { packet, host } = passage;
  const length = packet.wireLength - packet.l3;
  const called = host.image.sysctl.get('net.bridge.bridge-nf-call-arptables') !== 0;
  if (!called || packet.vlanTags.length > 0 || length >= ARP_FIXED_PART) return true;
  drop(passage, 'bridge', 'arpMalformed');
  return false;
}

/**
 * POSTROUTING of a bridged frame. A packet that was routed meanwhile has had its own; it has no
 * physout (`nf_bridge->physoutdev`). False when it ended or went on as fragments.
 */
export function bridgePostroutingHook(run: Run, passage: Passage, bridge: Bridge): boolean {
  const { packet, bridgePortOut: port } = passage;
  if (passage.bridgeNetfilter === null || packet.physOut === '' || !calls(passage)) return true;
  if (port === null) return true;
  packet.inDevice = '';
  packet.outDevice = bridge.device.name;
  if (!hook(run, passage, 'postrouting')) return false;
  const max = passage.fragmentMaxSize;
  const mtu = max > 0 && max < port.mtu ? max : port.mtu;
  if (passage.segmentSize > 0 || passage.ipLength <= mtu) return true;
  passage.device = port;
  packet.outDevice = port.name;
  return sendFragments(run, passage, port.mtu, 'transmit');
}
