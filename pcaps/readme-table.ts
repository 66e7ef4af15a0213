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

/** The table, header included, one line a capture. */
export async function describeCaptures(): Promise<string> {
  const lines = [
    '| file | shows | origin | packets | bytes | sha256 |',
    '|---|---|---|--:|--:|---|',
  ];
  for (const { path, about, maker } of SHIPPED) {
    const full = join('pcaps', path);
    const bytes = readFileSync(full);
    const hash = createHash('sha256').update(bytes).digest('hex');
    const packets = await countPackets(full);
    lines.push(`| ${path} | ${about} | ${maker} | ${packets} | ${bytes.length} | \`${hash}\` |`);
  }
  return `${lines.join('\n')}\n`;
}

async function countPackets(path: string): Promise<number> {
  let packets = 0;
  for await (const batch of openCaptures([path])) packets += batch.length;
  return packets;
}
