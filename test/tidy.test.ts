/**
 * The house inspects itself: who imports whom (ARCHITECTURE.md section 2 is the list), sizes, words
 * that must not stand in a room, and things that must not be used where results are made.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';

const ROOT = process.cwd();
const SRC = join(ROOT, 'src');

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

function readSources(): readonly SourceFile[] {
  return walk(SRC)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(path, 'utf8');
      const imports = [...text.matchAll(/(?:(?:from|import)\s+|\bimport\()'(\.[^']+)'/g)].map((m) =>
        join(dirname(path), m[1] ?? ''),
      );
      return { path, room: roomOf(path), text, imports };
    });
}

function roomOf(path: string): string {
  return relative(SRC, path).split('/')[0] ?? '';
}

function name(path: string): string {
  return relative(ROOT, path);
}

/** Rows of the table in ARCHITECTURE.md: `| room | what | may import |`. */
function readTable(): ReadonlyMap<string, ReadonlySet<string>> {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const rooms = [...text.matchAll(/^\| `([a-z]+)`\s*\|[^|\n]*\|([^|\n]*)\|$/gm)];
  const order = rooms.map((m) => m[1] ?? '');
  return new Map(
    rooms.map(([, room = '', may = '']) => {
      const above = may.includes('all above') ? order.slice(0, order.indexOf(room)) : [];
      const listed = may.split(/\s+/).filter((word) => order.includes(word));
      return [room, new Set([...above, ...listed, 'diagnostic', room])];
    }),
  );
}

const sources = readSources();
const table = readTable();

t.test('every room stands in the table of ARCHITECTURE.md, and no row is left over', async (t) => {
  const rooms = new Set(sources.map((f) => f.room).filter((room) => !room.endsWith('.ts')));
  t.strictSame([...table.keys()].sort(), [...rooms].sort());
});

t.test('rooms import only what the table allows', async (t) => {
  const wrong = sources.flatMap((f) =>
    f.imports
      .filter((target) => table.has(f.room) && !table.get(f.room)?.has(roomOf(target)))
      .map((target) => `${name(f.path)} imports ${name(target)}`),
  );
  t.strictSame(wrong, []);
});

t.test('no file imports itself by a circle', async (t) => {
  const graph = new Map(sources.map((f) => [f.path, f.imports]));
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      circles.push([...trail.slice(trail.indexOf(path)), path].map(name).join(' > '));
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  // A cycle of types only is erased; what remains must be none.
  const atRunTime = circles.filter((circle) => !isTypeOnly(circle.split(' > ')));
  t.strictSame(atRunTime, []);
});

/** Whether some edge of the circle imports types only, so that it is gone when the code runs. */
function isTypeOnly(circle: readonly string[]): boolean {
  return circle.slice(0, -1).some((from, i) => {
    const text = readFileSync(join(ROOT, from), 'utf8');
    const target = (circle[i + 1] ?? '').split('/').at(-1) ?? '';
    const lines = [...text.matchAll(/import (type )?[^;]*?from '([^']+)';/g)];
    const edges = lines.filter((m) => m[2]?.endsWith(target));
    return edges.length > 0 && edges.every((m) => m[1] !== undefined);
  });
}

t.test('files are at most 500 lines, lines at most 100 columns', async (t) => {
  const long = sources.flatMap((f) => {
    const lines = f.text.split('\n');
    const wide = lines.findIndex((line) => line.length > 100 && isProse(line));
    return [
      ...(lines.length > 501 ? [`${name(f.path)} has ${lines.length - 1} lines`] : []),
      ...(wide < 0 ? [] : [`${name(f.path)}:${wide + 1} is ${lines[wide]?.length} columns wide`]),
    ];
  });
  t.strictSame(long, []);
});

/** Comments are ours to break; code is the formatter's, which leaves long strings alone. */
function isProse(line: string): boolean {
  return /^\s*(\*|\/\/|\/\*\*)/.test(line) && !/https?:/.test(line);
}

t.test('what forwards knows no product', async (t) => {
  const rooms = new Set([
    'wire',
    'netfilter',
    'packet',
    'conntrack',
    'image',
    'lowering',
    'node',
    'engine',
  ]);
  const words = /\b(azure|npm|calico|felix|cilium|kube-?proxy|kubernetes|kubelet|aks)\b/i;
  const found = sources
    .filter((f) => rooms.has(f.room))
    .flatMap((f) =>
      f.text.split('\n').flatMap((line, i) => {
        const isSource = line.trimStart().startsWith('*') || line.trimStart().startsWith('//');
        const word = words.exec(line)?.[0];
        return word && !isSource ? [`${name(f.path)}:${i + 1} says ${word}`] : [];
      }),
    );
  t.strictSame(found, []);
});

t.test('no clock, no chance and no console outside the command line', async (t) => {
  const banned = /\b(Date\.now|Math\.random|performance\.now|console\.|process\.hrtime)/;
  const found = sources
    .filter((f) => f.room !== 'cli' && banned.test(f.text))
    .map((f) => name(f.path));
  t.strictSame(found, []);
});

t.test(
  'nothing is left undone, and nothing is said with any, enum or a default export',
  async (t) => {
    const banned: readonly (readonly [RegExp, string])[] = [
      [/\b(TODO|FIXME|XXX|HACK)\b/, 'unfinished'],
      [/^\s*export default\b/m, 'default export'],
      [/^\s*(export )?(const )?enum\b/m, 'enum'],
      [/^(?! *[/*])[^'`\n]*(: any\b|<any>|\bas any\b)/m, 'any'],
      [/export \* from/, 'export *'],
    ];
    const found = sources.flatMap((f) =>
      banned
        .filter(([pattern]) => pattern.test(f.text))
        .map(([, what]) => `${name(f.path)}: ${what}`),
    );
    t.strictSame(found, []);
  },
);

t.test('every file opens with what it is', async (t) => {
  const bare = sources.filter((f) => !/^(#!.*\n)?\/\*\*[\s\S]*?@module\n \*\//.test(f.text));
  t.strictSame(
    bare.map((f) => name(f.path)),
    [],
  );
});

t.test('the oracle is imported by tests only', async (t) => {
  const users = sources.filter((f) =>
    f.imports.some((path) => path.endsWith('policy/evaluate.ts')),
  );
  t.strictSame(
    users.map((f) => name(f.path)),
    [],
  );
});

t.test('no drawer files', async (t) => {
  const drawers = /\/(utils?|helpers?|common|misc|types)\.ts$/;
  t.strictSame(
    sources.filter((f) => drawers.test(f.path)).map((f) => name(f.path)),
    [],
  );
});

t.test('no file is an orphan', async (t) => {
  const used = new Set(sources.flatMap((f) => f.imports));
  const entries = new Set(['src/cli/main.ts', 'src/index.ts', 'src/policy/evaluate.ts']);
  const orphans = sources.filter((f) => !used.has(f.path) && !entries.has(name(f.path)));
  t.strictSame(
    orphans.map((f) => name(f.path)),
    [],
  );
});

t.test('no path of one machine stands in the project', async (t) => {
  const folders = ['src', 'test', 'bench', 'pcaps', 'native'].map((f) => join(ROOT, f));
  const files = folders.filter((f) => statSync(f, { throwIfNoEntry: false })).flatMap(walk);
  const texts = files.filter(
    (f) => /\.(ts|md|ya?ml|json|sh)$/.test(f) && !f.endsWith('tidy.test.ts'),
  );
  const found = texts.filter((f) => /(^|[^a-z.])\/(work|farm)\//m.test(readFileSync(f, 'utf8')));
  t.strictSame(found.map(name), []);
});
