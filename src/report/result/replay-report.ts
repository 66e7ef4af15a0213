/**
 * The result of a replay in every format: rows as they come, counts at the end.
 * @module
 */
import { stringify } from 'yaml';
import type { InputSummary } from '../../capture/record.ts';
import { type Diagnostic, formatDiagnostic } from '../../diagnostic/diagnostic.ts';
import type { ConnectionResult } from '../../lab/result.ts';
import type { RunSummary } from '../../lab/tally.ts';
import type { OutputRequest } from '../formats.ts';
import {
  countsJson,
  dropJson,
  exhaustedJson,
  inputsJson,
  notesJson,
  resultHead,
} from '../json-shape.ts';
import { StreamedObject } from '../stream-json.ts';
import type { FrameOutput } from '../text/frame-outputs.ts';
import type { TableStyle } from '../text/layout.ts';
import { csvHead, type RowKind, type RowText, rowText } from '../text/row-text.ts';
import type { TextOutput } from '../text/text-output.ts';
import { replayTable } from './replay-table.ts';
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
  /** Who takes rows of frames; null where they are not written. */
  readonly frames: FrameOutput | null;
  connection(row: ConnectionResult): void;
  /** Whether `rowBytes` takes several rows at once. */
  readonly takesLines: boolean;
  /** A row whose text was made elsewhere (row-text.ts), for outputs that write text of rows. */
  rowBytes(bytes: Uint8Array): void;
  end(end: RunEnd): void;
}

export function replayReport(
  request: OutputRequest,
  out: TextOutput,
  rows: RowKind,
  head: RunHead,
): RunReport {
  const { format } = request;
  const made = rowText(format, rows);
  if (format === 'csv') out.write(csvHead(rows));
  if (format === 'csv' || format === 'jsonl') return linesReport(out, made);
  if (made.of === 'connections') {
    return format === 'json' ? jsonReport(out, head, made) : yamlReport(out, head, made);
  }
  return tableReport(out, format === 'wide' || format === 'markdown' ? format : 'table', head);
}

/** Rows of one kind as text. */
interface Rows<R> {
  readonly text: (row: R) => string;
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

function jsonReport(out: TextOutput, head: RunHead, { text }: Rows<ConnectionResult>): RunReport {
  const object = new StreamedObject(out);
  object.members(headJson(head));
  object.array('connections');
  return {
    frames: null,
    takesLines: false,
    connection: (row) => object.itemText(text(row)),
    rowBytes: (bytes) => object.itemText(bytes),
    end(end) {
      object.members(endJson(end));
      object.end();
      out.close();
    },
  };
}

/** YAML has no streaming form worth reading; it is for small results and kept in memory. */
function yamlReport(out: TextOutput, head: RunHead, { text }: Rows<ConnectionResult>): RunReport {
  const connections: unknown[] = [];
  return {
    frames: null,
    takesLines: false,
    connection: (row) => connections.push(JSON.parse(text(row))),
    rowBytes: (bytes) => connections.push(JSON.parse(Buffer.from(bytes).toString('utf8'))),
    end(end) {
      const all = { ...headJson(head), ...endJson(end), connections };
      out.write(stringify(all, { aliasDuplicateObjects: false }));
      out.close();
    },
  };
}

/** Lines as they come: JSON Lines, CSV. */
function linesReport(out: TextOutput, rows: RowText): RunReport {
  return {
    frames: rows.of === 'frames' ? { lines: rows.lines, to: out } : null,
    takesLines: true,
    connection: rows.of === 'connections' ? (row) => out.write(rows.text(row)) : ignore,
    rowBytes: (bytes) => out.writeBytes(bytes),
    end: () => out.close(),
  };
}

function tableReport(out: TextOutput, style: TableStyle, head: RunHead): RunReport {
  const top = new TopConnections();
  return {
    frames: null,
    takesLines: false,
    rowBytes: ignore,
    connection: (row) => top.add(head.names ? row : { ...row, from: null, to: null }),
    end(end) {
      out.write(replayTable(head, end, top, style));
      out.close();
    },
  };
}
