/**
 * YAML into a tree that knows its places.
 *
 * Plain scalars are resolved as Kubernetes' own reader does (sigs.k8s.io/yaml on go-yaml v2,
 * resolve.go): YAML 1.1's `yes`, `no`, `on`, `off` are booleans, `010` is octal; base-60 numbers
 * do not exist. One letter `y` and `n` stay strings (go-yaml has changed its mind about them, and
 * namespaces are called so).
 * @module
 */
import type { Alias, Document, Node as YamlNode } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, parseAllDocuments, Scalar } from 'yaml';
import type { ParsedText } from './parse-json.ts';
import type { MapEntry, SourceText, SyntaxProblem, Tree } from './tree.ts';

/** A document may grow this much by its aliases ("billion laughs"). */
const MAX_NODES_BY_ALIAS = 100_000;

interface Build {
  readonly source: SourceText;
  readonly document: Document.Parsed;
  readonly problems: SyntaxProblem[];
  aliasNodes: number;
}

/** Parse every document of a file; empty documents are left out. */
export function parseYaml(source: SourceText): ParsedText {
  const problems: SyntaxProblem[] = [];
  const documents: Tree[] = [];
  const parsed = parseAllDocuments(source.text, {
    version: '1.2',
    schema: 'failsafe',
    uniqueKeys: false,
    merge: true,
    logLevel: 'silent',
    prettyErrors: false,
  });
  for (const document of Array.isArray(parsed) ? parsed : []) {
    if (document.errors.length > 0) {
      for (const e of document.errors) {
        problems.push({ code: 'YAML_SYNTAX', at: e.pos[0], message: firstLine(e.message) });
      }
      continue;
    }
    const build: Build = { source, document, problems, aliasNodes: 0 };
    const tree = document.contents === null ? null : convert(build, document.contents, false);
    if (tree && !(tree.kind === 'scalar' && tree.value === null)) documents.push(tree);
  }
  return { documents, problems };
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message;
}

function convert(b: Build, node: YamlNode, inAlias: boolean): Tree {
  const { source } = b;
  const at = node.range?.[0] ?? 0;
  if (inAlias && ++b.aliasNodes > MAX_NODES_BY_ALIAS) {
    return { kind: 'scalar', source, at, value: null };
  }
  if (isAlias(node)) return convertAlias(b, node, at);
  if (isSeq(node)) {
    return {
      kind: 'list',
      source,
      at,
      items: node.items.map((item) => convert(b, item as YamlNode, inAlias)),
    };
  }
  if (isMap(node)) return { kind: 'map', source, at, entries: convertMap(b, node, inAlias) };
  const scalar = node as Scalar;
  return { kind: 'scalar', source, at, value: scalarValue(scalar) };
}

function convertAlias(b: Build, node: Alias, at: number): Tree {
  const before = b.aliasNodes;
  const target = node.resolve(b.document);
  const tree: Tree = target
    ? convert(b, target, true)
    : { kind: 'scalar', source: b.source, at, value: null };
  if (before <= MAX_NODES_BY_ALIAS && b.aliasNodes > MAX_NODES_BY_ALIAS) {
    const message = `aliases expand to more than ${MAX_NODES_BY_ALIAS} values`;
    b.problems.push({ code: 'YAML_SYNTAX', at, message });
  }
  return tree;
}

function convertMap(
  b: Build,
  node: { items: readonly unknown[] },
  inAlias: boolean,
): ReadonlyMap<string, MapEntry> {
  const found = new Map<string, MapEntry>();
  const merged: Tree[] = [];
  for (const pair of node.items as readonly { key: unknown; value: unknown }[]) {
    const keyNode = pair.key as YamlNode;
    const keyAt = keyNode?.range?.[0] ?? 0;
    const value: Tree =
      pair.value === null || pair.value === undefined
        ? { kind: 'scalar', source: b.source, at: keyAt, value: null }
        : convert(b, pair.value as YamlNode, inAlias);
    if (!isScalar(keyNode)) {
      b.problems.push({ code: 'YAML_SYNTAX', at: keyAt, message: 'a key must be a string' });
      continue;
    }
    const key = String(keyNode.source ?? keyNode.value ?? '');
    if (key === '<<' && keyNode.type === Scalar.PLAIN) {
      merged.push(...(value.kind === 'list' ? value.items : [value]));
      continue;
    }
    if (found.has(key)) {
      b.problems.push({ code: 'DUPLICATE_KEY', at: keyAt, message: `duplicate field "${key}"` });
    }
    found.set(key, { keyAt, value });
  }
  for (const tree of merged) {
    if (tree.kind !== 'map') continue;
    for (const [key, entry] of tree.entries) if (!found.has(key)) found.set(key, entry);
  }
  return found;
}

const BOOLEANS = new Map([
  ...['true', 'True', 'TRUE', 'yes', 'Yes', 'YES', 'on', 'On', 'ON'].map((w) => [w, true] as const),
  ...['false', 'False', 'FALSE', 'no', 'No', 'NO', 'off', 'Off', 'OFF'].map(
    (w) => [w, false] as const,
  ),
]);

function scalarValue(node: Scalar): string | number | boolean | null {
  const written = typeof node.value === 'string' ? node.value : String(node.value ?? '');
  const plain = node.type === Scalar.PLAIN || node.type === undefined;
  if (node.tag === 'tag:yaml.org,2002:str' && !plain) return written;
  if (!plain || node.tag === '!!str' || node.tag === '!') return written;
  return resolvePlain(written);
}

/** What an unquoted word means. */
export function resolvePlain(word: string): string | number | boolean | null {
  if (word === '' || word === '~' || /^(null|Null|NULL)$/.test(word)) return null;
  const boolean = BOOLEANS.get(word);
  if (boolean !== undefined) return boolean;
  if (!/^[-+.\d]/.test(word)) return word;
  const digits = word.replaceAll('_', '');
  const integer = /^([-+]?)(0x[0-9a-fA-F]+|0b[01]+|0o?[0-7]+|0|[1-9]\d*)$/.exec(digits);
  if (integer) {
    const body = integer[2] ?? '0';
    const size = /^0[0-7]+$/.test(body) ? Number.parseInt(body, 8) : Number(body);
    return integer[1] === '-' ? -size : size;
  }
  if (/^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/.test(digits)) return Number(digits);
  return word;
}
