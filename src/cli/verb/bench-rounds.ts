/**
 * The other side of a benchmark: what `--base` names, measured in processes of their own, turn by
 * turn with this side, so that the machine's moods fall on both.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../diagnostic/diagnostic.ts';
import type { BenchRow } from '../../report/result/bench-report.ts';
import { ExitCode } from '../exit-code.ts';

/** What `--base` may be. */
export type Base =
  /** Another build of this tool. */
  | { readonly kind: 'tool'; readonly text: string; readonly main: string }
  /** Other manifests, judged by this build. */
  | { readonly kind: 'manifests'; readonly text: string; readonly path: string }
  /** A stored result: its counts hold, its rate was another day's. */
  | { readonly kind: 'result'; readonly text: string; readonly row: BenchRow };

const MAIN = join('dist', 'src', 'cli', 'main.js');
const MAX_OUTPUT = 64 * 1024 * 1024;

/**
 * Tell a folder of this tool, a stored `-o json` result, and manifests apart.
 * @throws UserError when there is nothing of that name, or the build is not built
 */
export function readBase(path: string): Base {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    const accepted = 'a build of wiretrial, manifests, or a result of bench -o json';
    const message = 'there is no such base';
    throw new UserError([{ code: 'BENCH_BASE', field: '--base', message, found: path, accepted }]);
  }
  if (found.isDirectory()) return toolIn(path) ?? { kind: 'manifests', text: path, path };
  const row = path.endsWith('.json') ? storedRow(path) : null;
  return row === null
    ? { kind: 'manifests', text: path, path }
    : { kind: 'result', text: `${path} (counts only)`, row };
}

function toolIn(path: string): Base | null {
  const described = join(path, 'package.json');
  if (!existsSync(described)) return null;
  const { name, version } = packageAt(described);
  if (name !== 'wiretrial') return null;
  const main = join(path, MAIN);
  if (existsSync(main)) return { kind: 'tool', text: `wiretrial ${version} in ${path}`, main };
  const message = 'this checkout is not built';
  const accepted = 'npm ci there first';
  throw new UserError([{ code: 'BENCH_BASE', field: '--base', message, found: path, accepted }]);
}

/** What a package.json says; nothing when it can not be read: then it is not ours. */
function packageAt(path: string): Readonly<Record<string, unknown>> {
  try {
    const said: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof said === 'object' && said !== null ? { ...said } : {};
  } catch {
    return {};
  }
}

function storedRow(path: string): BenchRow | null {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
  const { kind, cases } = value as { kind?: unknown; cases?: readonly BenchRow[] };
  return kind === 'BenchResult' ? (cases?.[0] ?? null) : null;
}

export interface Side {
  readonly main: string;
  /** Arguments of `bench`, without those that compare or write. */
  readonly args: readonly string[];
}

export interface Rounds {
  readonly base: readonly BenchRow[];
  readonly head: readonly BenchRow[];
}

/**
 * Measure both sides turn by turn, each round in the other order than the last.
 * @param told is called before each round
 * @throws UserError with what a side said when it gave no figure
 */
export function interleave(
  base: Side,
  head: Side,
  rounds: number,
  told: (round: number) => void,
): Rounds {
  const found = { base: [] as BenchRow[], head: [] as BenchRow[] };
  for (let round = 0; round < rounds; round++) {
    told(round);
    const order = [['base', base] as const, ['head', head] as const];
    for (const [name, side] of round % 2 === 0 ? order : order.reverse()) {
      found[name].push(measureOnce(name, side));
    }
  }
  return found;
}

function measureOnce(name: string, { main, args }: Side): BenchRow {
  const command = [...process.execArgv, main, 'bench', ...args, '-o', 'json'];
  const ran = spawnSync(process.execPath, command, { encoding: 'utf8', maxBuffer: MAX_OUTPUT });
  if (ran.status === ExitCode.ok) {
    const [row] = (JSON.parse(ran.stdout) as { cases: readonly BenchRow[] }).cases;
    if (row !== undefined) return row;
  }
  const why = ran.error?.message ?? ran.stderr.trim();
  const message = `the ${name} gave no figure: ${why || `exit ${ran.status ?? ran.signal}`}`;
  throw new UserError([{ code: 'BENCH_SIDE', field: '--base', message }], 'environment');
}
