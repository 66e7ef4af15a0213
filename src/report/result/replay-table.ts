/**
 * The replay's summary as a person reads it: what ran, what was dropped by which rule, which
 * connections that hit.
 * @module
 */
import type { ConnectionResult, DecidedBy, DropRow } from '../../lab/result.ts';
import type { Exhaustion } from '../../lab/run/exhaustion.ts';
import { formatTime } from '../json-shape.ts';
import { formatChoice, formatTranslated, formatVerdict } from '../text/choice-text.ts';
import {
  files,
  labelled,
  list,
  section,
  sum,
  type TableStyle,
  table,
  title,
} from '../text/layout.ts';
import type { Cell, Table } from '../text/table.ts';
import { shownWarnings } from '../text/warnings.ts';
import type { RunEnd, RunHead } from './replay-report.ts';
import type { TopConnections } from './top-connections.ts';

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

/** The whole report; what contradicts the capture comes first. */
export function replayTable(
  head: RunHead,
  end: RunEnd,
  top: TopConnections,
  style: TableStyle,
): string {
  const { counts, drops } = end.summary;
  const { total, contradicted, ...verdicts } = counts.connections;
  const contradictions = top.contradicted();
  const others = top.others();
  return [
    title(style, 'REPLAY', heading(head, end)),
    labelled(style, 'PACKETS', [
      sum(counts.packets, counts.outcomes),
      ...(counts.generated > 0 ? [`${counts.generated} more made by nodes (generated)`] : []),
    ]),
    labelled(style, 'CONNECTIONS', [
      sum(total, verdicts),
      ...(contradicted > 0 ? [`${contradicted} contradicted: ${CONTRADICTED}`] : []),
    ]),
    notes(end, style),
    section(
      style,
      shownOf('Contradicted', contradictions.length, contradicted),
      table(style, connectionTable(contradictions, style)),
    ),
    section(style, 'Drops', table(style, dropTable(drops))),
    section(style, 'Public ports ran out', table(style, exhaustionTable(end.summary.exhausted))),
    section(
      style,
      shownOf('Not allowed', others.length, total - verdicts.allowed - contradicted),
      table(style, connectionTable(others, style)),
    ),
    section(style, 'Warnings', list(style, shownWarnings(end.warnings))),
  ].join('');
}

const CONTRADICTED =
  'answered in the capture, not allowed here: other policies were in force, or the emulation errs';

/** `Not allowed (20 of 3000, -o json has all)`. */
function shownOf(what: string, shown: number, all: number): string {
  return shown < all ? `${what} (${shown} of ${all}, -o json has all)` : what;
}

function heading(head: RunHead, end: RunEnd): string {
  const cut = end.inputs.some((i) => i.truncated !== null);
  const state = end.interrupted ? '  (interrupted)' : cut ? '  (incomplete input)' : '';
  const paths = end.inputs.map((i) => i.path);
  return `${files(paths)}  on ${head.stack}  (${head.engine} engine)${state}`;
}

/** What checksum, clock and cause rules met. */
function notes(end: RunEnd, style: TableStyle): string {
  const { counts, reasons } = end.summary;
  const { backwardSteps, longGaps } = end.clock;
  const all = Object.entries({ ...counts.notes, ...reasons });
  const parts = all.map(([name, n]) => `${n} ${name}`);
  if (backwardSteps > 0) parts.push(`clock went back ${backwardSteps} times`);
  if (longGaps > 0) parts.push(`${longGaps} gaps longer than any timeout`);
  return parts.length === 0 ? '' : labelled(style, 'NOTES', [parts.join(', ')]);
}

function dropTable(drops: readonly DropRow[]): Table {
  return {
    columns: ['PACKETS', 'CONNECTIONS', 'REASON', 'WHERE', 'POLICY'],
    rows: drops.map((d) => [
      d.packets,
      d.connections,
      d.reason,
      formatPlace(d.decidedBy),
      formatPolicy(d.decidedBy),
    ]),
  };
}

/** The destinations that most packets did not get a port for; JSON has all. */
function exhaustionTable(rows: readonly Exhaustion[]): Table {
  const most = rows.toSorted((a, b) => b.packets - a.packets).slice(0, 20);
  return {
    columns: ['SINCE', 'DESTINATION', 'PROTOCOL', 'PACKETS', 'WHOSE', 'PORTS'],
    rows: most.map((r) => [
      formatTime(r.firstTimeNs),
      ...[r.destination, r.protocol, r.packets, r.pool, r.block ?? '-'],
    ]),
  };
}

function connectionTable(rows: readonly ConnectionResult[], style: TableStyle): Table {
  const wide = style === 'wide';
  const columns = ['FRAME', 'FROM', 'TO', 'PROTOCOL', 'VERDICT', 'PACKETS', 'WHY'];
  const extra = ['SRC', 'DST', 'FORWARD', 'REPLY', 'OPENING', 'RULE', 'TRANSLATED', 'CHOICE'];
  return {
    columns: wide ? [...columns, ...extra] : columns,
    rows: rows.map((c) => {
      const row: Cell[] = [
        c.firstFrame,
        formatEnd(c.from, c.src, null),
        formatEnd(c.to, c.dst, c.dport),
        c.protocol,
        formatVerdict(c.verdict, c.choice),
        c.packets,
        why(c),
      ];
      const more = [
        ...[c.src, c.dst, c.forward.result, c.reply.result, c.opening, c.decidedBy?.text],
        ...[formatTranslated(c.translated), formatChoice(c.choice)],
      ];
      return wide ? [...row, ...more] : row;
    }),
  };
}

function why(c: ConnectionResult): string {
  if (c.decidedBy === null) return c.reason ?? '-';
  const policy = formatPolicy(c.decidedBy);
  return policy === '-' ? `${c.reason} at ${formatPlace(c.decidedBy)}` : policy;
}
