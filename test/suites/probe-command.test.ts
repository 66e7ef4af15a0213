/**
 * The suites as a user would run them: objects and probes as files, `wiretrial probe` on them, exit
 * code 0 and no mismatch. test/suites/walk.test.ts walks every step; here every recipe, every case of
 * kube-network-policies, and a spread of cyclonus go through the real command.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { COMMAND, NODE } from '../support/command.ts';
import {
  cyclonusCases,
  haveSuites,
  knpCases,
  recipeCases,
  type SuiteCase,
  writeCase,
} from '../support/suites.ts';

const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];
const CYCLONUS_EVERY = 32;

interface Answer {
  readonly status: number | null;
  readonly counts?: { readonly probes: number };
  readonly mismatches?: readonly unknown[];
  readonly stderr: string;
}

function probe(folder: string, c: SuiteCase, stack: string): Answer {
  const files = writeCase(folder, { ...c, probes: c.probes.filter((p) => p.from !== p.to) });
  const words = ['probe', '-f', files.manifest, '--probes', files.probes, '--stack', stack];
  const [command, ...first] = NODE;
  const argv = [...first, COMMAND, ...words, '-o', 'json'];
  const { status, stdout, stderr } = spawnSync(command, argv, {
    encoding: 'utf8',
    maxBuffer: 256 * 2 ** 20,
  });
  return { status, stderr, ...(stdout === '' ? {} : (JSON.parse(stdout) as object)) };
}

t.setTimeout(600_000);
t.test(
  'suites through the command line',
  {
    skip: haveSuites() ? false : 'needs ../shared',
  },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'wiretrial-suites-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const cases = [
      ...recipeCases(),
      ...knpCases(),
      ...[...cyclonusCases()].filter((_, i) => i % CYCLONUS_EVERY === 0),
    ].filter((c) => c.knownIssue === undefined);
    for (const stack of STACKS) {
      const wrong: string[] = [];
      for (const c of cases) {
        const { status, counts, mismatches, stderr } = probe(folder, c, stack);
        const expected = c.probes.filter((p) => p.from !== p.to).length;
        if (status !== 0 || counts?.probes !== expected || mismatches?.length !== 0) {
          wrong.push(`${c.id}: exit ${status}, ${JSON.stringify(mismatches)} ${stderr}`);
        }
      }
      t.strictSame(wrong, [], `${cases.length} cases on ${stack}`);
    }
  },
);
