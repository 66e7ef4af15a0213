/**
 * Faults are planted into the engine, one at a time (harness/mutants.ts), and the harness must find each
 * in trials that a kernel has answered: a few made by hand for what is rare, then drawn ones until it
 * is found. The kernel is asked once; each fault runs in a process of its own. Needs root.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { Agent } from '../harness/agent.ts';
import { askEngine } from '../harness/ask-engine.ts';
import { campaign } from '../harness/campaign.ts';
import { type Comparison, compare } from '../harness/compare.ts';
import { directedTrial } from '../harness/directed.ts';
import { kernelMissing } from '../harness/laboratory.ts';
import { MUTANTS } from '../harness/mutants.ts';
import { writeObserved } from '../harness/recorded.ts';

const run = promisify(execFile);

/** Frames that each fault is shown at most, beside those made by hand. */
const SHOWN = Number(process.env['FAULTS_SHOWN'] ?? 6_000);
/** Hosts whose rules are drawn: they meet most in the least frames. */
const SHAPES = ['routed', 'bridged', 'router'] as const;
const LEAST_FAULTS = 40;

const tools = ['iptables-legacy', 'ip6tables-legacy', 'ipset', 'conntrack', 'bridge', 'python3'];
const skip = kernelMissing(tools) ?? false;

t.setTimeout(1_200_000);

t.test('every planted fault is found', { skip }, async (t) => {
  t.setTimeout(1_200_000);
  const agents = [new Agent(0), new Agent(1)];
  for (const agent of agents) t.teardown(() => agent.close());
  const byHand = await judgeDirected(agents[0]!);
  t.same(byHand.outcome, { kind: 'equal' }, 'what is made by hand is no difference itself');
  const size = { seed: 1, plans: 1, packets: SHOWN, frames: 220, patience: 0, shapes: SHAPES };
  const drawn = await campaign(agents, size, Number.POSITIVE_INFINITY);
  const agreed = [byHand.observed, ...drawn.agreed];
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-faults-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'trials.json');
  writeFileSync(file, writeObserved(agreed));
  t.equal((await hunt(file, -1)).found, 'nothing', 'without a fault nothing is found');
  t.ok(MUTANTS.length >= LEAST_FAULTS, `${MUTANTS.length} faults`);
  for (let first = 0; first < MUTANTS.length; first += 2) {
    const pair = [first, first + 1].filter((i) => i < MUTANTS.length);
    const results = await Promise.all(pair.map((i) => hunt(file, i)));
    for (const [i, { found, frames }] of results.entries()) {
      const name = MUTANTS[pair[i] ?? 0]?.name;
      const isFound = /^(frames|counters|births|connections|learned)$/.test(found);
      t.ok(isFound, `${name}: ${found} after ${frames} frames`);
    }
  }
});

/** The trial made by hand, put to both sides. */
function judgeDirected(agent: Agent): Promise<Comparison> {
  const trial = directedTrial();
  return compare(agent, trial, askEngine(trial));
}

/** What a process with this fault finds in the recorded trials. */
async function hunt(file: string, mutant: number): Promise<{ found: string; frames: number }> {
  const here = (name: string) => fileURLToPath(new URL(`../harness/${name}.js`, import.meta.url));
  const loader = new URL('../harness/mutant-loader.js', import.meta.url).href;
  const options = { env: { ...process.env, WIRETRIAL_MUTANT: String(mutant) } };
  try {
    const argv = ['--import', loader, here('hunt'), file];
    const { stdout } = await run(process.execPath, argv, options);
    return JSON.parse(stdout) as { found: string; frames: number };
  } catch (error) {
    return { found: `it does not run: ${(error as Error).message.slice(0, 400)}`, frames: 0 };
  }
}
