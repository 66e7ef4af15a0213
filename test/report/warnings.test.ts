/**
 * Warnings for people: a few of each kind, and how many there are.
 * @module
 */
import t from 'tap';
import { shownWarnings } from '../../src/report/text/warnings.ts';

const warnings = (code: string, count: number) =>
  Array.from({ length: count }, (_, i) => ({ code, object: `${code}-${i}`, message: 'odd' }));

t.test('a kind with many is cut short, the others are not', async (t) => {
  const few = warnings('FEW', 2);
  const shown = shownWarnings([...warnings('MANY', 1000), ...few]);
  t.strictSame(shown.slice(4), [
    'MANY-4: odd [MANY]',
    'and 995 more, -o json has all [MANY]',
    'FEW-0: odd [FEW]',
    'FEW-1: odd [FEW]',
  ]);
});

t.test('a single one more is shown itself', async (t) => {
  for (const [count, lines] of [
    [5, 5],
    [6, 6],
    [7, 6],
  ] as const) {
    const shown = shownWarnings(warnings('CODE', count));
    t.equal(shown.length, lines, String(count));
    t.equal(shown.at(-1)?.startsWith('and'), count === 7, String(count));
  }
});
