/**
 * The parts of a report that a person reads, as plain text or as Markdown: a title, labelled lines,
 * sections with tables.
 * @module
 */
import { formatMarkdown, formatTable, type Table } from './table.ts';

export type TableStyle = 'table' | 'wide' | 'markdown';

/** Labels stand in a column as wide as the longest of them. */
const LABEL_WIDTH = 'CONNECTIONS'.length + 2;

/** `REPLAY  shop.pcapng …`, or a Markdown heading. */
export function title(style: TableStyle, word: string, text: string): string {
  if (style === 'markdown') return `# ${word.charAt(0)}${word.slice(1).toLowerCase()} ${text}\n\n`;
  return `${word}  ${text}\n\n`;
}

/** `PACKETS      494: …`, or a Markdown list item. Further lines stand under the first. */
export function labelled(style: TableStyle, label: string, lines: readonly string[]): string {
  if (style === 'markdown') return `- ${label.toLowerCase()}: ${lines.join('; ')}\n`;
  return lines.map((line, i) => `${(i === 0 ? label : '').padEnd(LABEL_WIDTH)}${line}\n`).join('');
}

/** A heading and what stands under it; nothing when there is nothing. */
export function section(style: TableStyle, heading: string, body: string): string {
  if (body === '') return '';
  return style === 'markdown'
    ? `\n## ${heading}\n\n${body}`
    : `\n${heading.replace(/^[^(]*/, (words) => words.toUpperCase())}\n${body}`;
}

/** The table; nothing when it has no rows. */
export function table(style: TableStyle, rows: Table): string {
  if (rows.rows.length === 0) return '';
  return style === 'markdown' ? formatMarkdown(rows) : formatTable(rows);
}

/** Lines of a list. */
export function list(style: TableStyle, lines: readonly string[]): string {
  return lines.map((line) => `${style === 'markdown' ? '- ' : '  '}${line}\n`).join('');
}

/** `494: 220 delivered, 25 exited`; counts of nothing are left out. */
export function sum(total: number, parts: Readonly<Record<string, number>>): string {
  const shown = Object.entries(parts).filter(([, n]) => n > 0);
  if (shown.length === 0) return String(total);
  return `${total}: ${shown.map(([name, n]) => `${n} ${name}`).join(', ')}`;
}

/** Files by name: all of a few, else how many. */
export function files(paths: readonly string[]): string {
  const [first = 'no capture'] = paths;
  return paths.length <= 3 ? paths.join(', ') || first : `${first} and ${paths.length - 1} more`;
}
