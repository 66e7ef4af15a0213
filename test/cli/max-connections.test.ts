/**
 * `--max-connections`: tables that are too small cost time, and change nothing that is said.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { caseFolder, forEachRow, NPM, wiretrial, writeCapture } from '../support/command.ts';
import { udp } from '../support/packets.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const CLUSTER = ['-f', 'cluster.yaml', '-f', 'policies.yaml'];
const skip = findNative().addon === null ? 'needs the native addon' : false;

/** Connections that are open together, half of them translated on their way out; asked twice. */
const CONNECTIONS = 300;
const [CLIENT, OUTSIDE, WEB] = ['10.240.0.7', '203.0.113.9', '10.240.0.5'];
const packets = [1, 2, 3].flatMap((round) =>
  Array.from({ length: CONNECTIONS }, (_, i) => {
    const far = i % 2 === 0 ? OUTSIDE : WEB;
    const there = udp()
      .from(CLIENT, 20_000 + i)
      .to(far, 53);
    const back = udp()
      .from(far, 53)
      .to(CLIENT, 20_000 + i);
    return (round === 2 ? back : there).payload(`${round} ${i}`).id(round * 1000 + i);
  }),
);
await writeCapture(join(cwd, 'many.pcap'), packets);

async function outputsWith(size: string, verb: readonly string[], more: readonly string[]) {
  const outputs = ['json', 'jsonl', 'csv'].filter(
    (format) => verb[0] === 'replay' || format === 'json',
  );
  const { status, stderr } = await wiretrial(
    [
      ...[...verb, ...CLUSTER, '-r', 'many.pcap', '--engine', 'compiled', ...more],
      ...['--max-connections', size],
      ...outputs.flatMap((format) => ['-o', `${format}=${size}.${format}`]),
    ],
    { cwd },
  );
  if (status !== 0) throw new Error(stderr);
  const texts = outputs.map((format) => readFileSync(join(cwd, `${size}.${format}`), 'utf8'));
  return { texts, stderr };
}

const BRIDGE = ['--stack', 'azure-bridge+npm'];
const ROWS = [
  { name: 'a replay by one worker', verb: ['replay'], more: [...BRIDGE, '--workers', '1'] },
  { name: 'a replay by two', verb: ['replay'], more: [...BRIDGE, '--workers', '2'] },
  {
    name: 'a comparison',
    verb: ['compare'],
    more: [...BRIDGE, '--stack', 'azure-transparent+npm', '--workers', '1'],
  },
];

for (const { name, verb, more } of ROWS) {
  t.test(`${name} says the same with tables of any size`, { skip }, async (t) => {
    const tiny = await outputsWith('64', verb, more);
    const large = await outputsWith('4000000', verb, more);
    t.strictSame(tiny.texts, large.texts);
    t.match(tiny.stderr, /no room for the connections of \d+ packets.*--max-connections/);
    t.notMatch(large.stderr, /no room/);
  });
}

t.test('a size that no table can have is one error', async (t) => {
  const rows = [
    { size: '0', engine: 'auto', says: /64 to 67108864/ },
    { size: '63', engine: 'auto', says: /64 to 67108864/ },
    { size: '67108865', engine: 'auto', says: /64 to 67108864/ },
    { size: '1e9', engine: 'auto', says: /64 to 67108864/ },
    { size: '1000', engine: 'reference', says: /only the compiled engine has tables/ },
  ];
  await forEachRow(rows, async ({ size, engine, says }) => {
    const { status, stderr } = await wiretrial(
      [
        ...['replay', ...CLUSTER, ...NPM, '-r', 'many.pcap'],
        ...['--engine', engine, '--max-connections', size],
      ],
      { cwd },
    );
    t.equal(status, 2, `${size}: ${stderr}`);
    t.match(stderr, says);
    t.equal(stderr.match(/error:/g)?.length, 1, stderr);
  });
});
