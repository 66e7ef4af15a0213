/**
 * Rebuilds every capture under pcaps/made, byte for byte, and the table of pcaps/README.md:
 *
 *   npx tsc -p . && node dist/pcaps/make.js
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encode, MADE_CAPTURES } from './made-captures.ts';
import { describeCaptures, README, TABLE_MARKS } from './readme-table.ts';

const FOLDER = join('pcaps', 'made');

mkdirSync(FOLDER, { recursive: true });
for (const capture of MADE_CAPTURES) {
  writeFileSync(join(FOLDER, `${capture.name}.pcap`), await encode(capture));
}
const [begin, end] = TABLE_MARKS;
const [before = '', rest = ''] = readFileSync(README, 'utf8').split(begin);
const [, after = ''] = rest.split(end);
writeFileSync(README, `${before}${begin}\n\n${await describeCaptures()}\n${end}${after}`);
