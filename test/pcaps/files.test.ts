/**
 * The shipped captures are what their makers and their README say.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { encode, MADE_CAPTURES } from '../../pcaps/made-captures.ts';
import { describeCaptures, README, SHIPPED, TABLE_MARKS } from '../../pcaps/readme-table.ts';

const MOST_BYTES = 300_000;

function captures(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return captures(path);
    return /\.pcap(ng)?(\.gz)?$/.test(entry.name) ? [path] : [];
  });
}

t.test('every made capture is rebuilt byte for byte', async (t) => {
  for (const capture of MADE_CAPTURES) {
    const stored = readFileSync(join('pcaps', 'made', `${capture.name}.pcap`));
    t.ok(stored.equals(await encode(capture)), capture.name);
  }
});

t.test('every capture has its row, and every row its capture', async (t) => {
  const found = captures('pcaps').map((path) => relative('pcaps', path));
  t.strictSame([...found].sort(), SHIPPED.map((entry) => entry.path).sort());
});

t.test('the table gives packets, bytes and sha256 as they are', async (t) => {
  const [begin, end] = TABLE_MARKS;
  const text = readFileSync(README, 'utf8');
  const table = text.slice(text.indexOf(begin) + begin.length, text.indexOf(end));
  t.strictSame(cells(table), cells(await describeCaptures()));
});

/** Rows of a table whatever its columns are padded to; the line under the header left out. */
function cells(table: string): readonly (readonly string[])[] {
  const lines = table.split('\n').filter((line) => /^\|.*[^-:| ]/.test(line));
  return lines.map((line) => line.split('|').map((cell) => cell.trim()));
}

t.test('no shipped capture is large', async (t) => {
  for (const path of captures('pcaps')) t.ok(statSync(path).size < MOST_BYTES, path);
});
