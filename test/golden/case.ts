/**
 * Golden cases: what is run (case.yaml) and what must come out (verdicts.yaml, written by hand).
 *
 * Keys of expectations are policy engines (`npm`), or whole stacks where two networks differ.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const GOLDEN = 'test/golden';

export interface GoldenCase {
  readonly name: string;
  readonly about: string;
  /** What `-f` would be given, from the project's root. */
  readonly files: readonly string[];
  readonly capture: string;
  readonly stacks: readonly string[];
  /** `openings`: of each connection the first frame only. */
  readonly trace: 'all' | 'openings';
  readonly midstream?: 'assume' | 'kernel' | 'unknown';
  readonly expected: Expected;
}

export interface Expected {
  readonly sources: Readonly<Record<string, string>>;
  readonly connections: readonly Row[];
  /** Outcomes of IP frames that were counted by hand, by engine or stack. */
  readonly frames: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Notes that the run must give, by engine or stack (`checksumOffloaded: 4`). */
  readonly notes?: Readonly<Record<string, number>>;
}

export interface Fate {
  readonly verdict: string;
  /** Policies that can have decided, with their lines; `{}`: none has a say; absent: not judged. */
  readonly by?: Readonly<Record<string, number>>;
  /** The node that drops. */
  readonly at?: string;
  readonly reason?: string;
}

export type Row = {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number | null;
  readonly because: string;
  readonly source: string;
  /** False: the capture holds no proof that the opening arrived. */
  readonly answered?: boolean;
  readonly openings?: Readonly<Record<string, number>>;
  /** The kind of difference, where the engines differ. */
  readonly class?: string;
  readonly npm?: Fate;
  readonly calico?: Fate;
  readonly none?: Fate;
} & { readonly [stack: `azure-${string}`]: Fate };

const EVERYTHING_PASSES: Fate = { verdict: 'allowed', by: {} };

/** What a row says of one stack. */
export function fateOn(row: Row, stack: string): Fate {
  const engine = engineOf(stack);
  const said = row[stack as `azure-${string}`] ?? row[engine as 'npm'];
  if (said) return said;
  if (engine === 'none') return EVERYTHING_PASSES;
  throw new Error(`no expectation for ${row.from} -> ${row.to} on ${stack}`);
}

export function engineOf(stack: string): string {
  return /\+([a-z]+)/.exec(stack)?.[1] ?? '';
}

/** Every folder under test/golden with a case. */
export function goldenCases(): readonly GoldenCase[] {
  return readdirSync(GOLDEN, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({
      ...read<Omit<GoldenCase, 'name' | 'expected'>>(name, 'case.yaml'),
      name,
      expected: read<Expected>(name, 'verdicts.yaml'),
    }));
}

function read<T>(name: string, file: string): T {
  return parse(readFileSync(join(GOLDEN, name, file), 'utf8')) as T;
}
