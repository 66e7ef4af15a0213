/**
 * The replay's summary as a person reads it: what ran, what was dropped by which rule, which
 * connections that hit.
 * @module
 */
import { formatDiagnostic } from '../diagnostic/diagnostic.ts';
import type { ConnectionResult, DecidedBy } from '../lab/result.ts';
import type { RunEnd } from './replay-report.ts';
import { type Cell, formatMarkdown, formatTable, type Table } from './table.ts';
import type { TopConnections } from './top-connections.ts';

export type TableStyle = 'table' | 'wide' | 'markdown';

/** `node-a forward filter/AZURE-NPM-INGRESS rule 3`. */
export function formatPlace(by: DecidedBy | null): string {
  if (by === null) return '-';
  return [by.node, by.hook, by.rule].filter((part) => part !== null).join(' ');
}

/** `shop/NetworkPolicy/deny-all (policies.yaml:14)`. */
export function formatPolicy(by: DecidedBy | null): string {
  if (by === null || by.policy === null) return '-';
  const more = by.policies.length > 1 ? ` +${by.policies.length - 1}` : '';
  return by.source === null ? `${by.policy}${more}` : `${by.policy}${more} (${by.source})`;
}

/** `pod/shop/web` or the address; with its port when there is one. */
export function formatEnd(
  name: string | null,
  address: string | null,
  port: number | null,
): string {
  const who = name ?? address ?? '?';
  return port === null ? who : `${who}:${port}`;
}

export function replayTable(end: RunEnd, top: TopConnections, style: TableStyle): string {
  const print = style === 'markdown' ? formatMarkdown : formatTable;
  const { counts } = end.summary;
  const { connections: c, outcomes } = counts;
  const shown = top.rows();
  const sections = [
    heading(end),
    `PACKETS  ${counts.packets} = ${nonZero(outcomes)}; ${counts.generated} generated\n`,
    `CONNECTIONS  ${c.total} = ${nonZero({ allowed: c.allowed, denied: c.denied, broken: c.broken, depends: c.depends, unknown: c.unknown })}${contradiction(c.contradicted)}\n`,
    notes(end),
    end.summary.drops.length === 0 ? '' : `\nDROPS\n${print(dropTable(end))}`,
    shown.length === 0 ? '' : `\nCONNECTIONS NOT ALLOWED\n${print(connectionTable(shown, style))}`,
    end.warnings.length === 0
      ? ''
      : `\nWARNINGS\n${end.warnings.map((w) => `${formatDiagnostic(w)}\n`).join('')}`,
  ];
  return sections.join('');
}

function heading(end: RunEnd): string {
  const files = end.inputs.map((i) => i.path).join(', ');
  const cut = end.inputs.filter((i) => i.truncated !== null).length;
  const state = end.interrupted ? '  (interrupted)' : cut > 0 ? '  (incomplete input)' : '';
  return `REPLAY  ${files}  on ${end.stack}  (${end.engine} engine)${state}\n`;
}

function contradiction(count: number): string {
  if (count === 0) return '';
  return (
    `\n  ${count} contradicted: answered in the capture and not allowed here. Either these policies ` +
    'were not in force when it was taken, or the emulation is wrong'
  );
}

function notes(end: RunEnd): string {
  const { counts, reasons } = end.summary;
  const all = { ...counts.notes, ...reasons };
  const clock = [
    end.clock.backwardSteps > 0 ? `clock went back ${end.clock.backwardSteps} times` : '',
    end.clock.longGaps > 0 ? `${end.clock.longGaps} gaps longer than any timeout` : '',
  ].filter((text) => text !== '');
  const parts = [...Object.entries(all).map(([name, n]) => `${name} ${n}`), ...clock];
  return parts.length === 0 ? '' : `NOTES  ${parts.join(', ')}\n`;
}

function nonZero(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).filter(([, n]) => n > 0);
  return parts.length === 0 ? 'none' : parts.map(([name, n]) => `${n} ${name}`).join(' + ');
}

function dropTable(end: RunEnd): Table {
  return {
    columns: ['PACKETS', 'CONNECTIONS', 'REASON', 'WHERE', 'POLICY'],
    rows: end.summary.drops.map((d) => [
      d.packets,
      d.connections,
      d.reason,
      formatPlace(d.decidedBy),
      formatPolicy(d.decidedBy),
    ]),
  };
}

function connectionTable(rows: readonly ConnectionResult[], style: TableStyle): Table {
  const wide = style === 'wide';
  const columns = ['FRAME', 'FROM', 'TO', 'PROTOCOL', 'VERDICT', 'PACKETS', 'WHY'];
  const extra = ['SRC', 'DST', 'FORWARD', 'REPLY', 'OPENING', 'RULE'];
  return {
    columns: wide ? [...columns, ...extra] : columns,
    rows: rows.map((c) => {
      const row: Cell[] = [
        c.firstFrame,
        formatEnd(c.from, c.src, null),
        formatEnd(c.to, c.dst, c.dport),
        c.protocol,
        c.contradicted ? `${c.verdict} (contradicted)` : c.verdict,
        c.packets,
        why(c),
      ];
      const more = [c.src, c.dst, c.forward.result, c.reply.result, c.opening, c.decidedBy?.text];
      return wide ? [...row, ...more] : row;
    }),
  };
}

function why(c: ConnectionResult): string {
  if (c.decidedBy === null) return c.reason ?? '-';
  const policy = formatPolicy(c.decidedBy);
  return policy === '-' ? `${c.reason} at ${formatPlace(c.decidedBy)}` : policy;
}
