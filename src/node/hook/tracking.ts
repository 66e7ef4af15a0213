/**
 * Connection tracking at the hooks of a host: packets in, and confirmation.
 *
 * Truth: net/netfilter/nf_conntrack_core.c `nf_conntrack_in`, `__nf_conntrack_confirm` (Linux
 * 6.18); the work itself is done by src/conntrack.
 * @module
 */
import type { Connection } from '../../conntrack/connection.ts';
import { connectionOf } from '../../conntrack/table.ts';
import { drop, unknown } from '../run.ts';
import type { Visit } from './visit.ts';
import type { ConnectionFacts } from './walk-context.ts';

/** Rules' view of a packet's connection. */
export const CONNECTION_FACTS: ConnectionFacts = {
  mark: (connection) => (connection as Connection).mark,
  setMark: (connection, mark) => {
    (connection as Connection).mark = mark;
  },
  isSourceTranslated: (connection) => (connection as Connection).sourceNat,
  isDestinationTranslated: (connection) => (connection as Connection).destinationNat,
};

/** `nf_conntrack_in` at prerouting and output; false when the packet ended. */
export function trackIn(visit: Visit): boolean {
  const { passage, run, hook } = visit;
  const { packet, host } = passage;
  if (packet.family === 0 || !host.image.conntrackActive(packet.family)) return true;
  const { connections } = run.stateOf(host);
  const at = hook === 'output' ? 'output' : 'prerouting';
  const fault = connections.track(packet, run.nowNs, at);
  if (packet.connection !== null) run.touched.set(packet.connection, host);
  if (fault === null) return true;
  if (fault === 'headerCut') unknown(passage, { host: host.name, stage: hook, hook }, fault);
  else drop(passage, hook, fault, hook);
  return false;
}

/** The packet has survived: its connection is real from now on. False when a tuple is taken. */
export function confirm({ run, passage }: Visit): boolean {
  const { packet, host } = passage;
  if (connectionOf(packet) === null) return true;
  return run.stateOf(host).connections.confirm(packet, run.nowNs);
}
