/**
 * JSON (RFC 8259) into a tree that knows its places; also a stream of documents, as kubectl reads.
 *
 * Its own parser because JSON.parse keeps neither places nor duplicate keys, and the YAML parser
 * needs tens of times as long for the dumps of a large cluster.
 * @module
 */
import type { MapEntry, SourceText, SyntaxProblem, Tree } from './tree.ts';

/** Nesting beyond this is refused: no manifest is deeper, and a recursion must have an end. */
const MAX_DEPTH = 200;

export interface ParsedText {
  readonly documents: readonly Tree[];
  readonly problems: readonly SyntaxProblem[];
  /**
   * Lists that stand empty in their document, and their members, read one by one as they are asked
   * for (further problems are added as they are): a million trees at once are gigabytes.
   */
  readonly postponed?: ReadonlyMap<Tree, Iterable<Tree>>;
}

class JsonFault extends Error {
  readonly at: number;
  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

interface Cursor {
  readonly source: SourceText;
  readonly s: string;
  at: number;
  readonly problems: SyntaxProblem[];
  /** Strings met before, by a hash of them: equal ones are one. */
  readonly strings: string[];
  /** Where lists of a document's `items` are kept for later; null: they are read at once. */
  readonly postponed: Map<Tree, Iterable<Tree>> | null;
}

/**
 * Parse all JSON documents in a file; a syntax error ends the reading. `postpone`: the `items` of
 * documents are checked now and read later.
 */
export function parseJson(source: SourceText, postpone = false): ParsedText {
  const postponed = postpone ? new Map<Tree, Iterable<Tree>>() : null;
  const s = source.text;
  const cursor: Cursor = { source, s, at: 0, problems: [], strings: [], postponed };
  const documents: Tree[] = [];
  if (cursor.s.startsWith('\ufeff')) cursor.at = 1;
  try {
    for (;;) {
      skipSpace(cursor);
      if (cursor.at >= cursor.s.length) break;
      documents.push(value(cursor, 0));
    }
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    cursor.problems.push({ code: 'JSON_SYNTAX', at: error.at, message: error.message });
  }
  const { problems } = cursor;
  return postponed ? { documents, problems, postponed } : { documents, problems };
}

function skipSpace(c: Cursor): void {
  for (;;) {
    const code = c.s.charCodeAt(c.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    c.at++;
  }
}

function fault(c: Cursor, expected: string): JsonFault {
  const found = c.at >= c.s.length ? 'the end of the file' : JSON.stringify(c.s[c.at]);
  return new JsonFault(c.at, `expected ${expected}, found ${found}`);
}

function value(c: Cursor, depth: number): Tree {
  if (depth > MAX_DEPTH) throw new JsonFault(c.at, `nested deeper than ${MAX_DEPTH} levels`);
  skipSpace(c);
  const { source, at } = c;
  switch (c.s[at]) {
    case '{':
      return { kind: 'map', source, at, entries: members(c, depth) };
    case '[':
      return { kind: 'list', source, at, items: elements(c, depth) };
    case '"':
      return { kind: 'scalar', source, at, value: string(c) };
    default:
      return { kind: 'scalar', source, at, value: literal(c) };
  }
}

function members(c: Cursor, depth: number): ReadonlyMap<string, MapEntry> {
  const found = new Map<string, MapEntry>();
  c.at++;
  skipSpace(c);
  if (c.s[c.at] === '}') {
    c.at++;
    return found;
  }
  for (;;) {
    skipSpace(c);
    if (c.s[c.at] !== '"') throw fault(c, 'a key in double quotes');
    const keyAt = c.at;
    const key = string(c);
    skipSpace(c);
    if (c.s[c.at] !== ':') throw fault(c, '":"');
    c.at++;
    const later = depth === 0 && key === 'items' ? c.postponed : null;
    const entry = { keyAt, value: later ? laterList(c, later) : value(c, depth + 1) };
    if (found.has(key)) {
      c.problems.push({ code: 'DUPLICATE_KEY', at: keyAt, message: `duplicate field "${key}"` });
    }
    found.set(key, entry);
    skipSpace(c);
    const next = c.s[c.at];
    if (next !== ',' && next !== '}') throw fault(c, '"," or "}"');
    c.at++;
    if (next === '}') return found;
  }
}

function elements(c: Cursor, depth: number): readonly Tree[] {
  const found: Tree[] = [];
  c.at++;
  skipSpace(c);
  if (c.s[c.at] === ']') {
    c.at++;
    return found;
  }
  for (;;) {
    found.push(value(c, depth + 1));
    skipSpace(c);
    const next = c.s[c.at];
    if (next !== ',' && next !== ']') throw fault(c, '"," or "]"');
    c.at++;
    if (next === ']') return found;
  }
}

/** Longer strings are seldom met twice. */
const SHARED_LENGTH = 64;
const SHARED_STRINGS = 8192;

function string(c: Cursor): string {
  const { s } = c;
  const start = c.at;
  let end = start + 1;
  let plain = true;
  let hash = 0;
  for (;;) {
    const code = s.charCodeAt(end);
    if (Number.isNaN(code)) throw new JsonFault(start, 'a string without closing quote');
    if (code === 0x22) break;
    if (code < 0x20) throw new JsonFault(end, 'a control character inside a string');
    if (code === 0x5c) {
      plain = false;
      end++;
    }
    hash = (Math.imul(hash, 31) + code) | 0;
    end++;
  }
  c.at = end + 1;
  if (plain) {
    const length = end - start - 1;
    if (length > SHARED_LENGTH) return s.slice(start + 1, end);
    const place = (hash ^ (hash >>> 13)) & (SHARED_STRINGS - 1);
    const known = c.strings[place];
    if (known?.length === length && s.startsWith(known, start + 1)) return known;
    const found = s.slice(start + 1, end);
    c.strings[place] = found;
    return found;
  }
  try {
    return JSON.parse(c.s.slice(start, end + 1)) as string;
  } catch {
    throw new JsonFault(start, 'an invalid escape inside a string');
  }
}

const WORD = /[-+.\w]*/y;

function literal(c: Cursor): number | boolean | null {
  WORD.lastIndex = c.at;
  const found = WORD.exec(c.s)?.[0] ?? '';
  if (found === 'true' || found === 'false' || found === 'null') {
    c.at += found.length;
    return found === 'null' ? null : found === 'true';
  }
  if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(found)) throw fault(c, 'a value');
  c.at += found.length;
  return Number(found);
}

/** A list that is checked and stands empty; its members are read when they are asked for. */
function laterList(c: Cursor, later: Map<Tree, Iterable<Tree>>): Tree {
  skipSpace(c);
  if (c.s[c.at] !== '[') return value(c, 1);
  const tree: Tree = { kind: 'list', source: c.source, at: c.at, items: [] };
  const starts: number[] = [];
  skipMembers(c, ']', () => {
    skipSpace(c);
    starts.push(c.at);
    skipValue(c, 2);
  });
  later.set(tree, {
    *[Symbol.iterator]() {
      const member: Cursor = { ...c, at: 0, postponed: null };
      for (const at of starts) {
        member.at = at;
        yield value(member, 2);
      }
    },
  });
  return tree;
}

/** Go past a value that `value` would read, with its syntax errors. */
function skipValue(c: Cursor, depth: number): void {
  if (depth > MAX_DEPTH) throw new JsonFault(c.at, `nested deeper than ${MAX_DEPTH} levels`);
  skipSpace(c);
  switch (c.s[c.at]) {
    case '{':
      skipMembers(c, '}', () => {
        skipSpace(c);
        if (c.s[c.at] !== '"') throw fault(c, 'a key in double quotes');
        string(c);
        skipSpace(c);
        if (c.s[c.at] !== ':') throw fault(c, '":"');
        c.at++;
        skipValue(c, depth + 1);
      });
      return;
    case '[':
      skipMembers(c, ']', () => skipValue(c, depth + 1));
      return;
    case '"':
      string(c);
      return;
    default:
      literal(c);
  }
}

function skipMembers(c: Cursor, close: '}' | ']', skipMember: () => void): void {
  c.at++;
  skipSpace(c);
  if (c.s[c.at] === close) {
    c.at++;
    return;
  }
  for (;;) {
    skipMember();
    skipSpace(c);
    const next = c.s[c.at];
    if (next !== ',' && next !== close) throw fault(c, `"," or "${close}"`);
    c.at++;
    if (next === close) return;
  }
}
