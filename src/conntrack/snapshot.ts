/**
 * The table as conntrack(8) lists it, for reports and for comparison with a real host.
 * @module
 */
import { Protocol, protocolName } from '../wire/protocol.ts';
import { type Connection, NS_PER_S, remainingNs } from './connection.ts';
import { SCTP_STATE_NAMES } from './protocol/sctp-states.ts';
import { TCP_STATE_NAMES } from './protocol/tcp-states.ts';
import type { ConntrackTable } from './table.ts';
import { formatTuple } from './tuple.ts';

export interface ConnectionLine {
  readonly family: 4 | 6;
  readonly protocol: number;
  /** `src=… dst=… sport=… dport=…`. */
  readonly original: string;
  readonly reply: string;
  /** The protocol's own state (`ESTABLISHED`), or '' when it has none. */
  readonly state: string;
  /** No answer seen yet, and: has shown to be no probe. */
  readonly unreplied: boolean;
  readonly assured: boolean;
  readonly mark: number;
  /** Whole seconds, rounded down, as conntrack(8) prints them. */
  readonly timeoutS: number;
}

/** Every living connection, oldest first. */
export function snapshot(table: ConntrackTable, nowNs: number): readonly ConnectionLine[] {
  return table.connections(nowNs).map((connection) => describeConnection(connection, nowNs));
}

export function describeConnection(connection: Connection, nowNs: number): ConnectionLine {
  const { original, reply, seenReply, assured, mark } = connection;
  return {
    family: original.src.family,
    protocol: original.protocol,
    original: formatTuple(original),
    reply: formatTuple(reply),
    state: stateName(connection),
    unreplied: !seenReply,
    assured,
    mark,
    timeoutS: Math.floor(remainingNs(connection, nowNs) / NS_PER_S),
  };
}

function stateName({ tracking }: Connection): string {
  if (tracking.kind === 'tcp') return TCP_STATE_NAMES[tracking.state];
  return tracking.kind === 'sctp' ? SCTP_STATE_NAMES[tracking.state] : '';
}

/** Protocols that conntrack(8) knows by name; others are `unknown`. */
const KNOWN: ReadonlySet<number> = new Set([
  Protocol.tcp,
  Protocol.udp,
  Protocol.udplite,
  Protocol.sctp,
  Protocol.icmp,
  Protocol.gre,
]);

/** One line of `conntrack -L` (spaces single, without the use count). */
export function formatConnection(line: ConnectionLine): string {
  const name = line.protocol === Protocol.icmpv6 ? 'icmpv6' : protocolName(line.protocol);
  const known = KNOWN.has(line.protocol) || line.protocol === Protocol.icmpv6;
  return [
    known ? name : 'unknown',
    String(line.protocol),
    String(line.timeoutS),
    line.state,
    line.original,
    line.unreplied ? '[UNREPLIED]' : '',
    line.reply,
    line.assured ? '[ASSURED]' : '',
    `mark=${line.mark}`,
  ]
    .filter((part) => part !== '')
    .join(' ');
}
