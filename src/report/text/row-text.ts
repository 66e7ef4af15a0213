/**
 * The rows of a replay as text: a function of the row alone, so that it does not matter who makes
 * it. What stands between rows, before and after them is the report's (replay-report.ts).
 * @module
 */
import type { ConnectionResult } from '../../lab/result.ts';
import type { Format } from '../formats.ts';
import { connectionJson, frameJson } from '../json-shape.ts';
import { formatChoice, formatTranslated } from './choice-text.ts';
import { type FrameFormat, FrameLines, JSON_LINES, OF_NO_FRAME } from './frame-lines.ts';
import { type Cell, csvLine } from './table.ts';

/** Which rows line-oriented formats carry. */
export type RowKind = 'frames' | 'connections';

/** What an output does with rows: text of each, or few of them for a table at the end. */
export type RowText =
  | { readonly of: 'frames'; readonly lines: FrameLines }
  | { readonly of: 'connections'; readonly text: (row: ConnectionResult) => string }
  | { readonly of: 'top' };

/** How an output of this format writes its rows. JSON and YAML get one value of JSON a row. */
export function rowText(format: Format, rows: RowKind): RowText {
  switch (format) {
    case 'jsonl': {
      if (rows === 'connections')
        return { of: 'connections', text: (row) => `${JSON.stringify(connectionJson(row))}\n` };
      return { of: 'frames', lines: new FrameLines(JSON_LINES) };
    }
    case 'csv':
      return rows === 'frames'
        ? { of: 'frames', lines: new FrameLines(CSV_LINES) }
        : { of: 'connections', text: (row) => csvText(CONNECTION_COLUMNS, flat(row)) };
    case 'json':
    case 'yaml':
      return { of: 'connections', text: (row) => JSON.stringify(connectionJson(row)) };
    case 'table':
    case 'wide':
    case 'markdown':
      return { of: 'top' };
  }
}

/** The first line of a CSV. */
export function csvHead(rows: RowKind): string {
  return csvLine(rows === 'frames' ? FRAME_COLUMNS : CONNECTION_COLUMNS);
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

/** Rows of frames by columns; notes have none. */
export const CSV_LINES: FrameFormat = {
  whole: (row) => csvText(FRAME_COLUMNS, frameJson(row)),
  around: ['', ',', ','],
  tail: (terms) => csvText(FRAME_COLUMNS.slice(2), frameJson({ ...terms, ...OF_NO_FRAME })),
  notes: () => '',
  end: '',
};

function csvText(columns: readonly string[], values: object): string {
  const byName = new Map<string, unknown>(Object.entries(values));
  return csvLine(columns.map((name) => cell(byName.get(name))));
}

function flat(row: ConnectionResult): object {
  return {
    ...row.decidedBy,
    ...connectionJson(row),
    translated: formatTranslated(row.translated),
    choice: formatChoice(row.choice),
  };
}

function cell(value: unknown): Cell {
  return value === null || value === undefined ? null : String(value);
}
