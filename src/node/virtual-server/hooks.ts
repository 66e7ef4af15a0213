/**
 * Virtual servers at the hooks of a host.
 *
 *   input    98  answers of real servers to the host itself: back to the virtual server's address
 *            99  requests: to a real server, out by the output hook as if the host had sent them
 *   output  -99  answers of real servers that are this host
 *           -98  requests of the host itself
 *   forward  99  ICMP errors about requests
 *           100  answers of real servers
 *
 * Truth: net/netfilter/ipvs/ip_vs_core.c `ip_vs_ops4`, `ip_vs_in_hook`, `ip_vs_out_hook`,
 * `ip_vs_in_icmp`, `ip_vs_out_icmp`, `ip_vs_forward_icmp`, `handle_response` (Linux 6.1, of which
 * these are as in 6.18). No Linux with IPVS was at hand: this is from its source only.
 * @module
 */
import { NS_PER_S } from '../../conntrack/connection.ts';
import type { VirtualServers } from '../../netfilter/virtual-server.ts';
import type { Packet } from '../../packet/packet.ts';
import { verifyChecksum } from '../../packet/transport-checksum.ts';
import { u8 } from '../../wire/bytes.ts';
import { IcmpType } from '../../wire/header/icmp.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Visit } from '../hook/visit.ts';
import { routeOutput } from '../ip/route-output.ts';
import { drop, unknown } from '../run.ts';
import type { VirtualConnection, VirtualConnections } from './connections.ts';
import { endsOf, endText } from './end.ts';
import { findOrOpen } from './open.ts';
import { readQuote, tellTracker, writeEnd, writeError } from './rewrite.ts';
import { sendOn } from './send.ts';
import { isOn } from './setting.ts';
import { nextState, type Way } from './states.ts';

/** What virtual servers do at this hook; false when the packet ended or goes another way. */
export function passVirtualServers(visit: Visit): boolean {
  const { passage, hook, ctx } = visit;
  const { virtualServers: servers, gaps } = passage.host.image;
  if (gaps.virtualServers && !isNoRequest(visit)) {
    unknown(passage, { host: passage.host.name, stage: hook, hook }, 'dumpIncomplete');
    return false;
  }
  if (servers === null || passage.packet.family === 0) return true;
  // What they decide follows from their own memory, which no rule's facts show.
  ctx.counters.observer?.opaque();
  switch (hook) {
    case 'input':
    case 'output':
      return answers(visit, servers) && requests(visit, servers);
    case 'forward':
      return requestErrors(visit) !== 'ended' && answers(visit, servers);
    default:
      return true;
  }
}

const SERVED: ReadonlySet<number> = new Set([Protocol.tcp, Protocol.udp, Protocol.sctp]);

/** Whether no virtual server could take it: it does not begin anything, or is for another host. */
function isNoRequest({ passage, hook }: Visit): boolean {
  const { packet, host } = passage;
  if (hook === 'forward' || hook === 'postrouting' || !SERVED.has(packet.protocol)) return true;
  return packet.ctState === 'established' || !host.image.fib.isLocal(packet.dst);
}

/** `ip_vs_out_hook`. */
function answers(visit: Visit, servers: VirtualServers): boolean {
  const { passage } = visit;
  const { packet } = passage;
  if (packet.virtualServed === true) return true;
  if (isError(packet)) return answerErrors(visit);
  if (!SERVED.has(packet.protocol) || packet.l4 < 0) return true;
  const { from, to } = endsOf(packet);
  const found = connectionsOf(visit).fromReal(packet.protocol, from, to);
  if (found === null) return true;
  writeEnd(packet, 'source', found.virtual);
  const goesOn = routeAgain(visit);
  if (goesOn) {
    noteState(visit, servers, found, 'out');
    served(visit, 'source', found);
  }
  return goesOn;
}

/** `ip_vs_out_icmp`: errors about requests, made where the real server is or on the way there. */
function answerErrors(visit: Visit): boolean {
  const { packet } = visit.passage;
  const quoted = readQuote(packet);
  if (quoted === 'headerCut') return cut(visit);
  if (quoted === null || !SERVED.has(quoted.protocol)) return true;
  const found = connectionsOf(visit).fromReal(quoted.protocol, quoted.to, quoted.from);
  if (found === null) return true;
  if (!isSummedRight(visit)) return false;
  writeError(packet, 'source', found.virtual);
  const goesOn = routeAgain(visit);
  if (goesOn) served(visit, 'source', found);
  return goesOn;
}

