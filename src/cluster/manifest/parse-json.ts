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
}

/** Parse all JSON documents in a file; a syntax error ends the reading. */
export function parseJson(source: SourceText): ParsedText {
  const cursor: Cursor = { source, s: source.text, at: 0, problems: [] };
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
  return { documents, problems: cursor.problems };
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
    const entry = { keyAt, value: value(c, depth + 1) };
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

function string(c: Cursor): string {
  const start = c.at;
  let end = start + 1;
  let plain = true;
  for (;;) {
    const code = c.s.charCodeAt(end);
    if (Number.isNaN(code)) throw new JsonFault(start, 'a string without closing quote');
    if (code === 0x22) break;
    if (code < 0x20) throw new JsonFault(end, 'a control character inside a string');
    if (code === 0x5c) {
      plain = false;
      end++;
    }
    end++;
  }
  c.at = end + 1;
  if (plain) return c.s.slice(start + 1, end);
  try {
    return JSON.parse(c.s.slice(start, end + 1)) as string;
  } catch {
    throw new JsonFault(start, 'an invalid escape inside a string');
  }
}

function literal(c: Cursor): number | boolean | null {
  const word = /[-+.\w]*/y;
  word.lastIndex = c.at;
  const found = word.exec(c.s)?.[0] ?? '';
  if (found === 'true' || found === 'false' || found === 'null') {
    c.at += found.length;
    return found === 'null' ? null : found === 'true';
  }
  if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(found)) throw fault(c, 'a value');
  c.at += found.length;
  return Number(found);
}
