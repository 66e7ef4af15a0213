/**
 * Connections that were open before the first packet, as a real host listed them.
 *
 * A list has state, timeout, mark, zone and both tuples, so translation goes on as it was decided.
 * What it does not have is taken to let pass, as the kernel takes it for entries that conntrackd
 * brings over (`ctnetlink_create_conntrack`; it sends the liberal flag along): TCP windows are not
 * judged, SCTP tags are learned from the next packet of either side. A connection that is closing
 * began to with a FIN, and may be opened again. Of one in CLOSE (ten seconds) nobody knows whose
 * RST it was: it may be opened again, too, which the kernel allows only to who reset it. An
 * answered datagram flow that is not yet a stream counts its two seconds anew. The device that a
 * masqueraded connection leaves by is not listed either.
 *
 * Kernel: net/netfilter/nf_conntrack_netlink.c `ctnetlink_create_conntrack`, Linux 6.18.
 * @module
 */
import type { ListedConnection } from '../netfilter/listed-connection.ts';
import { equalAddress } from '../wire/address/address.ts';
import { Protocol } from '../wire/protocol.ts';
import { type Connection, NS_PER_S, newConnection, type Tracking } from './connection.ts';
import { UNKNOWN_TAG } from './protocol/sctp.ts';
import { SCTP_STATE_NAMES, SCTP_STATES, type SctpState } from './protocol/sctp-states.ts';
import { establishedTracking } from './protocol/tcp.ts';
import { TCP_STATE_NAMES, TCP_STATES, type TcpState } from './protocol/tcp-states.ts';
import { STREAM_AFTER_NS } from './protocol/udp.ts';
import { isIcmpTuple } from './tuple.ts';

/** Make the connection, whose time runs from `nowNs` on; it is not yet in a table. */
export function connectionOfList(listed: ListedConnection, nowNs: number): Connection {
  const { original, reply, zone = null, traffic } = listed;
  const connection = newConnection({ original, reply, nowNs, zone });
  connection.seenReply = listed.seenReply;
  connection.assured = listed.assured;
  connection.mark = listed.mark;
  connection.lifetimeNs = listed.timeoutS * NS_PER_S;
  connection.tracking = trackingOf(listed, nowNs);
  connection.traffic = traffic
    ? { original: { ...traffic.original }, reply: { ...traffic.reply } }
    : null;
  // Ports of ICMP tuples are identifier and type: only the identifier is translated.
  const answeredTo = isIcmpTuple(original) ? reply.sport : reply.dport;
  const answeredBy = isIcmpTuple(original) ? original.dport : reply.sport;
  connection.sourceNat = !equalAddress(reply.dst, original.src) || answeredTo !== original.sport;
  connection.destinationNat =
    !equalAddress(reply.src, original.dst) || answeredBy !== original.dport;
  connection.sourceNatDone = true;
  connection.destinationNatDone = true;
  return connection;
}

function trackingOf({ original, state, assured }: ListedConnection, nowNs: number): Tracking {
  switch (original.protocol) {
    case Protocol.tcp:
      return tcpTracking(TCP_STATES.find((name) => TCP_STATE_NAMES[name] === state) ?? 'none');
    case Protocol.sctp:
      return {
        kind: 'sctp',
        state: sctpState(state),
        tag: { original: UNKNOWN_TAG, reply: UNKNOWN_TAG },
        // An INIT whose answer is to come, or is not acknowledged yet.
        init: { original: OPENING.has(state), reply: false },
        heartbeatTagFailed: false,
        lastDirection: 'original',
      };
    case Protocol.udp:
    case Protocol.udplite:
      return { kind: 'udp', streamNs: assured ? nowNs - 1 : nowNs + STREAM_AFTER_NS };
    default:
      return { kind: 'plain' };
  }
}

const OPENING: ReadonlySet<string> = new Set(['CLOSED', 'COOKIE_WAIT', 'COOKIE_ECHOED']);
const CLOSING: ReadonlySet<TcpState> = new Set([
  ...(['finWait', 'closeWait', 'lastAck', 'timeWait', 'close'] as const),
]);

function tcpTracking(state: TcpState): Tracking {
  const tracking = establishedTracking();
  tracking.state = state;
  tracking.seen.original.closeInit = CLOSING.has(state);
  // States of the handshake tell which segment was the last.
  if (state === 'synSent' || state === 'synSent2') tracking.lastIndex = 'syn';
  if (state === 'synRecv') tracking.lastIndex = 'synAck';
  if (state === 'synSent2' || state === 'synRecv') tracking.lastDirection = 'reply';
  tracking.simultaneousOpen = state === 'synSent2';
  return tracking;
}

/** HEARTBEAT_ACKED became ESTABLISHED in Linux 6.2. */
function sctpState(text: string): SctpState {
  if (text === 'HEARTBEAT_ACKED') return 'established';
  return SCTP_STATES.find((name) => SCTP_STATE_NAMES[name] === text) ?? 'none';
}
