/**
 * The rows of pcaps/README.md: one a file, made from the files themselves.
 * @module
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCaptures } from '../src/capture/reader.ts';
import { MADE_CAPTURES } from './made-captures.ts';

export const README = join('pcaps', 'README.md');
export const TABLE_MARKS = ['<!-- files -->', '<!-- end of files -->'] as const;

interface Entry {
  readonly path: string;
  readonly about: string;
  readonly maker: string;
}

const RECORDED: readonly Entry[] = [
  {
    path: 'shop.pcapng',
    about: 'a three-tier shop on two nodes, seen from both nodes, without policies',
    maker: 'recorded by `record-shop.ts`',
  },
  {
    path: 'tutorial/tutorial.pcapng',
    about: "the clients of Microsoft's network policy tutorial, without policies",
    maker: 'recorded by `record-tutorial.ts`',
  },
];

/** Every capture that is shipped. */
export const SHIPPED: readonly Entry[] = [
  ...RECORDED,
  ...MADE_CAPTURES.map(({ name, about }) => ({
    path: `made/${name}.pcap`,
    about,
    maker: 'made by `make.ts`',
  })),
];

const HEADER = ['file', 'shows', 'origin', 'packets', 'bytes', 'sha256'];
/** Columns of numbers are set to the right. */
const NUMBERS = new Set(['packets', 'bytes']);

/** The table, header included, one line a capture, columns padded as the formatter pads them. */
export async function describeCaptures(): Promise<string> {
  const rows: string[][] = [];
  for (const { path, about, maker } of SHIPPED) {
    const full = join('pcaps', path);
    const bytes = readFileSync(full);
    const hash = createHash('sha256').update(bytes).digest('hex');
    const packets = await countPackets(full);
    rows.push([path, about, maker, `${packets}`, `${bytes.length}`, `\`${hash}\``]);
  }
  const widths = HEADER.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => (row[i] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => pad(cell, widths[i] ?? 0, HEADER[i] ?? '')).join(' | ')} |`;
  const rule = widths.map((width, i) =>
    NUMBERS.has(HEADER[i] ?? '') ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  return `${[line(HEADER), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')}\n`;
}

function pad(cell: string, width: number, column: string): string {
  return NUMBERS.has(column) ? cell.padStart(width) : cell.padEnd(width);
}

async function countPackets(path: string): Promise<number> {
  let packets = 0;
  for await (const batch of openCaptures([path])) packets += batch.length;
  return packets;
}
