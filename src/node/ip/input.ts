/**
 * An IP packet received by a device: `ip_rcv` and `ip_rcv_finish` (net/ipv4/ip_input.c),
 * `ipv6_rcv` (net/ipv6/ip6_input.c): prerouting, then the route decides between input, forward and
 * an error. Header checks were made when the frame was parsed.
 * @module
 */
import { pullPieces } from '../../conntrack/fragment/refragment.ts';
import { formatAddress } from '../../wire/address/address.ts';
import type { DropReason } from '../../wire/drop-reason.ts';
import * as ipv4 from '../../wire/header/ipv4.ts';
import * as tcp from '../../wire/header/tcp.ts';
import { Protocol } from '../../wire/protocol.ts';
import { hook } from '../hook/hook.ts';
import { solicitedNode } from '../link/neighbor-discovery.ts';
import { isAssumed } from '../match/host/gap.ts';
import type { Passage, Stage } from '../passage.ts';
import { drop, type Run, unknown } from '../run.ts';
import { readHopByHop } from './hop-by-hop.ts';
import { type ErrorMessage, sendIcmpError } from './icmp-error.ts';
import { compileOptions, optionTime, specificOwn } from './ipv4-options.ts';
import {
  type InputRoute,
  isIpv6Loopback,
  isIpv6Multicast,
  type RouteRefusal,
  routeInput,
} from './route-input.ts';

/** 224.0.0.1, the one group that every IPv4 host is in. */
const ALL_HOSTS = 0xe0000001;

export function ipInput(run: Run, passage: Passage): Stage | null {
  const { packet } = passage;
  if (passage.frameType === 'otherHost') return drop(passage, 'ip-input', 'otherHost');
  const impossible = impossibleAddress(passage);
  if (impossible !== null) return drop(passage, 'ip-input', impossible);
  if (!passesHopByHop(run, passage)) return null;
  packet.inDevice = passage.device.name;
  packet.outDevice = '';
  packet.physOut = '';
  // `ip_rcv` starts afresh: it does not know how large the pieces were that br_netfilter put
  // together.
  passage.fragmentMaxSize = 0;
  const bridged = passage.bridgeNetfilter;
  if (bridged !== null && !bridged.preroutingSkipped) bridged.preroutingSkipped = true;
  else if (!hook(run, passage, 'prerouting')) return null;
  lookForSocket(passage);
  return route(run, passage);
}

/** Every host on the way reads these options, and may complain (`ip6_rcv_core`). */
function passesHopByHop(run: Run, passage: Passage): boolean {
  const found = readHopByHop(passage.packet);
  if (found.kind === 'bad') {
    const { problem } = found;
    if (problem !== null) sendIcmpError(run, passage, { kind: 'parameter', ...problem });
    drop(passage, 'ip-input', 'ipv6BadExtension');
  } else if (found.kind === 'headerCut') {
    unknown(passage, { host: passage.host.name, stage: 'ip-input' }, 'headerCut');
  }
  return found.kind === 'good';
}

/** IPv6 addresses that no hook sees from outside (`ip6_rcv_core`). */
function impossibleAddress({ packet, device }: Passage): DropReason | null {
  const { src, dst, family } = packet;
  if (family !== 6 || device.kind === 'loopback') return null;
  if (isIpv6Loopback(src) || isIpv6Multicast(src)) return 'martianSource';
  if (isIpv6Loopback(dst)) return 'martianDestination';
  // Scopes 0 (reserved) and 1 (this interface alone) come from no other host.
  const scope = (dst.w0 >>> 16) & 0xf;
  return isIpv6Multicast(dst) && scope <= 1 ? 'martianDestination' : null;
}

/** `tcp_v4_early_demux`: the whole TCP header is pulled before anybody knows where it goes. */
function lookForSocket({ packet, frameType }: Passage): void {
  if (packet.fragmentPieces === null || packet.protocol !== Protocol.tcp) return;
  if (frameType === 'host') pullPieces(packet, packet.l4 + tcp.MIN_HEADER_LENGTH);
}

