/**
 * `-l` reads what kubectl reads (rows after apimachinery pkg/labels/selector_test.go).
 * @module
 */
import t from 'tap';
import { together } from '../../src/cli/mistakes.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { selects } from '../../src/policy/select.ts';
import { parseLabelSelector } from '../../src/report/label-selector.ts';

const LABELS = { app: 'shop', tier: 'web', 'example.com/zone': 'a-1' };

function mistake(act: () => unknown): UserError {
  try {
    act();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

t.test('a selector picks what kubectl picks', async (t) => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['app=shop', true],
    ['app==shop', true],
    ['app = shop', true],
    ['app=', false],
    ['app!=shop', false],
    ['none!=shop', true],
    ['tier in (web, db)', true],
    ['tier notin (web,db)', false],
    ['none notin (web)', true],
    ['tier', true],
    ['none', false],
    ['!none', true],
    ['!tier', false],
    ['app=shop,tier in (db,web),!none', true],
    ['app=shop,tier=db', false],
    ['example.com/zone=a-1', true],
  ];
  for (const [text, want] of rows) {
    const matchExpressions = parseLabelSelector(text);
    t.equal(selects({ matchLabels: {}, matchExpressions }, LABELS), want, text);
  }
});

t.test('what can not be read is refused, part by part', async (t) => {
  for (const [text, parts] of [
    ['', 1],
    ['=b', 1],
    ['a=b=c', 1],
    ['a in x', 1],
    ['a in (x', 1],
    ['a=b,,c', 1],
    ['a=-,b=*,c', 2],
  ] as const) {
    t.equal(mistake(() => parseLabelSelector(text)).diagnostics.length, parts, text);
  }
});

t.test('what is read together is refused together, with the highest fault', async (t) => {
  const refuse = (code: string, fault: 'usage' | 'input' | 'environment') => (): number => {
    throw new UserError([{ code, message: code }], fault);
  };
  t.strictSame(
    together(
      () => 1,
      () => 'two',
    ),
    [1, 'two'],
  );
  const both = mistake(() => together(() => 1, refuse('A', 'input'), refuse('B', 'usage')));
  t.match(both, { fault: 'input', diagnostics: [{ code: 'A' }, { code: 'B' }] });
  const worst = mistake(() => together(refuse('C', 'environment'), refuse('A', 'input')));
  t.equal(worst.fault, 'environment');
  const bug = new Error('ours');
  t.throws(() => {
    together(() => {
      throw bug;
    });
  }, bug);
});
