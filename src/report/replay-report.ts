/**
 * The result of a replay in every format: rows as they come, counts at the end.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../diagnostic/diagnostic.ts';
import type { ConnectionResult, FrameResult } from '../lab/result.ts';
import type { RunSummary } from '../lab/tally.ts';
import { formatChoice, formatTranslated } from './choice-text.ts';
import type { OutputRequest } from './formats.ts';
import {
  connectionJson,
  countsJson,
  dropJson,
  exhaustedJson,
  frameJson,
  inputsJson,
  notesJson,
  resultHead,
} from './json-shape.ts';
import type { TableStyle } from './layout.ts';
import { replayTable } from './replay-table.ts';
import { StreamedObject } from './stream-json.ts';
import { type Cell, csvLine } from './table.ts';
import type { TextOutput } from './text-output.ts';
import { TopConnections } from './top-connections.ts';

/** What is known before the first packet. */
export interface RunHead {
  readonly stack: string;
  readonly engine: string;
  readonly seed: number;
  /** Tables show names of pods and nodes; else addresses. Machine formats always have both. */
  readonly names: boolean;
}

/** What is known when a run is over. */
export interface RunEnd {
  readonly summary: RunSummary;
  readonly inputs: readonly InputSummary[];
  readonly warnings: readonly Diagnostic[];
  readonly clock: { readonly backwardSteps: number; readonly longGaps: number };
  readonly interrupted: boolean;
}

export interface RunReport {
  /** Whether `frame` does anything. */
  readonly wantsFrames: boolean;
  frame(row: FrameResult): void;
  connection(row: ConnectionResult): void;
  end(end: RunEnd): void;
}

/** Which rows line-oriented formats carry. */
export type RowKind = 'frames' | 'connections';

export function replayReport(
  request: OutputRequest,
  out: TextOutput,
  rows: RowKind,
  head: RunHead,
): RunReport {
  switch (request.format) {
    case 'json':
      return jsonReport(out, head);
    case 'jsonl':
      return jsonlReport(out, rows);
    case 'csv':
      return csvReport(out, rows);
    case 'yaml':
      return yamlReport(out, head);
    case 'markdown':
      return tableReport(out, 'markdown', head);
    case 'wide':
      return tableReport(out, 'wide', head);
    case 'table':
      return tableReport(out, 'table', head);
  }
}

function ignore(): void {}

function headJson(head: RunHead) {
  return { ...resultHead('ReplayResult', head.engine, head.seed), stack: head.stack };
}

function endJson(end: RunEnd) {
  const truncated = end.inputs.filter((i) => i.truncated !== null);
  return {
    counts: countsJson(end.summary),
    generated: { packets: end.summary.counts.generated },
    ...notesJson(end.summary),
    clock: { backwardSteps: end.clock.backwardSteps, longGaps: end.clock.longGaps },
    drops: end.summary.drops.map(dropJson),
    snatExhausted: end.summary.exhausted.map(exhaustedJson),
    warnings: end.warnings.map(formatDiagnostic),
    inputs: inputsJson(end.inputs),
    incomplete: end.interrupted || truncated.length > 0,
  };
}

function jsonReport(out: TextOutput, head: RunHead): RunReport {
  const object = new StreamedObject(out);
  object.members(headJson(head));
  object.array('connections');
  return {
    wantsFrames: false,
    frame: ignore,
    connection: (row) => object.item(connectionJson(row)),
    end(end) {
      object.members(endJson(end));
      object.end();
      out.close();
    },
  };
}

/** YAML has no streaming form worth reading; it is for small results and kept in memory. */
function yamlReport(out: TextOutput, head: RunHead): RunReport {
  const connections: unknown[] = [];
  return {
    wantsFrames: false,
    frame: ignore,
    connection: (row) => connections.push(connectionJson(row)),
    end(end) {
      const all = { ...headJson(head), ...endJson(end), connections };
      out.write(stringify(all, { aliasDuplicateObjects: false }));
      out.close();
    },
  };
}

function jsonlReport(out: TextOutput, rows: RowKind): RunReport {
  const line = (value: unknown) => out.write(`${JSON.stringify(value)}\n`);
  return {
    wantsFrames: rows === 'frames',
    frame: rows === 'frames' ? (row) => line(frameJson(row)) : ignore,
    connection: rows === 'connections' ? (row) => line(connectionJson(row)) : ignore,
    end: () => out.close(),
  };
}

const FRAME_COLUMNS = [
  ...['frame', 'time', 'src', 'sport', 'dst', 'dport', 'protocol', 'from', 'to', 'outcome'],
  ...['reason', 'node', 'hook', 'rule', 'policy', 'source', 'connection', 'cause'],
];
const CONNECTION_COLUMNS = [
  ...['id', 'protocol', 'src', 'sport', 'dst', 'dport', 'from', 'to', 'verdict', 'reason'],
  ...['node', 'hook', 'rule', 'policy', 'source', 'forward', 'reply', 'opening', 'contradicted'],
  ...['packets', 'bytes', 'firstFrame', 'translated', 'choice'],
];

function csvReport(out: TextOutput, rows: RowKind): RunReport {
  const columns = rows === 'frames' ? FRAME_COLUMNS : CONNECTION_COLUMNS;
  out.write(csvLine(columns));
  const line = (values: object) => {
    const byName = new Map<string, unknown>(Object.entries(values));
    out.write(csvLine(columns.map((name) => cell(byName.get(name)))));
  };
  const flat = (row: ConnectionResult) => ({
    ...row.decidedBy,
    ...connectionJson(row),
    translated: formatTranslated(row.translated),
    choice: formatChoice(row.choice),
  });
  return {
    wantsFrames: rows === 'frames',
    frame: rows === 'frames' ? (row) => line(frameJson(row)) : ignore,
    connection: rows === 'connections' ? (row) => line(flat(row)) : ignore,
    end: () => out.close(),
  };
}

function cell(value: unknown): Cell {
  return value === null || value === undefined ? null : String(value);
}

function tableReport(out: TextOutput, style: TableStyle, head: RunHead): RunReport {
  const top = new TopConnections();
  return {
    wantsFrames: false,
    frame: ignore,
    connection: (row) => top.add(head.names ? row : { ...row, from: null, to: null }),
    end(end) {
      out.write(replayTable(head, end, top, style));
      out.close();
    },
  };
}
