/**
 * The API server's own validation cases through `wiretrial doctor -f`: what it refuses is refused
 * here with exit 2 and the same field, what it takes is taken.
 * @module
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { TWO_NODES_SHOP } from '../support/clusters.ts';
import { forEachRow, wiretrial } from '../support/command.ts';
import { sharedPath } from '../support/shared.ts';

interface Case {
  readonly name: string;
  readonly valid: boolean;
  readonly object: Readonly<Record<string, unknown>>;
  readonly errors: readonly { readonly field: string }[];
}

const suite = sharedPath('suites/apiserver-validation/networkpolicy');

// A process a case.
t.setTimeout(600_000);
t.test('NetworkPolicies', { skip: suite ? false : 'needs ../shared' }, async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-validation-'));
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, 'cluster.yaml'), TWO_NODES_SHOP);
  const names = readdirSync(suite ?? '').filter((name) => name.endsWith('.json'));
  let refused = 0;
  await forEachRow(names, async (name) => {
    const c = JSON.parse(readFileSync(join(suite ?? '', name), 'utf8')) as Case;
    writeFileSync(join(cwd, name), JSON.stringify(c.object, null, 1));
    const ran = await wiretrial(['doctor', '-f', 'cluster.yaml', '-f', name], { cwd });
    t.equal(ran.status, c.valid ? 0 : 2, `${c.name}: ${ran.stderr}`);
    for (const { field } of c.errors) {
      t.ok(ran.stderr.includes(` ${field}: `), `${c.name}: names ${field} in ${ran.stderr}`);
      t.ok(ran.stderr.includes(`${name}:`), `${c.name}: names the file`);
    }
    if (!c.valid) refused++;
  });
  t.ok(refused > 20, `${refused} refused`);
});
