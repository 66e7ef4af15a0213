/**
 * The result of a replay in every format: rows as they come, counts at the end.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../diagnostic/diagnostic.ts';
import type { ConnectionResult, FrameResult } from '../lab/result.ts';
import type { RunSummary } from '../lab/tally.ts';
import type { OutputRequest } from './formats.ts';
import {
  connectionJson,
  countsJson,
  dropJson,
  frameJson,
  inputsJson,
  notesJson,
  resultHead,
} from './json-shape.ts';
import { replayTable } from './replay-table.ts';
import { StreamedObject } from './stream-json.ts';
import { type Cell, csvLine } from './table.ts';
import type { TextOutput } from './text-output.ts';
import { TopConnections } from './top-connections.ts';

/** What is known when a run is over. */
export interface RunEnd {
  readonly stack: string;
  readonly engine: string;
  readonly seed: number;
  readonly summary: RunSummary;
  readonly inputs: readonly InputSummary[];
  readonly warnings: readonly Diagnostic[];
  readonly clock: { readonly backwardSteps: number; readonly longGaps: number };
  readonly interrupted: boolean;
}

export interface RunReport {
  frame(row: FrameResult): void;
  connection(row: ConnectionResult): void;
  end(end: RunEnd): void;
}

/** Which rows line-oriented formats carry. */
export type RowKind = 'frames' | 'connections';

export function replayReport(request: OutputRequest, out: TextOutput, rows: RowKind): RunReport {
  switch (request.format) {
    case 'json':
      return jsonReport(out);
    case 'jsonl':
      return jsonlReport(out, rows);
    case 'csv':
      return csvReport(out, rows);
    case 'yaml':
      return yamlReport(out);
    case 'markdown':
      return tableReport(out, 'markdown');
    case 'wide':
      return tableReport(out, 'wide');
    case 'table':
      return tableReport(out, 'table');
  }
}

function ignore(): void {}

function endJson(end: RunEnd) {
  const truncated = end.inputs.filter((i) => i.truncated !== null);
  return {
    stack: end.stack,
    counts: countsJson(end.summary),
    generated: { packets: end.summary.counts.generated },
    ...notesJson(end.summary),
    clock: end.clock,
    drops: end.summary.drops.map(dropJson),
    warnings: end.warnings.map(formatDiagnostic),
    inputs: inputsJson(end.inputs),
    incomplete: end.interrupted || truncated.length > 0,
  };
}

function jsonReport(out: TextOutput): RunReport {
  const object = new StreamedObject(out);
  object.array('connections');
  return {
    frame: ignore,
    connection: (row) => object.item(connectionJson(row)),
    end(end) {
      object.members(resultHead('ReplayResult', end.engine, end.seed));
      object.members(endJson(end));
      object.end();
      out.close();
    },
  };
}

/** YAML has no streaming form worth reading; it is for small results and kept in memory. */
function yamlReport(out: TextOutput): RunReport {
  const connections: unknown[] = [];
  return {
    frame: ignore,
    connection: (row) => connections.push(connectionJson(row)),
    end(end) {
      const head = resultHead('ReplayResult', end.engine, end.seed);
      out.write(
        stringify({ ...head, ...endJson(end), connections }, { aliasDuplicateObjects: false }),
      );
      out.close();
    },
  };
}

function jsonlReport(out: TextOutput, rows: RowKind): RunReport {
  const line = (value: unknown) => out.write(`${JSON.stringify(value)}\n`);
  return {
    frame: rows === 'frames' ? (row) => line(frameJson(row)) : ignore,
    connection: rows === 'connections' ? (row) => line(connectionJson(row)) : ignore,
    end: () => out.close(),
  };
}

const FRAME_COLUMNS = [
  ...['frame', 'time', 'src', 'sport', 'dst', 'dport', 'protocol', 'from', 'to', 'outcome'],
  ...['reason', 'node', 'hook', 'rule', 'policy', 'source', 'connection'],
];
const CONNECTION_COLUMNS = [
  ...['id', 'protocol', 'src', 'sport', 'dst', 'dport', 'from', 'to', 'verdict', 'reason'],
  ...['node', 'hook', 'rule', 'policy', 'source', 'forward', 'reply', 'opening', 'contradicted'],
  ...['packets', 'bytes', 'firstFrame'],
];

function csvReport(out: TextOutput, rows: RowKind): RunReport {
  const columns = rows === 'frames' ? FRAME_COLUMNS : CONNECTION_COLUMNS;
  out.write(csvLine(columns));
  const line = (values: object) => {
    const byName = new Map<string, unknown>(Object.entries(values));
    out.write(csvLine(columns.map((name) => cell(byName.get(name)))));
  };
  const flat = (row: ConnectionResult) => ({ ...row.decidedBy, ...connectionJson(row) });
  return {
    frame: rows === 'frames' ? (row) => line(frameJson(row)) : ignore,
    connection: rows === 'connections' ? (row) => line(flat(row)) : ignore,
    end: () => out.close(),
  };
}

function cell(value: unknown): Cell {
  return value === null || value === undefined ? null : String(value);
}

function tableReport(out: TextOutput, style: 'table' | 'wide' | 'markdown'): RunReport {
  const top = new TopConnections();
  return {
    frame: ignore,
    connection: (row) => top.add(row),
    end(end) {
      out.write(replayTable(end, top, style));
      out.close();
    },
  };
}
