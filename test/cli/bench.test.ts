/**
 * `bench` as a gate: its formats, its thresholds, and the three things that it may be compared with.
 * No figure is judged here but exact ones.
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readBase } from '../../src/cli/verb/bench-rounds.ts';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { CASE, caseFolder, wiretrial } from '../support/command.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const SMALL = ['--packets', '500', '--samples', '2', '--connections', '10', '--port', '5432'];
const RUN = ['bench', ...CASE.slice(0, 4), '--stack', 'azure-bridge+none', ...SMALL];
const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));

const native = findNative();
const skip = native.addon === null ? native.reason : false;

interface Row {
  readonly name: string;
  readonly digest: string;
  readonly counters: Readonly<Record<string, number>>;
}

t.test('one run is said in every format', { skip }, async (t) => {
  const formats = ['json', 'bencher', 'github-action-benchmark'];
  const paths = formats.map((format) => join(cwd, `${format}.json`));
  const outputs = formats.flatMap((format, i) => ['-o', `${format}=${paths[i]}`]);
  const { status, stdout, stderr } = await wiretrial([...RUN, '-o', 'table', ...outputs], { cwd });
  t.equal(status, 0, stderr);
  t.match(stdout, /equal to the reference +\d+ packets, digest [0-9a-f]{16}/);
  const [json, bencher, action] = paths.map((path) => JSON.parse(readFileSync(path, 'utf8')));
  const [row] = json.cases as Row[];
  t.ok(row && (row.counters['moved'] ?? 0) > 500, 'packets were moved by native code');
  const [[name, measures]] = Object.entries(bencher) as [[string, Record<string, unknown>]];
  t.equal(name, `${row?.name}, azure-bridge+none`);
  t.match(measures['throughput'], { value: Number, lower_value: Number, upper_value: Number });
  t.match(action, [{ name, unit: 'packets/s', value: Number, range: /^± \d+$/ }]);
});

t.test('a gate without a base fails by name, in JSON too', { skip }, async (t) => {
  const ran = await wiretrial([...RUN, '--threshold', 'walked<=0', '-o', 'json'], { cwd });
  t.equal(ran.status, 1);
  t.match(ran.stderr, /gate failed: --threshold walked<=0/);
  t.match(JSON.parse(ran.stdout), {
    counts: { cases: 1, packets: 500 },
    metrics: [{ metric: 'walked', base: null, gates: [{ judgement: 'fail' }] }],
  });
});

t.test('what a machine can not hold, and what no frame does, is refused at once', async (t) => {
  const sizes = ['--connections', '9999999999', '--packets', '9999999999', '--payload', '1461'];
  const ran = await wiretrial([...RUN, ...sizes], { cwd });
  t.equal(ran.status, 2);
  t.match(ran.stderr, /3 problems:.*--connections.*--packets.*--payload.*0 to 1460/s);
});

t.test('exact counters hold against a stored result; its rate does not', { skip }, async (t) => {
  const path = join(cwd, 'json.json');
  t.ok(existsSync(path), 'of the run before');
  const base = ['--base', path];
  const same = await wiretrial([...RUN, ...base, '--threshold', 'walked<=1x'], { cwd });
  t.equal(same.status, 0, same.stderr);
  t.match(same.stdout, /walked +\d+ +\d+ +1\.000 \(exact\) +pass/);
  const less = await wiretrial([...RUN, ...base, '--threshold', 'moved<=0.5x'], { cwd });
  t.equal(less.status, 1, 'a gate that does not hold');
  t.match(less.stdout, /fail \(moved<=0\.5x\)/);
  const rate = await wiretrial([...RUN, ...base, '--threshold', 'pps>=0.1x'], { cwd });
  t.equal(rate.status, 2);
  t.match(rate.stderr, /a stored rate is of another day/);
  const other = await wiretrial([...RUN, '--packets', '600', ...base], { cwd });
  t.equal(other.status, 2);
  t.match(other.stderr, /is of another run/);
});

t.test('other manifests and other builds are measured turn by turn', { skip }, async (t) => {
  for (const base of [CASE[1] ?? '', CHECKOUT]) {
    const gates = ['--threshold', 'pps>=0.0001x', '--threshold', 'moved>=1x'];
    const { status, stdout, stderr } = await wiretrial(
      [...RUN, '--base', base, '--rounds', '6', ...gates],
      { cwd },
    );
    t.equal(status, 0, stderr);
    t.match(stdout, /6 interleaved rounds/);
    t.match(stdout, /pps +\d+ +\d+ +[\d.]+ \[[\d.]+, [\d.]+\] +pass/);
    t.notMatch(stdout, /verdicts differ/, 'both sides judged alike');
  }
});

t.test('mistakes are told before anything is measured', async (t) => {
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [['--base', 'nowhere'], /there is no such base \(found nowhere/],
    [['--threshold', 'pps>=2x'], /a multiple needs something to be a multiple of/],
    [['--rounds', '5'], /at least 6/],
    [['-o', 'csv'], /unknown output format/],
    [['--base', CHECKOUT, '-f', '-'], /standard input can be read only once/],
  ];
  for (const [args, expected] of rows) {
    const { status, stderr } = await wiretrial([...RUN, ...args], { cwd });
    t.equal(status, 2, args.join(' '));
    t.match(stderr, expected, args.join(' '));
  }
});

t.test('verdicts alone are checked and measured like any traffic', { skip }, async (t) => {
  const args = [...RUN, '--traffic', 'verdict', '-o', 'json'];
  const { status, stdout, stderr } = await wiretrial(args, { cwd });
  t.equal(status, 0, stderr);
  const [row] = (JSON.parse(stdout) as { readonly cases: readonly Row[] }).cases;
  t.match(row?.name, /^verdict both 10 connections$/);
  t.equal(row?.counters['moved'], 1000, 'nothing of two samples was walked');
  t.match(row?.digest, /^[0-9a-f]{16}$/);
  const refused = await wiretrial([...RUN, '--traffic', 'verdict', '--ipv6'], { cwd });
  t.equal(refused.status, 2);
  t.match(refused.stderr, /verdicts alone are of IPv4 packets/);
});

t.test('a folder whose package.json nobody can read holds manifests, not a build', async (t) => {
  const broken = join(cwd, 'broken');
  mkdirSync(broken);
  writeFileSync(join(broken, 'package.json'), '{');
  t.strictSame(readBase(broken), { kind: 'manifests', text: broken, path: broken });
});
