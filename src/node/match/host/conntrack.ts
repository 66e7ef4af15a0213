/**
 * Matches that ask the packet's connection: conntrack, state, connmark.
 *
 * Source: net/netfilter/xt_conntrack.c `conntrack_mt`, xt_state.c, xt_connmark.c.
 * @module
 */
import { type Connection, NS_PER_S, remainingNs } from '../../../conntrack/connection.ts';
import { unreachable } from '../../../diagnostic/diagnostic.ts';
import type { CtState, CtStatus, Match, Negatable, PortRange } from '../../../netfilter/match.ts';
import type { Packet } from '../../../packet/packet.ts';
import { contains } from '../../../wire/address/address.ts';
import type { WalkContext } from '../../hook/walk-context.ts';

/**
 * The states a packet is in, as rules can ask for them. A packet without a connection is INVALID
 * unless it is untracked; xt_state knows no SNAT and DNAT.
 */
export function packetStates(ctx: WalkContext, packet: Packet): ReadonlySet<CtState> {
  const states = new Set<CtState>([baseState(packet)]);
  if (isTranslated(ctx, 'SNAT', packet)) states.add('SNAT');
  if (isTranslated(ctx, 'DNAT', packet)) states.add('DNAT');
  return states;
}

function isTranslated(ctx: WalkContext, state: CtState, packet: Packet): boolean {
  if (state !== 'SNAT' && state !== 'DNAT') return false;
  const connection = connectionOf(packet);
  if (connection === null) return false;
  return state === 'SNAT'
    ? ctx.connections.isSourceTranslated(connection)
    : ctx.connections.isDestinationTranslated(connection);
}

/** The connection that rules see: untracked packets have none. */
export function connectionOf(packet: Packet): object | null {
  return packet.ctState === 'untracked' ? null : packet.connection;
}

function baseState(packet: Packet): CtState {
  switch (packet.ctState) {
    case 'new':
      return 'NEW';
    case 'established':
      return 'ESTABLISHED';
    case 'related':
      return 'RELATED';
    case 'untracked':
      return 'UNTRACKED';
    case 'none':
      // The template of a CT rule looks like a new connection (xt_CT.c `xt_ct_target`).
      return packet.ctTemplate ? 'NEW' : 'INVALID';
    case 'invalid':
      return 'INVALID';
    default:
      return unreachable(packet.ctState);
  }
}

export function statesHold(ctx: WalkContext, states: readonly CtState[], packet: Packet): boolean {
  const own = baseState(packet);
  for (const state of states) if (state === own || isTranslated(ctx, state, packet)) return true;
  return false;
}

/** A packet without a connection never matches, negated or not. */
export function connmarkHolds(
  ctx: WalkContext,
  match: Extract<Match, { kind: 'connmark' }>,
  packet: Packet,
): boolean {
  const connection = connectionOf(packet);
  if (connection === null) return false;
  const masked = (ctx.connections.mark(connection) & match.mask) >>> 0;
  return (masked === match.value >>> 0) !== match.negate;
}

type DetailMatch = Extract<Match, { kind: 'conntrackDetail' }>;

/** xt_conntrack with more than states; without a connection only the states count. */
export function conntrackDetailHolds(
  ctx: WalkContext,
  match: DetailMatch,
  packet: Packet,
): boolean {
  const { states } = match;
  if (states && statesHold(ctx, states.value, packet) === states.negate) return false;
  const found = connectionOf(packet);
  if (found === null) return states !== undefined;
  const connection = found as Connection;
  if (match.direction && match.direction.toLowerCase() !== packet.ctDirection) return false;
  return (
    tuplesHold(match, connection) &&
    holds(match.status, (wanted) => wanted.some((status) => hasStatus(connection, status))) &&
    holds(match.expires, ({ low, high }) => {
      // Unconfirmed, its timeout is no point in time yet: long over (`nf_ct_expires`).
      const leftNs = connection.confirmed ? remainingNs(connection, ctx.nowNs) : 0;
      const seconds = Math.floor(leftNs / NS_PER_S);
      return seconds >= low && seconds <= high;
    })
  );
}

function tuplesHold(match: DetailMatch, { original, reply }: Connection): boolean {
  return (
    holds(match.protocol, (protocol) => protocol === original.protocol) &&
    holds(match.originalSource, (net) => contains(net, original.src)) &&
    holds(match.originalDestination, (net) => contains(net, original.dst)) &&
    holds(match.replySource, (net) => contains(net, reply.src)) &&
    holds(match.replyDestination, (net) => contains(net, reply.dst)) &&
    holds(match.originalSourcePort, inRange(original.sport)) &&
    holds(match.originalDestinationPort, inRange(original.dport)) &&
    holds(match.replySourcePort, inRange(reply.sport)) &&
    holds(match.replyDestinationPort, inRange(reply.dport))
  );
}

function holds<T>(want: Negatable<T> | undefined, test: (value: T) => boolean): boolean {
  return want === undefined || test(want.value) !== want.negate;
}

function inRange(port: number): (range: PortRange) => boolean {
  return ({ low, high }) => port >= low && port <= high;
}

/** `NONE` is no bit: asked alone it never holds. Expected connections are not emulated. */
function hasStatus(connection: Connection, status: CtStatus): boolean {
  switch (status) {
    case 'NONE':
    case 'EXPECTED':
      return false;
    case 'SEEN_REPLY':
      return connection.seenReply;
    case 'ASSURED':
      return connection.assured;
    case 'CONFIRMED':
      return connection.confirmed;
    default:
      return unreachable(status);
  }
}
