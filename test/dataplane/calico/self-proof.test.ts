/**
 * Rendered nodes prove themselves: a program that knows nothing of our renderer recomputes every
 * `cali:` label of what `wiretrial plan` prints (../shared/tools/verify_cali_hashes.py, which reads real
 * nodes' dumps the same way).
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { hasTool, wiretrial } from '../../support/command.ts';
import { sharedPath } from '../../support/shared.ts';

const tool = sharedPath('tools/verify_cali_hashes.py');
const real = sharedPath('data/clusters/aks-kubenet-calico-2023/iptables-save.txt');
const isThere = tool !== null && real !== null && hasTool('python3');
const skip = isThere ? false : 'needs ../shared and python3';

/** Labels that are right, and labels in all, of each file. */
function labelsOf(files: readonly string[]): readonly (readonly [right: number, all: number])[] {
  const { stdout } = spawnSync('python3', [tool ?? '', ...files], { encoding: 'utf8' });
  return [...stdout.matchAll(/: (\d+) of (\d+) rule labels verified/g)].map((m) => {
    return [Number(m[1]), Number(m[2])] as const;
  });
}

/**
 * Felix writes `--invert --validmark`, iptables-save the other way round; the program undoes much of
 * what iptables-save changes and not this (nor does it in the dump of a real node).
 */
function asWritten(rules: string): string {
  return rules.replaceAll('--validmark --invert', '--invert --validmark');
}

t.test('every label of rendered nodes is right to a stranger', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-labels-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const rows = ['3.26', '3.28', '3.32'].flatMap((version) =>
    ['node-a', 'node-b'].map((node) => [version, node] as const),
  );
  const files: string[] = [];
  for (const [version, node] of rows) {
    const stack = `azure-transparent+calico,version=${version}`;
    const args = ['plan', '-f', 'pcaps/shop', '--stack', stack, '--node', node];
    const { status, stdout, stderr } = await wiretrial(args, { cwd: process.cwd() });
    t.equal(status, 0, stderr);
    const path = join(folder, `${version}-${node}`);
    writeFileSync(path, asWritten(stdout));
    files.push(path);
  }
  for (const [i, [right, all]] of labelsOf(files).entries()) {
    t.ok(all > 60, `${rows[i]?.join(' ')}: ${all} labels`);
    t.equal(right, all, 'all of them are right');
  }
  t.equal(labelsOf(files).length, rows.length, 'every node was looked at');
});

t.test('the stranger sees a rule that is missing or changed', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-labels-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const args = ['plan', '-f', 'pcaps/shop', '--stack', 'azure-transparent+calico'];
  const { stdout } = await wiretrial([...args, '--node', 'node-a'], { cwd: process.cwd() });
  const lines = stdout.split('\n');
  const at = lines.findIndex((line) => /^-A cali-pi-\S+ .*"cali:/.test(line));
  t.ok(at > 0, 'a rule of a policy');
  writeFileSync(join(folder, 'missing'), lines.toSpliced(at, 1).join('\n'));
  const changed = (lines[at] ?? '').replace(/(-j|-g|--set-xmark) (\S+)/, '$1 other');
  writeFileSync(join(folder, 'changed'), lines.with(at, changed).join('\n'));
  for (const [right, all] of labelsOf([join(folder, 'missing'), join(folder, 'changed')])) {
    t.ok(right < all, `${right} of ${all}`);
  }
});

t.test('as it says of a real node', { skip }, async (t) => {
  t.strictSame(labelsOf([real ?? '']), [[172, 172]]);
});
