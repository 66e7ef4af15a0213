/**
 * The result of probes in every format.
 * @module
 */
import { stringify } from 'yaml';
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';
import type { ProbeResult } from '../../lab/ask/probe.ts';
import type { OutputRequest } from '../formats.ts';
import { probeJson, resultHead } from '../json-shape.ts';
import { formatChoice, formatTranslated, formatVerdict } from '../text/choice-text.ts';
import { legText, proxyText } from '../text/proxy-text.ts';
import { csvLine, formatMarkdown, formatTable, type Table } from '../text/table.ts';
import type { TextOutput } from '../text/text-output.ts';
import { formatPlace, formatPolicy } from './replay-table.ts';

export interface ProbeEnd {
  readonly stack: string;
  readonly engine: string;
  readonly seed: number;
  readonly probes: readonly ProbeResult[];
  /** Those that were asked to be seen (`-n`, `-l`); counts and mismatches speak of all. */
  readonly shown: readonly ProbeResult[];
  /** What was assumed of the cluster; tables leave it to standard error. */
  readonly warnings: readonly Diagnostic[];
  readonly interrupted: boolean;
}

/** A probe whose verdict is not the expected one. */
export function isMismatch(p: ProbeResult): boolean {
  return p.expect !== undefined && p.expect !== p.verdict;
}

export function writeProbes(request: OutputRequest, out: TextOutput, end: ProbeEnd): void {
  out.write(format(request, end));
  out.close();
}

function format(request: OutputRequest, end: ProbeEnd): string {
  switch (request.format) {
    case 'json':
      return `${JSON.stringify(resultJson(end), null, 1)}\n`;
    case 'yaml':
      return stringify(resultJson(end), { aliasDuplicateObjects: false });
    case 'jsonl':
      return end.shown.map((p) => `${JSON.stringify(probeJson(p))}\n`).join('');
    case 'csv': {
      const { columns, rows } = probeTable(end.shown, true);
      return csvLine(columns.map((name) => name.toLowerCase())) + rows.map(csvLine).join('');
    }
    case 'markdown':
      return formatMarkdown(probeTable(inOrder(end.shown), false)) + footer(end);
    case 'wide':
      return formatTable(probeTable(inOrder(end.shown), true)) + footer(end);
    case 'table':
      return formatTable(probeTable(inOrder(end.shown), false)) + footer(end);
  }
}

function resultJson(end: ProbeEnd) {
  const counts = new Map<string, number>(VERDICTS.map((verdict) => [verdict, 0]));
  for (const p of end.probes) counts.set(p.verdict, (counts.get(p.verdict) ?? 0) + 1);
  return {
    ...resultHead('ProbeResult', end.engine, end.seed),
    stack: end.stack,
    inputs: [],
    counts: { probes: end.probes.length, ...Object.fromEntries(counts) },
    warnings: end.warnings.map(formatDiagnostic),
    incomplete: end.interrupted,
    probes: end.shown.map(probeJson),
    mismatches: end.probes.filter(isMismatch).map(probeJson),
  };
}

/** Every verdict has its count, also of none. */
const VERDICTS = ['allowed', 'denied', 'broken', 'depends', 'unknown'];

/** Mismatches first, the rest as asked. */
function inOrder(probes: readonly ProbeResult[]): readonly ProbeResult[] {
  return [...probes.filter(isMismatch), ...probes.filter((p) => !isMismatch(p))];
}

function probeTable(probes: readonly ProbeResult[], wide: boolean): Table {
  const columns = ['FROM', 'TO', 'PORT', 'PROTOCOL', 'VERDICT', 'WHY', 'WHERE'];
  const more = [
    'INGRESS',
    'EGRESS',
    'FORWARD',
    'REPLY',
    'RULE',
    'EXPECTED',
    'TRANSLATED',
    'CHOICE',
  ];
  return {
    columns: wide ? [...columns, ...more] : columns,
    rows: probes.map((p) => {
      const said = formatPolicy(p.decidedBy) === '-' ? p.reason : formatPolicy(p.decidedBy);
      const isLost = p.lookup !== null && p.lookup.verdict !== 'allowed';
      const leg = p.proxy?.decidedLeg;
      const where = leg == null ? said : `${legText(leg)}: ${said}`;
      const why = isLost ? `name not resolved: ${said}` : where;
      const judged = formatVerdict(p.verdict, p.choice);
      const verdict = isMismatch(p) ? `${judged} (expected ${p.expect})` : judged;
      const row = [p.from, p.to, p.port, p.protocol, verdict, why, formatPlace(p.decidedBy)];
      const extra = [
        p.ingress,
        p.egress,
        p.forward.result,
        p.reply.result,
        p.decidedBy?.text,
        p.expect,
        formatTranslated(p.translated),
        formatChoice(p.choice),
      ];
      return wide ? [...row, ...extra] : row;
    }),
  };
}

function footer(end: ProbeEnd): string {
  const expected = end.probes.filter((p) => p.expect !== undefined).length;
  const wrong = end.probes.filter(isMismatch).length;
  const judged = expected === 0 ? '' : `; ${expected - wrong} of ${expected} as expected`;
  const proxies = end.shown.flatMap((p) => (p.proxy === null ? [] : [proxyText(p.proxy)]));
  const through = proxies.length === 0 ? '' : `\n${[...new Set(proxies)].join('')}`;
  const count = end.probes.length === 1 ? '1 probe' : `${end.probes.length} probes`;
  return `${through}\n${count} on ${end.stack}${judged}. Whether a process listens is not judged.\n`;
}
