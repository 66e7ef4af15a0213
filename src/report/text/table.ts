/**
 * Tables as kubectl prints them: columns padded with three spaces, no lines. Also as CSV (RFC 4180)
 * and Markdown, from the same rows.
 * @module
 */

export type Cell = string | number | null | undefined;

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

const GAP = '   ';

function cellText(cell: Cell): string {
  return cell === null || cell === undefined || cell === '' ? '-' : String(cell);
}

export function formatTable({ columns, rows }: Table): string {
  const lines = [columns, ...rows].map((row) => row.map(cellText));
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) => line.map((text, i) => text.padEnd(widths[i] ?? 0)).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** One line of CSV; empty cells stay empty. */
export function csvLine(cells: readonly Cell[]): string {
  const fields = cells.map((cell) => {
    const text = cell === null || cell === undefined ? '' : String(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${fields.join(',')}\r\n`;
}

export function formatMarkdown({ columns, rows }: Table): string {
  const line = (cells: readonly Cell[]) =>
    `| ${cells.map((cell) => cellText(cell).replaceAll('|', '\\|')).join(' | ')} |\n`;
  return line(columns) + line(columns.map(() => '---')) + rows.map(line).join('');
}
