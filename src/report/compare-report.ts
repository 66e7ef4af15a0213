/**
 * The result of a comparison in every format.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../diagnostic/diagnostic.ts';
import type { ClassCount, CompareCounts, Difference } from '../lab/compare.ts';
import type { RunSummary } from '../lab/tally.ts';
import type { OutputRequest } from './formats.ts';
import { countsJson, differenceJson, dropJson, inputsJson, resultHead } from './json-shape.ts';
import { formatEnd, formatPlace, formatPolicy, type TableStyle } from './replay-table.ts';
import { StreamedObject } from './stream-json.ts';
import { csvLine, formatMarkdown, formatTable } from './table.ts';
import type { TextOutput } from './text-output.ts';

export interface CompareEnd {
  readonly stacks: readonly {
    readonly name: string;
    readonly summary: RunSummary;
    readonly warnings: readonly Diagnostic[];
  }[];
  readonly engine: string;
  readonly seed: number;
  readonly counts: CompareCounts;
  readonly classes: readonly ClassCount[];
  readonly inputs: readonly InputSummary[];
  readonly interrupted: boolean;
}

export interface CompareReport {
  difference(row: Difference): void;
  end(end: CompareEnd): void;
}

export function compareReport(request: OutputRequest, out: TextOutput): CompareReport {
  switch (request.format) {
    case 'json':
      return jsonReport(out);
    case 'jsonl':
      return {
        difference: (row) => out.write(`${JSON.stringify(differenceJson(row))}\n`),
        end: () => out.close(),
      };
    case 'csv':
      return csvReport(out);
    case 'yaml':
      return yamlReport(out);
    default:
      return tableReport(out, request.format);
  }
}

function endJson(end: CompareEnd) {
  return {
    stacks: end.stacks.map((s) => s.name),
    counts: end.counts,
    classes: end.classes.map((c) => ({
      class: c.class.id,
      connections: c.connections,
      packets: c.packets,
      explanation: c.class.explanation,
      source: c.class.source,
    })),
    runs: end.stacks.map((s) => ({
      stack: s.name,
      counts: countsJson(s.summary),
      generated: { packets: s.summary.counts.generated },
      drops: s.summary.drops.map(dropJson),
      warnings: s.warnings.map(formatDiagnostic),
    })),
    inputs: inputsJson(end.inputs),
    incomplete: end.interrupted || end.inputs.some((i) => i.truncated !== null),
  };
}

function jsonReport(out: TextOutput): CompareReport {
  const object = new StreamedObject(out);
  object.array('differences');
  return {
    difference: (row) => object.item(differenceJson(row)),
    end(end) {
      object.members(resultHead('CompareResult', end.engine, end.seed));
      object.members(endJson(end));
      object.end();
      out.close();
    },
  };
}

function yamlReport(out: TextOutput): CompareReport {
  const differences: unknown[] = [];
  return {
    difference: (row) => differences.push(differenceJson(row)),
    end(end) {
      const head = resultHead('CompareResult', end.engine, end.seed);
      const all = { ...head, ...endJson(end), differences };
      out.write(stringify(all, { aliasDuplicateObjects: false }));
      out.close();
    },
  };
}

function csvReport(out: TextOutput): CompareReport {
  out.write(
    csvLine([
      'firstFrame',
      'src',
      'dst',
      'dport',
      'protocol',
      'class',
      'stack',
      'verdict',
      'reason',
      'node',
      'hook',
      'rule',
      'policy',
      'source',
    ]),
  );
  return {
    difference(d) {
      const { firstFrame, src, dst, dport, protocol } = d.connection;
      for (const [stack, verdict] of Object.entries(d.verdicts)) {
        const by = d.decidedBy[stack];
        const flow = [firstFrame, src, dst, dport, protocol, d.class.id, stack, verdict];
        const why = [d.reasons[stack], by?.node, by?.hook, by?.rule, by?.policy, by?.source];
        out.write(csvLine([...flow, ...why]));
      }
    },
    end: () => out.close(),
  };
}

/** Differences that a table shows; the machine formats have all. */
const SHOWN = 30;

function tableReport(out: TextOutput, style: TableStyle): CompareReport {
  const shown: Difference[] = [];
  return {
    difference(row) {
      if (shown.length < SHOWN) shown.push(row);
    },
    end(end) {
      out.write(compareTable(end, shown, style));
      out.close();
    },
  };
}

function compareTable(end: CompareEnd, shown: readonly Difference[], style: TableStyle): string {
  const print = style === 'markdown' ? formatMarkdown : formatTable;
  const names = end.stacks.map((s) => s.name);
  const { connections, agree, disagree, unknown } = end.counts;
  const stacks = print({
    columns: ['STACK', 'ALLOWED', 'DENIED', 'BROKEN', 'UNKNOWN', 'CONTRADICTED', 'PACKETS DROPPED'],
    rows: end.stacks.map(({ name, summary: { counts } }) => [
      name,
      counts.connections.allowed,
      counts.connections.denied,
      counts.connections.broken,
      counts.connections.unknown,
      counts.connections.contradicted,
      counts.outcomes.dropped,
    ]),
  });
  const head =
    `COMPARE  ${end.inputs.map((i) => i.path).join(', ')}  (${end.engine} engine)` +
    `${end.interrupted ? '  (interrupted)' : ''}\n${stacks}\n` +
    `CONNECTIONS  ${connections}: ${agree} agree, ${disagree} disagree, ${unknown} unknown\n`;
  const classes = end.classes.map(
    (c) =>
      `  ${c.class.id}  ${c.connections} connections, ${c.packets} packets\n` +
      `    ${c.class.explanation}\n    source: ${c.class.source}\n`,
  );
  const rows = shown.map((d) => formatDifference(d, names));
  const warnings = end.stacks.flatMap((s) =>
    s.warnings.map((w) => `${s.name}: ${formatDiagnostic(w)}\n`),
  );
  return [
    head,
    classes.length === 0 ? '' : `\nCLASSES\n${classes.join('')}`,
    rows.length === 0 ? '' : `\nDIFFERENCES\n${rows.join('')}`,
    disagree > shown.length ? `… ${disagree - shown.length} more: -o json has all\n` : '',
    warnings.length === 0 ? '' : `\nWARNINGS\n${warnings.join('')}`,
  ].join('');
}

function formatDifference(d: Difference, stacks: readonly string[]): string {
  const { connection: c } = d;
  const flow = `${formatEnd(c.from, c.src, null)} -> ${formatEnd(c.to, c.dst, c.dport)} ${c.protocol}`;
  const width = Math.max(...stacks.map((name) => name.length));
  const lines = stacks.map((stack) => {
    const by = d.decidedBy[stack] ?? null;
    const why = by === null ? (d.reasons[stack] ?? 'no rule had a say') : formatPlace(by);
    const policy = formatPolicy(by);
    const verdict = (d.verdicts[stack] ?? '').padEnd(8);
    return `    ${stack.padEnd(width)}  ${verdict}  ${why}${policy === '-' ? '' : `  ${policy}`}\n`;
  });
  const at = d.firstDivergence;
  const parts = at
    ? `    parts at step ${at.step}: ${stacks.map((s) => `${s} ${at.at[s]}`).join('; ')}\n`
    : '';
  return `  frame ${c.firstFrame}  ${flow}  [${d.class.id}]\n${lines.join('')}${parts}`;
}