function route(run: Run, passage: Passage): Stage | null {
  const { host, packet, device } = passage;
  const { routes, sysctls } = host.image.gaps;
  if ((routes && isUncertain(passage)) || (sysctls && isAskew(passage))) {
    return unknown(passage, { host: host.name, stage: 'route' }, 'dumpIncomplete');
  }
  const found = routeInput(host, packet, device);
  if (!passesOptions(run, passage, found)) return null;
  switch (found.kind) {
    case 'forward': {
      passage.route = found.route;
      const { device: out, via } = found.route;
      passage.step('route', `dev ${out}${via === null ? '' : ` via ${formatAddress(via)}`}`);
      return 'ipForward';
    }
    case 'local':
      passage.step('route', 'local');
      passage.route = found.route;
      return 'ipLocal';
    case 'broadcast':
      passage.step('route', 'broadcast, local');
      passage.route = found.route;
      return 'ipLocal';
    case 'multicast':
      // Groups are compared with what is made of the device's addresses.
      host.counters.observer?.exact('destination');
      passage.route = found.route;
      return joined(passage) ? 'ipLocal' : multicast(passage);
    case 'drop': {
      const message = refusalMessage(found.refusal);
      if (message !== null) sendIcmpError(run, passage, message);
      return drop(passage, 'route', found.reason);
    }
  }
}

/** Options are read once the route is known, and before what it says (`ip_rcv_options`). */
function passesOptions(run: Run, passage: Passage, found: InputRoute): boolean {
  const { packet, host, device } = passage;
  passage.options = null;
  if (packet.family !== 4 || ipv4.headerLength(packet.bytes, packet.l3) === LEAST_HEADER) {
    return true;
  }
  if (found.kind === 'drop' && isImpossible(found.reason)) return true;
  passage.route = found.kind === 'drop' ? null : found.route;
  const own = specificOwn(passage, passage.route);
  const read = compileOptions(passage, { host, own, time: optionTime(run) });
  if ('pointer' in read) {
    passage.options = read.options;
    sendIcmpError(run, passage, { kind: 'parameter', code: 0, pointer: read.pointer });
    drop(passage, 'ip-input', 'ipv4BadOptions');
    return false;
  }
  passage.options = read;
  if (!read.sourceRoute) return true;
  if (host.ipv4(device.name).acceptSourceRoute) {
    unknown(passage, { host: host.name, stage: 'ip-input' }, 'unsupportedProtocol');
  } else drop(passage, 'ip-input', 'ipv4BadOptions');
  return false;
}

/** Errors of routing itself; what has no way out is found out later (`ip_error`). */
function isImpossible(reason: DropReason): boolean {
  return reason.startsWith('martian') || reason === 'reversePathFilter';
}

const LEAST_HEADER = ipv4.MIN_HEADER_LENGTH;

/** Whether only an assumed route tells where the packet goes, or whether it may come this way. */
function isUncertain({ host, packet, device }: Passage): boolean {
  if (isAssumed(host, packet.dst)) return true;
  const filters = packet.family === 4 && host.ipv4(device.name).rpFilter !== 0;
  return filters && isAssumed(host, packet.src);
}

/**
 * Whether the answer would take another way, so that rp_filter would drop the packet if it is on,
 * and nobody knows whether it is.
 */
function isAskew({ host, packet, device }: Passage): boolean {
  if (packet.family !== 4 || device.kind === 'loopback') return false;
  const back = host.image.fib.lookup({ destination: packet.src, source: packet.dst, mark: 0 });
  return back.type === 'unicast' ? back.device !== device.name : back.type !== 'local';
}

/** Groups that the host itself is in without any process asking for it. */
function joined(passage: Passage): boolean {
  const { packet, device } = passage;
  if (packet.family === 4) return packet.dst.w3 === ALL_HOSTS;
  const { w0, w1, w2, w3 } = packet.dst;
  if (w0 === 0xff020000 && w1 === 0 && w2 === 0) return w3 === 1 || w3 === 2 || w3 === 0x16;
  return device.addresses.some((own) => {
    const group = own.address.family === 6 ? solicitedNode(own.address) : null;
    return group !== null && group.w0 === w0 && group.w2 === w2 && group.w3 === w3;
  });
}

function multicast(passage: Passage): null {
  return unknown(passage, { host: passage.host.name, stage: 'route' }, 'multicast');
}

/** What `ip_error` and `ip6_pkt_discard` answer. */
function refusalMessage(refusal: RouteRefusal): ErrorMessage | null {
  switch (refusal) {
    case 'noRoute':
      return { kind: 'noRoute' };
    case 'unreachable':
      return { kind: 'hostUnreachable' };
    case 'prohibit':
      return { kind: 'prohibited' };
    case null:
      return null;
  }
}
