/**
 * From `-f` arguments to texts: files, folders, globs, and `-`.
 *
 * A folder gives its .yaml, .yml and .json files in order of name, as kubectl takes them; a glob is
 * expanded here (`*`, `?`, `[…]`, and `**` for any depth), so that quoting it changes nothing.
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { SourceText } from './tree.ts';
import { sourceText } from './tree.ts';

export interface ReadOptions {
  /** Read folders with all their sub-folders. */
  readonly recursive?: boolean;
  /** What `-` stands for; absent: `-` is refused. */
  readonly readStdin?: () => Uint8Array;
}

export interface ReadTexts {
  readonly texts: readonly SourceText[];
  /** Paths that could not be read. */
  readonly problems: readonly Diagnostic[];
}

const MANIFEST = /\.(ya?ml|json)$/;

/** Read everything that `paths` name; a file named twice is read once. */
export function readTexts(paths: readonly string[], options: ReadOptions): ReadTexts {
  const texts = new Map<string, SourceText>();
  const problems: Diagnostic[] = [];
  const fail = (file: string, message: string, accepted?: string) => {
    problems.push({
      code: 'FILE_UNREADABLE',
      file,
      message,
      ...(accepted === undefined ? {} : { accepted }),
    });
  };
  for (const path of paths) {
    if (path === '-') {
      const { readStdin } = options;
      const text = readStdin ? read('<stdin>', readStdin, fail) : null;
      if (text !== null) texts.set('-', sourceText('<stdin>', text));
      if (!readStdin) fail('-', 'standard input can not be read here');
      continue;
    }
    for (const file of expand(path, options.recursive === true, fail)) {
      const key = resolve(file);
      if (texts.has(key)) continue;
      const text = read(file, () => readFileSync(file), fail);
      if (text !== null) texts.set(key, sourceText(file, text));
    }
  }
  return { texts: [...texts.values()], problems };
}

/** The files that `paths` name, folders and globs opened; what is not there is left out. */
export function manifestFiles(paths: readonly string[], recursive: boolean): readonly string[] {
  const names = paths.filter((path) => path !== '-');
  return names.flatMap((path) => expand(path, recursive, () => {}));
}

type Fail = (file: string, message: string, accepted?: string) => void;

function read(file: string, bytes: () => Uint8Array, fail: Fail): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes());
  } catch (error) {
    if (error instanceof TypeError) fail(file, 'not a text file', 'UTF-8 text');
    else fail(file, reason(error));
    return null;
  }
}

/** What the system said, without its code and path: `no such file or directory`. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^[A-Z]+: /, '').replace(/, .*$/, '');
}

function expand(path: string, recursive: boolean, fail: Fail): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) {
    const found = folder(path, recursive, fail);
    if (found.length === 0) {
      fail(path, 'no manifest in this folder', '.yaml, .yml or .json files (-R looks deeper)');
    }
    return found;
  }
  if (stat) return [path];
  if (!/[*?[]/.test(path)) {
    fail(path, 'no such file or directory');
    return [];
  }
  const found = glob(path);
  if (found.length === 0) fail(path, 'no file matches');
  return found;
}

function folder(path: string, recursive: boolean, fail: Fail): readonly string[] {
  const found: string[] = [];
  for (const entry of list(path, fail)) {
    const full = join(path, entry);
    const stat = statSync(full, { throwIfNoEntry: false });
    if (stat?.isDirectory()) {
      if (recursive) found.push(...folder(full, recursive, fail));
    } else if (MANIFEST.test(entry)) {
      found.push(full);
    }
  }
  return found;
}

function list(path: string, fail: Fail): readonly string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    fail(path, reason(error));
    return [];
  }
}

function glob(pattern: string): readonly string[] {
  const parts = pattern.split('/').filter((p) => p !== '' && p !== '.');
  const start = isAbsolute(pattern) ? '/' : '';
  return [...new Set(matches(start, parts))];
}

function matches(base: string, parts: readonly string[]): readonly string[] {
  const [part, ...rest] = parts;
  if (part === undefined) return statSync(base, { throwIfNoEntry: false })?.isFile() ? [base] : [];
  const here = list(base === '' ? '.' : base, () => {});
  if (part === '**') {
    const below = here
      .map((name) => join(base, name))
      .filter((p) => statSync(p, { throwIfNoEntry: false })?.isDirectory());
    return [...matches(base, rest), ...below.flatMap((p) => matches(p, parts))];
  }
  if (!/[*?[]/.test(part)) return matches(join(base, part), rest);
  const pattern = wildcard(part);
  return here.filter((n) => pattern.test(n)).flatMap((n) => matches(join(base, n), rest));
}

/** A shell pattern for one name; a leading dot must be written. */
function wildcard(part: string): RegExp {
  const body = part
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
    .replaceAll('[!', '[^');
  return new RegExp(`^${part.startsWith('.') ? '' : '(?!\\.)'}${body}$`);
}
