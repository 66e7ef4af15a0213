/**
 * Dumps of real nodes, damaged: whatever somebody's editor, shell or network did to them, reading ends
 * with a plan that prints what stands there, or with messages that name the place.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import type { DumpFile } from '../../src/dump/file/dump-file.ts';
import { readDump } from '../../src/dump/read-dump.ts';
import { lower } from '../../src/lowering/link.ts';
import { parseIpsets, printIpsets } from '../../src/plan/ipset/text.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { sharedPath } from '../support/shared.ts';
import { routerPlan } from '../support/walks.ts';

const clusters = sharedPath('data/clusters');
const skip = clusters === null ? 'needs ../shared' : false;
const SEED = 20_261_121;

interface RealDump {
  readonly family: 4 | 6;
  readonly path: string;
  readonly lines: readonly string[];
  readonly others: readonly DumpFile[];
}

/** Rule sets of up to some hundred rules; larger ones only take longer. */
function dumps(): readonly RealDump[] {
  return readdirSync(clusters ?? '').flatMap((name) => {
    const folder = join(clusters ?? '', name);
    const files = readdirSync(folder).map((file) => join(folder, file));
    const path = files.find((file) => /ip6?tables-save\.txt$/.test(file));
    if (path === undefined) return [];
    const lines = readFileSync(path, 'utf8').split('\n');
    const others = files
      .filter((file) => /ipset-restore/.test(file))
      .map((file) => ({ path: file, text: readFileSync(file, 'utf8') }));
    return lines.length > 450
      ? []
      : [{ family: path.includes('ip6') ? 6 : 4, path, lines, others }];
  });
}

const real = skip ? [] : dumps();

const place = fc.double({ min: 0, max: 1, noNaN: true });
const damage = fc.record({
  kind: fc.constantFrom('lose', 'double', 'swap', 'cut', 'join', 'write'),
  at: place,
  to: place,
  put: fc.constantFrom('!', ' ', '"', '-m', '-j', '0', ':', '/33', ',', '\u0000', 'é', '--', '['),
});
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(lines: readonly string[], { kind, at, to, put }: Damage): readonly string[] {
  const i = Math.floor(at * (lines.length - 0.001));
  const j = Math.floor(to * (lines.length - 0.001));
  const line = lines[i];
  if (line === undefined) return lines;
  const column = Math.floor(to * line.length);
  switch (kind) {
    case 'lose':
      return lines.toSpliced(i, 1);
    case 'double':
      return lines.toSpliced(j, 0, line);
    case 'swap':
      return lines.with(i, lines[j] ?? '').with(j, line);
    case 'cut':
      return lines.slice(0, i).concat(line.slice(0, column));
    case 'join':
      return lines.toSpliced(i, 2, `${line} ${lines[i + 1] ?? ''}`);
    default:
      return lines.with(i, line.slice(0, column) + put + line.slice(column));
  }
}

/** What the kernel would hold: no comments, no counters. */
function content(lines: readonly string[]): readonly string[] {
  return lines
    .map((line) =>
      line
        .trim()
        .replace(/^\[\d+:\d+\] /, '')
        .replace(/ \[\d+:\d+\]$/, ''),
    )
    .filter((line) => line !== '' && !line.startsWith('#'));
}

t.test(
  'law: a damaged dump is refused by place, or every line of it is used',
  { skip },
  async (t) => {
    const counts = { read: 0, refused: 0 };
    fc.assert(
      fc.property(
        fc.nat(Math.max(0, real.length - 1)),
        fc.array(damage, { minLength: 1, maxLength: 3 }),
        (index, all) => {
          const dump = real[index];
          if (dump === undefined) return false;
          const lines = all.reduce(damaged, dump.lines);
          const files = [...dump.others, { path: dump.path, text: lines.join('\n') }];
          try {
            const { plan, warnings } = readDump('n', files);
            lower(plan);
            counts.read++;
            if (warnings.some(({ file }) => file === dump.path)) return true;
            const printed = content(
              printIptables(plan, dump.family, { keepOrder: true }).split('\n'),
            );
            const rules = (some: readonly string[]) =>
              some.filter((line) => line.startsWith('-A')).length;
            return rules(printed) === rules(content(lines));
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            counts.refused++;
            return error.diagnostics.every((d) => (d.file ?? d.object) !== undefined);
          }
        },
      ),
      { numRuns: 500, seed: SEED },
    );
    t.comment(JSON.stringify(counts));
    t.ok(counts.read > 100 && counts.refused > 100, 'both happen');
  },
);

t.test('the sets of a real node are printed back, member by member', { skip }, async (t) => {
  const all = real.flatMap(({ others }) => others);
  t.ok(all.length > 0, 'there is one');
  for (const { path, text } of all) {
    const ipsets = parseIpsets(text, path);
    const again = parseIpsets(printIpsets({ ...routerPlan().build(), ipsets }), path);
    t.strictSame(again, ipsets, 'read again, the same');
    const added = content(text.split('\n')).filter((line) => line.startsWith('add '));
    const members = ipsets.reduce((sum, set) => sum + set.members.length, 0);
    t.equal(members, added.length, 'no member is lost');
  }
});
