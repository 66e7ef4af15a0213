/**
 * A capture that comes through standard input is one like any other: it may be cut by time, named
 * by options, and shared out.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CASE, caseFolder, forEachRow, NPM, wiretrial } from '../support/command.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const input = readFileSync(join(cwd, 'case.pcap'));
const CLUSTER = CASE.slice(0, 4);

t.test('every option means the same as of a file', async (t) => {
  const rows: readonly (readonly [
    options: (name: string) => readonly string[],
    packets: number,
  ])[] = [
    [() => [], 12],
    // A span counts back from the end, which has to be read first.
    [() => ['--since', '3ms'], 4],
    [() => ['--until', '3ms', '-c', '5'], 5],
    [() => ['udp'], 2],
    [(name) => ['--vantage', `${name}=node/node-a`], 12],
    [(name) => ['--clock-offset', `${name}=5s`], 12],
    [() => ['--workers', '2'], 12],
  ];
  await forEachRow(rows, async ([options, packets]) => {
    const run = (path: string) => {
      const words = [...CLUSTER, ...NPM, '-r', path, ...options(path), '-o', 'json'];
      return wiretrial(['replay', ...words], path === '-' ? { cwd, input } : { cwd });
    };
    const [piped, stored] = [await run('-'), await run('case.pcap')];
    const name = options('-').join(' ');
    t.equal(piped.status, 0, `${name}: ${piped.stderr}`);
    const result = JSON.parse(piped.stdout) as { counts: object; inputs: { path: string }[] };
    t.match(result.counts, { packets }, name);
    t.strictSame(
      result,
      JSON.parse(stored.stdout.replace('"path":"case.pcap"', '"path":"-"')),
      `${name}: as the file`,
    );
  });
});
