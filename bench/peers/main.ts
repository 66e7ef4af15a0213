/**
 * Beside its peers, in one run: `npm run bench:peers [-- --only TEXT] [--samples N] [--seconds S]
 * [--cpu N] [--json PATH]`, as root. Prints the table of ratios; the figures as JSON with `--json`.
 *
 * A peer that is not on this machine is a row that says so and exit code 1, as is one that could not
 * be measured; a goal that is not reached is a row, not a failure.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Interruption } from '../../src/cli/output/interruption.ts';
import { onlyNamed } from '../only.ts';
import { measureAcl, RULE_COUNTS } from './acl-rows.ts';
import { EBPF_TRIALS, measureEbpf } from './ebpf-rows.ts';
import { measureKernel, type RunOptions, SCENARIOS } from './kernel-rows.ts';
import { compile, Missing, needTool } from './programs.ts';
import { measureRead, READ_GOAL } from './read-rows.ts';
import { formatRows, type Goal, isReached, type Row, ratioOf } from './rows.ts';

interface Job {
  readonly name: string;
  /** What is said when the job can not be done. */
  readonly goals: readonly Goal[];
  readonly measure: (options: RunOptions) => Row[];
}

function kernelTools(): void {
  needTool('ip', ['ip', '-V'], 'iproute2');
  needTool('iptables', ['iptables-legacy', '--version'], 'iptables');
  needTool('ebtables', ['ebtables', '--version'], 'ebtables');
  needTool('ipset', ['ipset', '--version'], 'ipset');
  needTool('nft', ['nft', '--version'], 'nftables');
  needTool('conntrack', ['conntrack', '--version'], 'conntrack');
}

const JOBS: readonly Job[] = [
  ...SCENARIOS.map(
    (scenario): Job => ({
      name: `kernel ${scenario.name}`,
      goals: scenario.feeds,
      measure: (options) => {
        kernelTools();
        const { folder } = options;
        const senders = { send: compile(folder, 'send'), inject: compile(folder, 'inject') };
        return measureKernel(scenario, senders, options);
      },
    }),
  ),
  ...EBPF_TRIALS.map(
    (trial): Job => ({
      name: `ebpf ${trial.connections}`,
      goals: trial.goals,
      measure: (options) => measureEbpf(trial, options),
    }),
  ),
  { name: 'libpcap', goals: [READ_GOAL], measure: measureRead },
  ...RULE_COUNTS.map(
    (trial): Job => ({
      name: `rte_acl ${trial.rules}`,
      goals: [trial],
      measure: (options) => measureAcl(trial, options),
    }),
  ),
];

function attempt({ name, goals, measure }: Job, options: RunOptions): readonly Row[] {
  process.stderr.write(`${name} …\n`);
  try {
    return measure(options);
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    process.exitCode = 1;
    const kind = error instanceof Missing ? '' : 'failed: ';
    return goals.map(({ against, workload, goal }) => {
      return { against, workload, goal, missing: kind + missing };
    });
  }
}

/** One job after the other, until one is interrupted: its own namespaces are gone by then. */
async function measureAll(
  jobs: readonly Job[],
  options: RunOptions,
  interruption: Interruption,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const job of jobs) {
    rows.push(...attempt(job, options));
    await interruption.listen();
    if (interruption.code !== 0) break;
  }
  return rows;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      samples: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '0.4' },
      cpu: { type: 'string', default: '0' },
      json: { type: 'string' },
    },
  });
  if (process.getuid?.() !== 0) {
    process.stderr.write('bench:peers needs root: nothing was measured\n');
    process.exitCode = 2;
    return;
  }
  const chosen = onlyNamed(JOBS, values.only, ({ name }) => name);
  const folder = mkdtempSync(join(tmpdir(), 'wiretrial-peers-'));
  const options: RunOptions = {
    samples: Number(values.samples),
    seconds: Number(values.seconds),
    cpu: Number(values.cpu),
    folder,
  };
  const before = loadavg();
  const interruption = new Interruption();
  let rows: readonly Row[];
  try {
    rows = await measureAll(chosen, options, interruption);
  } finally {
    interruption.stop();
    rmSync(folder, { recursive: true });
  }
  const load = [before, loadavg()].map(([minute = 0]) => minute.toFixed(1)).join(' → ');
  const machine = `${cpus().length} cores of ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  const about = `${new Date().toISOString().slice(0, 16)}Z, ${machine}, Linux ${release()}, Node ${process.version}, load ${load}`;
  process.stdout.write(`${about}\n${formatRows(rows)}`);
  if (interruption.code !== 0) {
    process.stderr.write('interrupted: the rows above are all that was measured\n');
    process.exitCode = interruption.code;
  }
  if (values.json === undefined) return;
  const said = rows.map((row) =>
    'missing' in row ? row : { ...row, ratio: ratioOf(row), reached: isReached(row) },
  );
  writeFileSync(values.json, `${JSON.stringify({ about, rows: said }, null, 1)}\n`);
}

await main();
