/**
 * The demo as a visitor runs it: from the project's root, as anybody, with the tool's own output.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readAll } from '../support/captures.ts';
import { NODE } from '../support/command.ts';

const DEMO = fileURLToPath(new URL('../../pcaps/demo.js', import.meta.url));

// One run for all: it starts the tool three times.
const [command, ...first] = NODE;
const demo = spawnSync(command, [...first, DEMO], {
  encoding: 'utf8',
  env: { ...process.env, NO_COLOR: '1' },
});

t.test('the demo ends well and shows every command that it runs', async (t) => {
  t.equal(demo.status, 0, demo.stderr);
  for (const verb of ['replay', 'compare', 'explain']) {
    t.match(demo.stdout, new RegExp(`^\\$ node \\S+main\\.js ${verb} `, 'm'), verb);
  }
});

t.test('it names what drops, where the stacks differ, and the policy behind it', async (t) => {
  t.match(demo.stdout, /policyDenied +node-[ab] forward filter\/AZURE-NPM-INGRESS rule \d+/);
  t.match(demo.stdout, /pod\/shop\/api-1 -> node\/node-a:10250/);
  t.match(demo.stdout, /azure-transparent\+calico +denied/);
  t.match(demo.stdout, /shop\/NetworkPolicy\/api-egress \(pcaps\/shop\/policies\.yaml:46\)/);
});

t.test('the annotated capture holds every packet, with a verdict on each', async (t) => {
  const [, path = ''] = /tshark -r (\S+)/.exec(demo.stdout) ?? [];
  const recorded = await readAll(['pcaps/shop.pcapng']);
  const written = await readAll([path]);
  t.equal(written.records.length, recorded.records.length);
  t.ok(
    written.records.every((record) => (record.comments ?? []).length > 0),
    'a comment on each',
  );
  rmSync(dirname(path), { recursive: true });
});
