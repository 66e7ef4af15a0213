/**
 * A host's connections as the engine's contract shows them.
 * @module
 */
import { snapshot } from '../conntrack/snapshot.ts';
import type { Host } from '../node/host.ts';
import type { ConnectionView } from './engine.ts';

/** Living connections, oldest first; `status` is conntrack(8)'s words. */
export function connectionViews(host: Host, nowNs: number): readonly ConnectionView[] {
  return snapshot(host.state.connections, nowNs).map((line) => ({
    host: host.name,
    protocol: line.protocol,
    original: line.original,
    reply: line.reply,
    status: [line.state, line.unreplied ? 'UNREPLIED' : '', line.assured ? 'ASSURED' : '']
      .filter((word) => word !== '')
      .join(' '),
    timeoutS: line.timeoutS,
  }));
}
