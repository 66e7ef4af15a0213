/**
 * The connection of a request: the one it belongs to, or a new one where a virtual server is asked.
 *
 * Truth: net/netfilter/ipvs/ip_vs_core.c `ip_vs_in_hook` (from `conn_in_get` on), `ip_vs_schedule`,
 * `ip_vs_sched_persist`, `ip_vs_leave`, ip_vs_proto_{tcp,udp,sctp}.c `*_conn_schedule` (Linux 6.1).
 * @module
 */
import { connectionOf } from '../../conntrack/table.ts';
import { tupleKey } from '../../conntrack/tuple.ts';
import type { VirtualServer, VirtualServers } from '../../netfilter/virtual-server.ts';
import type { Packet } from '../../packet/packet.ts';
import { equalAddress } from '../../wire/address/address.ts';
import { HEADER_LENGTH as SCTP_HEADER } from '../../wire/header/sctp.ts';
import * as tcp from '../../wire/header/tcp.ts';
import { HEADER_LENGTH as UDP_HEADER } from '../../wire/header/udp.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Visit } from '../hook/visit.ts';
import { sendIcmpError } from '../ip/icmp-error.ts';
import { drop, dropBy, unknown } from '../run.ts';
import type { VirtualConnection } from './connections.ts';
import { type End, endsOf, endText } from './end.ts';
import { chooseReal, hashedPart } from './schedule.ts';
import { isOn } from './setting.ts';
import { firstChunk } from './states.ts';

/** `accept`: the packet is no business of any virtual server. */
export type Opened = VirtualConnection | 'accept' | 'ended';

const FTP_DATA = 20;
const SCTP_INIT = 1;

/** Find the packet's connection, or open one. */
export function findOrOpen(visit: Visit, servers: VirtualServers): Opened {
  const { run, passage, hook } = visit;
  const { packet } = passage;
  const { virtual } = run.stateOf(passage.host);
  const { from, to } = endsOf(packet);
  const found = virtual.fromClient(packet.protocol, from, to);
  if (found !== null) {
    const kept = keepsConnection(visit, found);
    if (kept === 'kept') return found;
    if (kept === 'dropped') {
      drop(passage, hook, 'virtualConnectionEnded', hook);
      return 'ended';
    }
  }
  const asks = opens(packet);
  if (asks === 'cut') {
    unknown(passage, { host: passage.host.name, stage: hook, hook }, 'headerCut');
    return 'ended';
  }
  if (asks === 'short') {
    drop(passage, hook, SHORT[packet.protocol] ?? 'tcpTruncated', hook);
    return 'ended';
  }
  const server = asks === 'opens' ? serverAt(servers, packet.protocol, to) : null;
  // Active FTP's data connections are never scheduled.
  if (server === null || from.port === FTP_DATA) return 'accept';
  const isOwn = hook === 'output' || passage.device.kind === 'loopback';
  if (isOwn && virtual.fromClient(packet.protocol, to, from) !== null) return 'accept';
  return open(visit, server, from);
}

function serverAt({ servers }: VirtualServers, protocol: number, at: End): VirtualServer | null {
  const found = servers.find((one) => {
    return (
      one.protocol === protocol && one.port === at.port && equalAddress(one.address, at.address)
    );
  });
  return found ?? null;
}

function open(visit: Visit, server: VirtualServer, client: End): Opened {
  const { run, passage, hook } = visit;
  const { virtual } = run.stateOf(passage.host);
  let real = virtual.kept(server, client.address);
  if (real !== null && real.weight === 0 && expiresQuiescent(visit)) {
    virtual.release(server, client.address);
    real = null;
  }
  if (real === null) {
    // As rules of the nat table draw: the n-th of n stays the n-th, whoever chooses.
    const at = hook === 'output' ? 'output' : 'prerouting';
    const own = () => `${at} ${tupleKey(tupleAt(server, client))}`;
    const key = () => hashedPart(server, client) ?? own();
    real = chooseReal(server, run.drawsOf(passage.host, key));
  }
  if (real !== null) return virtual.open(server, client, real, run.nowNs);
  refuse(visit, server);
  return 'ended';
}

