/**
 * `--engine auto`: the compiled engine for a large capture where it is built, the reference engine
 * otherwise, and the same result whichever it is.
 * @module
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findNative } from '../../src/engine/compiled/native-door.ts';
import { CASE, caseFolder, NPM, wiretrial, writeCapture } from '../support/command.ts';
import { udp } from '../support/packets.ts';

t.setTimeout(600_000);
const folder = await caseFolder();
t.teardown(folder.done);
const cwd = folder.path;
const LARGE = join(cwd, 'large.pcap');
const REPLAY = ['replay', ...CASE.slice(0, 4), ...NPM, '-r', LARGE];
const skip = findNative().addon === null ? 'needs the native addon' : false;

const payload = new Uint8Array(1400).fill(0x5a);
const packets = Array.from({ length: 3200 }, (_, i) =>
  i % 2 === 0
    ? udp().from('10.240.0.7', 40_000).to('203.0.113.9', 53).payload(payload)
    : udp().from('203.0.113.9', 53).to('10.240.0.7', 40_000).payload(payload),
);
await writeCapture(LARGE, packets);

/** What a replay says, but for which engine said it. */
function resultOf(name: string): { readonly engine: unknown; readonly rest: unknown } {
  const { tool, ...rest } = JSON.parse(readFileSync(join(cwd, name), 'utf8'));
  return { engine: tool.engine, rest };
}

t.test(
  'a large capture is judged by the compiled engine, with equal results',
  { skip },
  async (t) => {
    t.ok(statSync(LARGE).size > 4 * 1024 * 1024, 'the capture is large');
    for (const engine of ['auto', 'reference']) {
      const { status, stderr } = await wiretrial(
        [...REPLAY, '--engine', engine, '-q', '-o', `json=${engine}.json`],
        { cwd },
      );
      t.equal(status, 0, stderr);
    }
    const [auto, reference] = ['auto.json', 'reference.json'].map(resultOf);
    t.equal(auto?.engine, 'compiled');
    t.equal(reference?.engine, 'reference');
    t.strictSame(auto?.rest, reference?.rest);
  },
);

t.test('without the addon the reference engine judges, and says so once', async (t) => {
  const env = { WIRETRIAL_NATIVE: join(cwd, 'nothing.node') };
  const { status, stdout, stderr } = await wiretrial(REPLAY, { cwd, env });
  t.equal(status, 0, stderr);
  t.match(stdout, /\(reference engine\)/);
  t.equal(stderr.match(/the reference engine judges: no compiled engine here/g)?.length, 1);
});

t.test('a small capture is judged by the reference engine without a word', async (t) => {
  const { status, stdout, stderr } = await wiretrial(['replay', ...CASE, ...NPM], { cwd });
  t.equal(status, 0, stderr);
  t.match(stdout, /\(reference engine\)/);
  t.notMatch(stderr, /engine/);
});

t.test('probes are asked of the engine that was named, with equal results', { skip }, async (t) => {
  const all = ['probe', ...CASE.slice(0, 4), ...NPM, '--all-pairs', '--port', '8080'];
  for (const engine of ['compiled', 'auto']) {
    const ran = await wiretrial([...all, '--engine', engine, '-o', `json=${engine}.json`], { cwd });
    t.equal(ran.status, 0, ran.stderr);
  }
  const [compiled, auto] = ['compiled.json', 'auto.json'].map(resultOf);
  t.equal(compiled?.engine, 'compiled');
  t.equal(auto?.engine, 'reference', 'packets that are few');
  t.strictSame(compiled?.rest, auto?.rest);
});
