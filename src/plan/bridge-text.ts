/**
 * Bridge ports and forwarding entries as commands of bridge(8), after `printIp` has made the
 * links. Without its first word each line is a line of `bridge -batch`.
 *
 * Source: iproute2 6.1, bridge/link.c, bridge/fdb.c; net/bridge/br_fdb.c `fdb_add_entry`.
 * @module
 */
import { unreachable } from '../diagnostic/diagnostic.ts';
import type { FdbEntry, Plan } from './model.ts';

/** Print hairpin mode of every port that has it, and every entry of the bridges' tables. */
export function printBridge(plan: Plan): string {
  const hairpins = plan.interfaces.filter((port) => port.master !== undefined && port.hairpin);
  const lines = [
    ...hairpins.map(({ name }) => `link set dev ${name} hairpin on`),
    ...plan.fdb.map(addEntry),
  ];
  return lines.map((line) => `bridge ${line}\n`).join('');
}

/** An entry of the bridge's own address names the bridge itself as port. */
function addEntry(entry: FdbEntry): string {
  const side = entry.port === entry.bridge ? 'self' : 'master';
  return `fdb replace ${entry.mac} dev ${entry.port} ${side} ${entryKind(entry)}`;
}

function entryKind({ kind }: FdbEntry): string {
  switch (kind) {
    case 'permanent':
      return 'permanent';
    case 'static':
      return 'static';
    case 'learned':
      return 'dynamic';
    default:
      return unreachable(kind);
  }
}