/** `ip_vs_in_hook`. */
function requests(visit: Visit, servers: VirtualServers): boolean {
  const { passage, hook } = visit;
  const { packet } = passage;
  if (packet.virtualServed === true) return true;
  if (passage.frameType !== 'host' && hook !== 'output') return true;
  if (isError(packet)) return requestErrors(visit) === 'next';
  if (!SERVED.has(packet.protocol) || packet.l4 < 0) return true;
  const found = findOrOpen(visit, servers);
  if (found === 'accept') return true;
  if (found === 'ended') return false;
  noteState(visit, servers, found, 'in');
  passage.step('virtual-server', `${endText(found.virtual)} to ${endText(found.real)}`);
  return sendOn(visit, found, () => {
    writeEnd(packet, 'destination', found.real);
    served(visit, 'destination', found);
  });
}

/** `ip_vs_in_icmp`: errors about answers, that go to the virtual server's address. */
function requestErrors(visit: Visit): 'next' | 'ended' {
  const { packet } = visit.passage;
  if (!isError(packet)) return 'next';
  const quoted = readQuote(packet);
  if (quoted === 'headerCut') return cut(visit) ? 'next' : 'ended';
  if (quoted === null || !SERVED.has(quoted.protocol)) return 'next';
  const found = connectionsOf(visit).fromClient(quoted.protocol, quoted.to, quoted.from);
  if (found === null) return 'next';
  if (!isSummedRight(visit)) return 'ended';
  const goesOn = sendOn(visit, found, () => {
    writeError(packet, 'destination', found.real);
    served(visit, 'destination', found);
  });
  return goesOn ? 'next' : 'ended';
}

function connectionsOf({ run, passage }: Visit): VirtualConnections {
  return run.stateOf(passage.host).virtual;
}

const ERRORS4: ReadonlySet<number> = new Set([
  IcmpType.destinationUnreachable,
  IcmpType.sourceQuench,
  IcmpType.timeExceeded,
]);
/** ICMPV6_INFOMSG_MASK: types from here on are no errors. */
const INFORMATION6 = 128;

function isError({ family, protocol, bytes, l4 }: Packet): boolean {
  if (l4 < 0 || l4 >= bytes.length) return false;
  if (family === 4) return protocol === Protocol.icmp && ERRORS4.has(u8(bytes, l4));
  return protocol === Protocol.icmpv6 && u8(bytes, l4) < INFORMATION6;
}

function isSummedRight({ passage, hook }: Visit): boolean {
  const { packet } = passage;
  if (packet.checksumOffloaded || verifyChecksum(packet) !== 'wrong') return true;
  drop(passage, hook, 'ctInvalid', hook);
  return false;
}

function cut({ passage, hook }: Visit): boolean {
  unknown(passage, { host: passage.host.name, stage: hook, hook }, 'headerCut');
  return false;
}

/** `ip_vs_set_state`, and the timer that starts anew (`ip_vs_conn_put`). */
function noteState(
  { run, passage }: Visit,
  { timeouts }: VirtualServers,
  found: VirtualConnection,
  way: Way,
): void {
  const next = nextState(passage.packet, found.state, way, timeouts);
  if (next === null) return;
  found.state = next.state;
  found.expiresNs = run.nowNs + next.seconds * NS_PER_S;
}

/** The packet is done with: no hook of the host looks at it again. */
function served({ passage }: Visit, end: 'source' | 'destination', found: VirtualConnection): void {
  passage.packet.virtualServed = true;
  tellTracker(passage.packet, end, found);
}

/** `ip_vs_route_me_harder`: an answer is routed as if the virtual server had sent it. */
function routeAgain({ passage, hook }: Visit): boolean {
  const { host, packet, route } = passage;
  const isKept = hook === 'input' || route === null || route.type === 'local';
  if (isKept || !isOn(host.image.sysctl, 'snat_reroute')) return true;
  const found = routeOutput(host, packet);
  const out = found.kind === 'drop' ? null : host.device(found.route.device);
  if (found.kind === 'drop' || out === null || !out.up) {
    drop(passage, 'route', found.kind === 'drop' ? found.reason : 'noSuchDevice', hook);
    return false;
  }
  passage.route = found.route;
  if (hook === 'output') passage.device = out;
  return true;
}
