/**
 * Two answers compared; the first differences, said.
 * @module
 */
import type { Birth } from './births.ts';
import type { Answer, Connection, Trial } from './trial.ts';

/** How many seconds a timeout may differ: both sides round, and the kernel's clock went on. */
const ROUNDING_S = 1;
const SHOWN = 12;

export interface Difference {
  /**
   * What differs (`births`: what entered the table; `draws`: what was drawn for it), without the
   * values: shrinking keeps to one kind.
   */
  readonly kind: 'frames' | 'counters' | 'births' | 'connections' | 'learned' | 'draws';
  readonly lines: readonly string[];
}

/** The first kind of difference, or null. `engine` and `kernel` answered the same trial. */
export function difference(trial: Trial, engine: Answer, kernel: Answer): Difference | null {
  return (
    frames(engine, kernel) ??
    counters(trial, engine, kernel) ??
    births(trial, engine, kernel) ??
    connections(trial, engine, kernel) ??
    learned(engine, kernel)
  );
}

function frames(engine: Answer, kernel: Answer): Difference | null {
  for (const [i, theirs] of kernel.bursts.entries()) {
    const lines = unequal(engine.bursts[i] ?? [], theirs);
    if (lines.length > 0) return { kind: 'frames', lines };
  }
  return null;
}

/**
 * What came in flooded over a bridge enters the table without a word (`br_nf_local_in` confirms, and
 * leaves the telling to INPUT): of those the table itself must be the witness. It is none for what ended
 * in a pause, so trials with pauses ask only for what the kernel told.
 */
function births(trial: Trial, engine: Answer, kernel: Answer): Difference | null {
  if (engine.births === undefined || kernel.births === undefined) return null;
  const told = ({ name, reply }: Birth) => `${name} | ${reply}`;
  const there = new Set(
    kernel.reading.connections.map((c) => `${c.protocol} ${c.original} | ${c.reply}`),
  );
  const theirs = kernel.births.map(told);
  const known = new Set(theirs);
  const pauses = trial.shots.some((shot) => shot.kind === 'wait');
  const isTold = (line: string) => known.has(line) || !(pauses || there.has(line));
  const ours = engine.births.map(told).filter(isTold);
  const lines = unequal(ours, theirs).map((line) => line.replace('sends', 'begins'));
  return lines.length === 0 ? null : { kind: 'births', lines };
}

/** Lines of one list that the other has not, as often as it has them. */
function unequal(ours: readonly string[], theirs: readonly string[]): string[] {
  const count = new Map<string, number>();
  for (const line of ours) count.set(line, (count.get(line) ?? 0) + 1);
  for (const line of theirs) count.set(line, (count.get(line) ?? 0) - 1);
  const lines: string[] = [];
  for (const [line, n] of count) {
    if (n > 0) lines.push(`engine sends ${n}: ${line}`);
    if (n < 0) lines.push(`kernel sends ${-n}: ${line}`);
  }
  return lines.slice(0, SHOWN);
}

function counters(trial: Trial, engine: Answer, kernel: Answer): Difference | null {
  const lines: string[] = [];
  for (const [name, theirs] of kernel.reading.counters) {
    const ours = engine.reading.counters.get(name);
    if (ours === theirs || isUncounted(trial, name)) continue;
    lines.push(`${name}: kernel ${theirs}, engine ${ours}`);
  }
  for (const name of engine.reading.counters.keys()) {
    if (!kernel.reading.counters.has(name)) lines.push(`${name}: the kernel does not have it`);
  }
  return lines.length === 0 ? null : { kind: 'counters', lines: lines.slice(0, SHOWN) };
}

/** The rule that keeps the laboratory silent counts what only the kernel does of its own accord. */
export const SILENCE = 'the laboratory keeps silent';

function isUncounted({ plan }: Trial, name: string): boolean {
  const [, family, table, chain, index] = /^(\d) (\w+)\/(\S+) rule (\d+)$/.exec(name) ?? [];
  const rule = plan.tables
    .find((t) => String(t.family) === family && t.name === table)
    ?.chains.find((c) => c.name === chain)?.rules[Number(index) - 1];
  return rule?.matches.some((m) => m.kind === 'comment' && m.text === SILENCE) ?? false;
}

/** What bridges learnt: `MAC PORT`. */
function learned(engine: Answer, kernel: Answer): Difference | null {
  const lines = unequal(engine.reading.learned, kernel.reading.learned);
  if (lines.length === 0) return null;
  return { kind: 'learned', lines: lines.map((line) => line.replace('sends', 'has learnt')) };
}

/** Seconds of a trial in which nothing was sent. */
export function pausesOf({ shots }: Trial): number {
  return shots.reduce((sum, shot) => (shot.kind === 'wait' ? sum + shot.seconds : sum), 0);
}

function connections(trial: Trial, engine: Answer, kernel: Answer): Difference | null {
  const busy = kernel.seconds - pausesOf(trial);
  const lines: string[] = [];
  const key = (c: Connection) => `${c.protocol} ${c.original} | ${c.reply} | ${c.status}`;
  const ours = new Map(engine.reading.connections.map((c) => [key(c), c]));
  for (const theirs of kernel.reading.connections) {
    const mine = ours.get(key(theirs));
    ours.delete(key(theirs));
    if (mine === undefined) lines.push(`only the kernel has ${key(theirs)}`);
    else {
      const late = mine.seconds - theirs.seconds;
      if (late > busy + ROUNDING_S || late < -ROUNDING_S) {
        lines.push(`${key(theirs)}: kernel ${theirs.seconds} s, engine ${mine.seconds} s`);
      }
    }
  }
  for (const [name, { seconds }] of ours) {
    // About to end: the kernel's is gone by the time it is asked.
    if (seconds > busy + ROUNDING_S) lines.push(`only the engine has ${name}`);
  }
  return lines.length === 0 ? null : { kind: 'connections', lines: lines.slice(0, SHOWN * 2) };
}
