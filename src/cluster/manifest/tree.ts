/**
 * A parsed manifest as a tree of values that know where they stand in their file.
 *
 * YAML and JSON both become this; everything later (strict decoding, validation, models) reads
 * only trees, so each complaint can name file, line and column.
 * @module
 */
import type { SourceRef } from '../model.ts';

/** A file's text and where its lines start. */
export interface SourceText {
  readonly file: string;
  readonly text: string;
  readonly lineStarts: readonly number[];
}

interface Placed {
  readonly source: SourceText;
  /** Offset of the value's first character. */
  readonly at: number;
}

export interface MapEntry {
  readonly keyAt: number;
  readonly value: Tree;
}

export interface MapTree extends Placed {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface ListTree extends Placed {
  readonly kind: 'list';
  readonly items: readonly Tree[];
}

export interface ScalarTree extends Placed {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
}

export type Tree = MapTree | ListTree | ScalarTree;

/** A mistake found while parsing. */
export interface SyntaxProblem {
  readonly code: 'YAML_SYNTAX' | 'JSON_SYNTAX' | 'DUPLICATE_KEY';
  readonly at: number;
  readonly message: string;
}

export function sourceText(file: string, text: string): SourceText {
  const lineStarts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) lineStarts.push(i + 1);
  return { file, text, lineStarts };
}

/** Line and column, both from 1, of an offset. */
export function placeAt(source: SourceText, at: number): SourceRef {
  const { lineStarts } = source;
  let low = 0;
  let high = lineStarts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((lineStarts[middle] ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  return { file: source.file, line: low + 1, column: at - (lineStarts[low] ?? 0) + 1 };
}

export function placeOf(tree: Tree): SourceRef {
  return placeAt(tree.source, tree.at);
}

/** The value of a map's key; `undefined` when absent, null, or when `tree` is no map. */
export function get(tree: Tree | undefined, ...keys: readonly string[]): Tree | undefined {
  let at: Tree | undefined = tree;
  for (const key of keys) {
    if (at?.kind !== 'map') return undefined;
    at = at.entries.get(key)?.value;
  }
  return at === undefined || isNull(at) ? undefined : at;
}

export function isNull(tree: Tree): boolean {
  return tree.kind === 'scalar' && tree.value === null;
}

/** A list's items, or none where there is no list. */
export function items(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : [];
}

/** A map's entries, or none. */
export function entries(tree: Tree | undefined): readonly (readonly [string, MapEntry])[] {
  return tree?.kind === 'map' ? [...tree.entries] : [];
}

/** The scalar as text, or `undefined` when it is absent or no string. */
export function text(tree: Tree | undefined): string | undefined {
  return tree?.kind === 'scalar' && typeof tree.value === 'string' ? tree.value : undefined;
}

export function number(tree: Tree | undefined): number | undefined {
  return tree?.kind === 'scalar' && typeof tree.value === 'number' ? tree.value : undefined;
}

export function boolean(tree: Tree | undefined): boolean | undefined {
  return tree?.kind === 'scalar' && typeof tree.value === 'boolean' ? tree.value : undefined;
}

/** The list's strings; other items are left out (strict decoding has complained about them). */
export function texts(tree: Tree | undefined): readonly string[] {
  return items(tree).flatMap((item) => text(item) ?? []);
}

const NOTHING: Readonly<Record<string, string>> = Object.freeze({});

/** A map of strings as a plain record. */
export function textMap(tree: Tree | undefined): Readonly<Record<string, string>> {
  if (tree === undefined) return NOTHING;
  const pairs = entries(tree).map(([key, e]) => [key, text(e.value) ?? ''] as const);
  return Object.fromEntries(pairs);
}

/** The plain value, as JSON.parse would give it. */
export function toPlain(tree: Tree): unknown {
  switch (tree.kind) {
    case 'scalar':
      return tree.value;
    case 'list':
      return tree.items.map(toPlain);
    case 'map':
      return Object.fromEntries([...tree.entries].map(([key, e]) => [key, toPlain(e.value)]));
  }
}

/** The map with `key` set, standing where the map stands unless the key was there. */
export function withValue(tree: MapTree, key: string, value: Tree): MapTree {
  const keyAt = tree.entries.get(key)?.keyAt ?? tree.at;
  return { ...tree, entries: new Map([...tree.entries, [key, { keyAt, value }]]) };
}

/** The map with `key` set to a scalar if it was absent or null. */
export function withDefault(tree: MapTree, key: string, value: string | number | boolean): MapTree {
  if (get(tree, key) !== undefined) return tree;
  return withValue(tree, key, { kind: 'scalar', source: tree.source, at: tree.at, value });
}
