/**
 * Every case in this folder on every stack it names: verdicts, deciding policies and their lines,
 * the balance of outcomes, and traces. `UPDATE_GOLDEN=1` rewrites traces, never verdicts.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { type ConnectionResult, FRAME_OUTCOMES } from '../../src/lab/result.ts';
import {
  engineOf,
  type Fate,
  fateOn,
  GOLDEN,
  type GoldenCase,
  goldenCases,
  type Row,
} from './case.ts';
import { type CaseRun, runCase } from './run-case.ts';
import { formatTrace } from './trace.ts';

const UPDATE = process.env['UPDATE_GOLDEN'] === '1';

type Tap = Test;

for (const golden of goldenCases()) {
  t.test(`${golden.name}: ${golden.about}`, async (t) => {
    for (const stack of golden.stacks) {
      await t.test(stack, async (t) => {
        const run = await runCase(golden, stack);
        checkCoverage(t, golden, run);
        for (const row of golden.expected.connections) checkRow(t, golden, stack, row, run);
        checkBalance(t, golden, stack, run);
        checkTrace(t, golden, stack, run);
      });
    }
  });
}

t.test('the size of batches does not show in a trace', async (t) => {
  for (const golden of goldenCases()) {
    const [stack = ''] = golden.stacks;
    const whole = formatTrace(await runCase(golden, stack), 'all');
    t.equal(formatTrace(await runCase(golden, stack, 1), 'all'), whole, golden.name);
  }
});

function fits(row: Row, c: ConnectionResult): boolean {
  return (
    row.from === (c.from ?? c.src) &&
    row.to === (c.to ?? c.dst) &&
    row.protocol === c.protocol &&
    row.port === c.dport
  );
}

function describe(c: ConnectionResult): string {
  return `${c.from ?? c.src} -> ${c.to ?? c.dst} ${c.protocol} ${c.dport ?? ''}`;
}

/** Every connection stands in exactly one row, and every row has a connection. */
function checkCoverage(t: Tap, golden: GoldenCase, run: CaseRun): void {
  const { connections } = golden.expected;
  const odd = run.connections.filter((c) => connections.filter((r) => fits(r, c)).length !== 1);
  t.strictSame(odd.map(describe), [], 'every connection has its expectation');
  const empty = connections.filter((r) => !run.connections.some((c) => fits(r, c)));
  t.strictSame(
    empty.map((r) => `${r.from} -> ${r.to} ${r.protocol} ${r.port}`),
    [],
    'every expectation has its connection',
  );
}

function checkRow(t: Tap, golden: GoldenCase, stack: string, row: Row, run: CaseRun): void {
  const fate = fateOn(row, stack);
  t.ok(row.source in golden.expected.sources, `${row.source} is a source that the case names`);
  const found = run.connections.filter((c) => fits(row, c));
  for (const c of found) {
    const what = `${describe(c)}: ${row.because}`;
    t.equal(c.verdict, fate.verdict, what);
    const isProved = row.answered !== false && ['denied', 'broken'].includes(fate.verdict);
    t.equal(c.contradicted, isProved, `${describe(c)}: contradicted only by an answer`);
    if (fate.reason !== undefined) t.equal(c.reason, fate.reason, `${describe(c)}: reason`);
    if (fate.at !== undefined) t.equal(c.decidedBy?.node, fate.at, `${describe(c)}: where`);
    if (fate.by !== undefined) checkDecision(t, golden, fate, fate.by, c);
  }
  if (row.openings === undefined) return;
  const openings: Record<string, number> = {};
  for (const c of found) openings[c.opening] = (openings[c.opening] ?? 0) + 1;
  t.strictSame(openings, row.openings, `${row.from} -> ${row.to}: openings seen and assumed`);
}

/** A deny names all who isolate; an allow names one of those that let it pass; each by its line. */
function checkDecision(
  t: Tap,
  golden: GoldenCase,
  fate: Fate,
  by: Readonly<Record<string, number>>,
  c: ConnectionResult,
): void {
  const named = (c.decidedBy?.policies ?? []).map((id) => id.replace(/^.*\/NetworkPolicy\//, ''));
  const may = Object.keys(by).sort();
  if (may.length === 0) {
    t.strictSame(named, [], `${describe(c)}: no policy has a say`);
    return;
  }
  if (fate.verdict === 'allowed') {
    t.ok(named.length > 0 && named.every((name) => may.includes(name)), `${describe(c)}: by whom`, {
      found: named,
      wanted: may,
    });
  } else {
    t.strictSame([...named].sort(), may, `${describe(c)}: by whom`);
  }
  const files = golden.files.map((file) => basename(file));
  const [, file = '', line = ''] = /([^/]*):(\d+)$/.exec(c.decidedBy?.source ?? '') ?? [];
  const policy = (c.decidedBy?.policy ?? '').replace(/^.*\/NetworkPolicy\//, '');
  t.ok(files.includes(file), `${describe(c)}: a file of the case`, { found: c.decidedBy?.source });
  t.equal(Number(line), by[policy], `${describe(c)}: the line of ${policy}`);
}

/** Every frame has one outcome, and those counted by hand are as counted. */
function checkBalance(t: Tap, golden: GoldenCase, stack: string, run: CaseRun): void {
  const { counts } = run.summary;
  const sum = FRAME_OUTCOMES.reduce((total, name) => total + counts.outcomes[name], 0);
  t.equal(sum, run.lengths.size, 'every frame has one outcome');
  const rows = run.frames.filter((row) => row.frame !== null);
  t.equal(new Set(rows.map((row) => row.frame)).size, run.lengths.size, 'every frame has one row');
  const { frames, notes } = golden.expected;
  const wanted = frames[stack] ?? frames[engineOf(stack)];
  t.ok(wanted, `the case counts frames on ${stack}`);
  for (const [outcome, count] of Object.entries(wanted ?? {})) {
    const found = rows.filter((row) => row.protocol !== 'arp' && row.outcome === outcome);
    t.equal(found.length, count, `IP frames ${outcome}`);
  }
  for (const [note, count] of Object.entries(notes ?? {})) {
    t.equal(counts.notes[note] ?? 0, count, `frames noted ${note}`);
  }
}

function checkTrace(t: Tap, golden: GoldenCase, stack: string, run: CaseRun): void {
  const path = join(GOLDEN, golden.name, `want.${stack}.trace`);
  const trace = formatTrace(run, golden.trace);
  if (UPDATE) writeFileSync(path, trace);
  const want = existsSync(path)
    ? readFileSync(path, 'utf8')
    : `no ${path}: npm run golden makes it`;
  t.equal(trace, want, path);
}