function tupleAt({ protocol, address, port }: VirtualServer, client: End) {
  return { protocol, src: client.address, sport: client.port, dst: address, dport: port };
}

function expiresQuiescent({ passage }: Visit): boolean {
  return passage.host.image.sysctl.get('net.ipv4.vs.expire_quiescent_template') !== 0;
}

/** Nobody is there: whatever the protocol, the client is told that the port is unreachable. */
function refuse({ run, passage, hook }: Visit, server: VirtualServer): void {
  const { origin } = server;
  dropBy(passage, 'rejected', {
    host: passage.host.name,
    stage: hook,
    hook,
    text: `virtual server ${endText(server)} has no real server`,
    ...(origin === undefined ? {} : { origin }),
  });
  const how = passage.packet.family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  sendIcmpError(run, passage, { kind: 'reject', with: how });
}

/**
 * Whether a packet stays with the connection that it is found to belong to. One that opens a new
 * one ends what is over, or has lost its real server; while the tracker still knows the old one,
 * the packet is dropped, and the next one, which its sender repeats, opens it.
 */
function keepsConnection(visit: Visit, found: VirtualConnection): 'kept' | 'ended' | 'dropped' {
  const { run, passage } = visit;
  const { packet, host } = passage;
  if (!isNew(packet)) return 'kept';
  const { sysctl } = host.image;
  const lost = sysctl.get('net.ipv4.vs.expire_nodest_conn') !== 0 && found.real.weight === 0;
  const reuses = isOn(sysctl, 'conn_reuse_mode') && isOver(found);
  if (!lost && !reuses) return 'kept';
  const isOld = found.tracked && connectionOf(packet)?.confirmed === true;
  if (!isOld) found.tracked = false;
  const { virtual, connections } = run.stateOf(host);
  virtual.end(found, connections, run.nowNs);
  return isOld ? 'dropped' : 'ended';
}

/** `is_new_conn_expected`; connections that persistence controls are used again as they are. */
function isOver({ template, protocol, state }: VirtualConnection): boolean {
  if (template !== null) return false;
  if (protocol === Protocol.tcp) return state === 'TW' || state === 'CL';
  return protocol === Protocol.sctp && state === 'CL';
}

/** `is_new_conn`. */
function isNew(packet: Packet): boolean {
  const { protocol, bytes, l4 } = packet;
  if (protocol === Protocol.tcp) {
    if (bytes.length < l4 + tcp.MIN_HEADER_LENGTH) return false;
    return (tcp.flags(bytes, l4) & tcp.TcpFlag.syn) !== 0;
  }
  return protocol === Protocol.sctp && firstChunk(packet) === SCTP_INIT;
}

const NEEDED: Readonly<Record<number, number>> = {
  [Protocol.tcp]: tcp.MIN_HEADER_LENGTH,
  [Protocol.udp]: UDP_HEADER,
  [Protocol.sctp]: SCTP_HEADER + 4,
};
const SHORT: Readonly<Record<number, 'tcpTruncated' | 'udpTruncated' | 'sctpTruncated'>> = {
  [Protocol.tcp]: 'tcpTruncated',
  [Protocol.udp]: 'udpTruncated',
  [Protocol.sctp]: 'sctpTruncated',
};

/** Whether the packet may open a connection (`*_conn_schedule`). */
function opens(packet: Packet): 'opens' | 'no' | 'short' | 'cut' {
  const { protocol, bytes, l4, end } = packet;
  const needed = l4 + (NEEDED[protocol] ?? 0);
  if (end < needed) return 'short';
  if (bytes.length < needed) return 'cut';
  if (protocol === Protocol.tcp) {
    const flags = tcp.flags(bytes, l4);
    const isSyn = (flags & tcp.TcpFlag.syn) !== 0 && (flags & tcp.TcpFlag.rst) === 0;
    return isSyn ? 'opens' : 'no';
  }
  if (protocol === Protocol.sctp) return firstChunk(packet) === SCTP_INIT ? 'opens' : 'no';
  return 'opens';
}
