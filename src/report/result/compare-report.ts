/**
 * The result of a comparison in every format.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';
import type { ClassCount, CompareCounts, Difference } from '../../lab/compare/compare.ts';
import type { RunSummary } from '../../lab/tally.ts';
import type { OutputRequest } from '../formats.ts';
import { countsJson, differenceJson, dropJson, inputsJson, resultHead } from '../json-shape.ts';
import { StreamedObject } from '../stream-json.ts';
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
import { csvLine, formatMarkdown, type Table } from '../text/table.ts';
import type { TextOutput } from '../text/text-output.ts';
import { shownWarnings } from '../text/warnings.ts';
import { formatEnd, formatPlace, formatPolicy } from './replay-table.ts';

/** What is known before the first packet. */
export interface CompareHead {
  readonly stacks: readonly string[];
  readonly engine: string;
  readonly seed: number;
  /** Tables show names of pods and nodes; else addresses. */
  readonly names: boolean;
}

export interface CompareEnd {
  readonly stacks: readonly {
    readonly name: string;
    readonly summary: RunSummary;
    readonly warnings: readonly Diagnostic[];
  }[];
  readonly counts: CompareCounts;
  readonly classes: readonly ClassCount[];
  readonly inputs: readonly InputSummary[];
  readonly interrupted: boolean;
}

export interface CompareReport {
  difference(row: Difference): void;
  end(end: CompareEnd): void;
}

export function compareReport(
  request: OutputRequest,
  out: TextOutput,
  head: CompareHead,
): CompareReport {
  switch (request.format) {
    case 'json':
      return jsonReport(out, head);
    case 'jsonl':
      return {
        difference: (row) => out.write(`${JSON.stringify(differenceJson(row))}\n`),
        end: () => out.close(),
      };
    case 'csv':
      return csvReport(out);
    case 'yaml':
      return yamlReport(out, head);
    default:
      return tableReport(out, request.format, head);
  }
}

function headJson(head: CompareHead) {
  return { ...resultHead('CompareResult', head.engine, head.seed), stacks: head.stacks };
}

function endJson(end: CompareEnd) {
  return {
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

function jsonReport(out: TextOutput, head: CompareHead): CompareReport {
  const object = new StreamedObject(out);
  object.members(headJson(head));
  object.array('differences');
  return {
    difference: (row) => object.item(differenceJson(row)),
    end(end) {
      object.members(endJson(end));
      object.end();
      out.close();
    },
  };
}

function yamlReport(out: TextOutput, head: CompareHead): CompareReport {
  const differences: unknown[] = [];
  return {
    difference: (row) => differences.push(differenceJson(row)),
    end(end) {
      const all = { ...headJson(head), ...endJson(end), differences };
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

function tableReport(out: TextOutput, style: TableStyle, head: CompareHead): CompareReport {
  const shown: Difference[] = [];
  return {
    difference(row) {
      if (shown.length < SHOWN) shown.push(head.names ? row : unnamed(row));
    },
    end(end) {
      out.write(compareTable(head, end, shown, style));
      out.close();
    },
  };
}

function unnamed(row: Difference): Difference {
  return { ...row, connection: { ...row.connection, from: null, to: null } };
}

function compareTable(
  head: CompareHead,
  end: CompareEnd,
  shown: readonly Difference[],
  style: TableStyle,
): string {
  const { connections, disagree, ...others } = end.counts;
  const hidden = disagree - shown.length;
  const more = hidden > 0 ? ` (${shown.length} of ${disagree}, -o json has all)` : '';
  const cut = end.inputs.some((i) => i.truncated !== null);
  const state = end.interrupted ? '  (interrupted)' : cut ? '  (incomplete input)' : '';
  const paths = files(end.inputs.map((i) => i.path));
  return [
    title(style, 'COMPARE', `${paths}  (${head.engine} engine)${state}`),
    labelled(style, 'CONNECTIONS', [sum(connections, { disagree, ...others })]),
    section(style, 'Stacks', table(style, stackTable(end))),
    section(style, 'Classes of difference', end.classes.map((c) => classText(c, style)).join('')),
    section(
      style,
      `Differences${more}`,
      shown.map((d) => formatDifference(d, head.stacks, style)).join(''),
    ),
    section(
      style,
      'Warnings',
      list(
        style,
        end.stacks.flatMap((s) => shownWarnings(s.warnings).map((w) => `${s.name}: ${w}`)),
      ),
    ),
  ].join('');
}

function stackTable(end: CompareEnd): Table {
  return {
    columns: [
      ...['STACK', 'ALLOWED', 'DENIED', 'BROKEN', 'DEPENDS', 'UNKNOWN', 'CONTRADICTED'],
      'PACKETS DROPPED',
    ],
    rows: end.stacks.map(({ name, summary: { counts } }) => {
      const c = counts.connections;
      const verdicts = [c.allowed, c.denied, c.broken, c.depends, c.unknown, c.contradicted];
      return [name, ...verdicts, counts.outcomes.dropped];
    }),
  };
}

function classText(c: ClassCount, style: TableStyle): string {
  const head = `${c.class.id}  ${c.connections} connections, ${c.packets} packets`;
  if (style === 'markdown') {
    return `- **${c.class.id}** (${c.connections} connections, ${c.packets} packets): ${c.class.explanation}. Source: ${c.class.source}\n`;
  }
  const more = wrap(`${c.class.explanation}. Source: ${c.class.source}`, 96);
  return `  ${head}\n${more.map((line) => `    ${line}\n`).join('')}`;
}

/** Break a sentence into lines of at most so many columns, at spaces. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

function formatDifference(d: Difference, stacks: readonly string[], style: TableStyle): string {
  const { connection: c } = d;
  const from = formatEnd(c.from, c.src, null);
  const flow = `${from} -> ${formatEnd(c.to, c.dst, c.dport)} ${c.protocol}`;
  const head = `frame ${c.firstFrame}  ${flow}  [${d.class.id}]`;
  const rows = stacks.map((stack) => {
    const by = d.decidedBy[stack] ?? null;
    const reason = d.reasons[stack] ?? 'no rule had a say';
    const place =
      by === null ? reason : `${formatPlace(by)}${by.rule === null ? ' (no rule)' : ''}`;
    return [stack, d.verdicts[stack] ?? '', place, formatPolicy(by)];
  });
  const at = d.firstDivergence;
  const parts = at ? [`step ${at.step}`, ...stacks.map((s) => `${s}: ${at.at[s]}`)].join('; ') : '';
  if (style === 'markdown') {
    const columns = ['STACK', 'VERDICT', 'WHERE', 'POLICY'];
    return `### ${head}\n\n${formatMarkdown({ columns, rows })}\n${parts && `First parts at ${parts}\n\n`}`;
  }
  const widths = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map(([stack = '', verdict = '', place = '', policy = '-']) => {
    const start = `    ${stack.padEnd(widths[0] ?? 0)}  ${verdict.padEnd(widths[1] ?? 0)}  ${place}\n`;
    return policy === '-'
      ? start
      : `${start}${' '.repeat(8 + (widths[0] ?? 0) + (widths[1] ?? 0))}${policy}\n`;
  });
  return `  ${head}\n${lines.join('')}${parts && `    parts at ${parts}\n`}`;
}
