/**
 * From files to objects: what is read, in which order, and what a scalar means.
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { gather, loadObjects } from '../../src/cluster/manifest/load.ts';
import { parseJson } from '../../src/cluster/manifest/parse-json.ts';
import { parseYaml, resolvePlain } from '../../src/cluster/manifest/parse-yaml.ts';
import { get, placeOf, sourceText, type Tree, toPlain } from '../../src/cluster/manifest/tree.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { loadInputs } from '../../src/policy/inputs.ts';

const namespace = (name: string) => `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}}\n`;
const ids = (paths: readonly string[], options = {}) =>
  loadObjects(paths, options).objects.map((o) => o.id);

t.test('files, folders, globs and standard input', async (t) => {
  const dir = t.testdir({});
  mkdirSync(join(dir, 'deep'));
  for (const [file, text] of [
    ['b.yaml', `${namespace('b')}---\n# nothing\n---\n${namespace('b2')}`],
    ['a.yml', namespace('a')],
    ['c.json', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"c"}}'],
    ['notes.txt', 'not a manifest'],
    ['deep/d.yaml', namespace('d')],
  ] as const) {
    writeFileSync(join(dir, file), text);
  }
  const of = (...names: readonly string[]) => names.map((n) => `Namespace/${n}`);
  t.same(ids([dir]), of('a', 'b', 'b2', 'c'), 'a folder: its manifests by name');
  t.same(ids([dir], { recursive: true }), of('a', 'b', 'b2', 'c', 'd'), '-R');
  t.same(ids([join(dir, '*.y*ml')]), of('a', 'b', 'b2'), 'a glob');
  t.same(ids([join(dir, '**', '[d-z].yaml')]), of('d'), 'a glob of any depth');
  t.same(ids([join(dir, 'a.yml'), join(dir, 'a.yml')]), of('a'), 'a file named twice');
  t.same(ids([join(dir, 'a.yml'), `${dir}/./a.yml`]), of('a'), 'in two ways');
  t.same(ids(['-'], { readStdin: () => Buffer.from(namespace('s')) }), of('s'), 'standard input');
});

t.test('standard input is held to what files are held to', async (t) => {
  const readStdin = () => Buffer.from([0x61, 0x3a, 0x20, 0xff]);
  const message = '<stdin>: not a text file (accepted: UTF-8 text) [FILE_UNREADABLE]';
  t.throws(() => loadInputs(['-'], { readStdin }), { message });
});

t.test('what can not be read is an input error, beside the other mistakes', async (t) => {
  const dir = t.testdir({
    'bad.yaml': 'a: [',
    empty: {},
    'b.bin': Buffer.from([0xff, 0xfe, 0x00]),
  });
  const paths = ['none.yaml', 'empty', 'bad.yaml', 'x*.yaml', 'b.bin'].map((f) => join(dir, f));
  try {
    loadInputs([...paths, '-']);
    t.fail('must throw');
  } catch (error) {
    t.ok(error instanceof UserError);
    const { fault, diagnostics } = error as UserError;
    t.equal(fault, 'input');
    t.same(
      diagnostics.map((d) => `${d.code} ${d.message}`),
      [
        'FILE_UNREADABLE no such file or directory',
        'FILE_UNREADABLE no manifest in this folder',
        'FILE_UNREADABLE no file matches',
        'FILE_UNREADABLE not a text file',
        'FILE_UNREADABLE standard input can not be read here',
        'YAML_SYNTAX Flow sequence in block collection must be sufficiently indented and end with a ]',
      ],
    );
  }
});

t.test('lists are opened, typed ones and those of bundles whose items say nothing', async (t) => {
  const list = (kind: string, item: object) =>
    JSON.stringify({ apiVersion: 'v1', kind, metadata: {}, items: [item] });
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } };
  for (const text of [list('List', pod), list('PodList', { metadata: { name: 'p' } })]) {
    const found = gather([sourceText('f.json', text)]);
    t.same(found.problems, []);
    t.same(
      found.objects.map((o) => o.id),
      ['default/Pod/p'],
      text.slice(0, 40),
    );
  }
});

t.test('harmless kinds are counted', async (t) => {
  const text = ['Secret', 'ConfigMap', 'ServiceAccount', 'Secret']
    .map((kind, i) => `apiVersion: v1\nkind: ${kind}\nmetadata: {name: n${i}}`)
    .join('\n---\n');
  const found = gather([sourceText('f.yaml', text)]);
  t.same(
    [...found.ignored],
    [
      ['Secret', 2],
      ['ConfigMap', 1],
      ['ServiceAccount', 1],
    ],
  );
  t.same(found.problems, []);
});

t.test('an unquoted word means what it means to the API server', async (t) => {
  const rows: readonly (readonly [string, string | number | boolean | null])[] = [
    ['yes', true],
    ['Off', false],
    ['y', 'y'],
    ['N', 'N'],
    ['~', null],
    ['', null],
    ['010', 8],
    ['0o10', 8],
    ['0x1F', 31],
    ['1_000', 1000],
    ['-5', -5],
    ['1.5', 1.5],
    ['1e3', 1000],
    ['12:34:56', '12:34:56'],
    ['10.0.0.1', '10.0.0.1'],
    ['fd00::1', 'fd00::1'],
    ['1.2.3', '1.2.3'],
    ['09', 9],
    ['2024-01-01', '2024-01-01'],
    ['.', '.'],
    ['-', '-'],
  ];
  for (const [word, want] of rows) t.equal(resolvePlain(word), want, JSON.stringify(word));
});

t.test('JSON and YAML of one value are one tree, places included', async (t) => {
  const text = '{"a": [1, "x\\u00e9", {"b": null}],\n "c": {"d": -1.5e2}}';
  const json = parseJson(sourceText('f', text));
  const yaml = parseYaml(sourceText('f', text));
  t.same(json.problems, []);
  t.same(toPlain(json.documents[0]!), JSON.parse(text));
  t.same(toPlain(yaml.documents[0]!), JSON.parse(text));
  const at = (d: typeof json) => placeOf(get(d.documents[0], 'c', 'd')!);
  t.same(at(json), { file: 'f', line: 2, column: 13 });
  t.same(at(yaml), at(json));
});

t.test('anchors, merge keys, and a bomb of aliases', async (t) => {
  const merged = parseYaml(sourceText('f', 'x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}'));
  t.same(toPlain(get(merged.documents[0], 'y')!), { a: 1, b: 3 });
  const levels = Array.from({ length: 9 }, (_, i) => {
    const row = Array.from({ length: 10 }, () => (i === 0 ? 'lol' : `*a${i - 1}`));
    return `a${i}: &a${i} [${row.join(', ')}]`;
  });
  const bomb = parseYaml(sourceText('f', levels.join('\n')));
  t.match(bomb.problems[0]?.message, /aliases expand to more than 100000 values/);
});

t.test('a manifest without end of nesting is refused, not followed', async (t) => {
  const { problems } = parseJson(sourceText('f', '['.repeat(100_000)));
  t.match(problems[0]?.message, /nested deeper than 200/);
});

t.test('members of a list read one by one are those of a list read at once', async (t) => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double()),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.string({ maxLength: 4 }), tie('value'), { maxKeys: 4 }),
    ),
  })).value;
  const breaks = fc.option(fc.tuple(fc.nat(), fc.constantFrom('', '}', ']', '"', '\\', ',', ':')));
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), fc.boolean(), breaks, (list, first, cut) => {
      const whole = JSON.stringify(
        first ? { items: list, kind: 1 } : { kind: 1, items: list },
        null,
        1,
      );
      const at = cut ? cut[0] % whole.length : 0;
      const text = cut ? whole.slice(0, at) + cut[1] + whole.slice(at + 1) : whole;
      const source = sourceText('f', text);
      const now = parseJson(source);
      const later = parseJson(source, true);
      t.equal(later.documents.length, now.documents.length);
      now.documents.forEach((document, i) => {
        const items = get(later.documents[i], 'items');
        const members = items && later.postponed?.get(items);
        const all = members ? [...members] : items?.kind === 'list' ? items.items : [];
        const want = get(document, 'items');
        const plain = (trees: readonly Tree[]) => trees.map((m) => [toPlain(m), m.at]);
        t.strictSame(plain(all), plain(want?.kind === 'list' ? want.items : []));
      });
      const shown = (p: typeof now) => p.problems.map((q) => `${q.at} ${q.message}`).toSorted();
      t.strictSame(shown(later), shown(now), text);
    }),
    { seed: 1, numRuns: 400 },
  );
});

t.test('a mistake in one member of a list is found at its place', async (t) => {
  const pod = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"nodeName":"n"}}';
  const twice = pod.replace('"spec"', '"spec":{},"spec"');
  const text = `{"items":[\n${pod},\n${twice}\n],"apiVersion":"v1","kind":"List"}`;
  const found = gather([sourceText('f.json', text)]);
  t.strictSame(
    found.problems.map((p) => `${p.code} ${p.line}:${p.column} ${p.message}`),
    [
      'DUPLICATE_OBJECT 3:1 given twice: first at f.json:2',
      'DUPLICATE_KEY 3:67 duplicate field "spec"',
    ],
  );
});

t.test('an object that somebody takes is not kept', async (t) => {
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: ['Pod', 'Node'].map((kind) => ({ apiVersion: 'v1', kind, metadata: { name: 'x' } })),
  });
  const taken: string[] = [];
  const found = gather([sourceText('f.json', text)], [], false, ({ id, kind }) => {
    taken.push(id);
    return kind === 'Pod';
  });
  t.strictSame(taken, ['default/Pod/x', 'Node/x']);
  t.strictSame(
    found.objects.map((o) => o.id),
    ['Node/x'],
  );
});
