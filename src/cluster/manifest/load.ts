/**
 * From files to objects: every document found, lists opened, kinds judged, names settled, and each
 * object's fields checked against its kind.
 *
 * Nothing is thrown here: problems are collected, so that later stages can add theirs and a user
 * sees all mistakes at once.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { isRedacted, withoutRedacted } from '../decode/redacted.ts';
import {
  isManagedCluster,
  overManagedCluster,
  wiringOfManagedCluster,
} from '../decode/wiring/managed-cluster.ts';
import { notEmulated } from '../decode/wiring/schema.ts';
import { formatSource, type SourceRef } from '../model.ts';
import { FieldErrors, toDiagnostic } from './field-error.ts';
import { CONFIG_MAP_NAMES, judgeKind } from './kinds.ts';
import type { ParsedText } from './parse-json.ts';
import { parseJson } from './parse-json.ts';
import { parseYaml } from './parse-yaml.ts';
import type { ReadOptions } from './read-files.ts';
import { readTexts } from './read-files.ts';
import { checkShape } from './schema.ts';
import type { MapTree, SourceText, Tree } from './tree.ts';
import { get, items, placeAt, placeOf, text, withDefault, withValue } from './tree.ts';

export interface LoadOptions extends ReadOptions {
  /** Skip, and count, kinds that would change verdicts and are not emulated. */
  readonly ignoreUnsupported?: boolean;
}

/** One object of a kind that we load. */
export interface LoadedObject {
  readonly kind: string;
  /** Empty for kinds without namespace. */
  readonly namespace: string;
  readonly name: string;
  /** `shop/NetworkPolicy/deny-all`, `Node/node-a`. */
  readonly id: string;
  readonly tree: MapTree;
}

export interface Documents {
  readonly objects: readonly LoadedObject[];
  readonly wirings: readonly MapTree[];
  /** Objects of kinds that we load, those that were taken at once included. */
  readonly loaded: number;
  /** Objects that do not bear on packets, by kind; and `(redacted address)`. */
  readonly ignored: ReadonlyMap<string, number>;
  /** Objects skipped by `ignoreUnsupported`, by `apiVersion kind`. */
  readonly unsupported: ReadonlyMap<string, number>;
  readonly files: readonly string[];
  /** Paths that could not be read. */
  readonly unreadable: readonly Diagnostic[];
  /** Mistakes in what was read. */
  readonly problems: readonly Diagnostic[];
}

interface Gathering {
  readonly objects: LoadedObject[];
  readonly wirings: MapTree[];
  /** Wirings of `az aks show`. */
  readonly managed: MapTree[];
  readonly ignored: Map<string, number>;
  readonly unsupported: Map<string, number>;
  readonly problems: Diagnostic[];
  readonly named: NamedObjects;
  readonly consume: Consumer;
  /** Files with blacked-out addresses. */
  readonly redacted: ReadonlySet<SourceText>;
  readonly ignoreUnsupported: boolean;
  loaded: number;
  generated: number;
}

/**
 * Takes an object as soon as it is found, and says whether it is done with it: what nobody takes is
 * kept in `Documents.objects`. Objects of a large cluster are far larger than what is made of them.
 */
export type Consumer = (object: LoadedObject) => boolean;

/** Read files, folders, globs or `-`, and take every object in them. */
export function loadObjects(
  paths: readonly string[],
  options: LoadOptions = {},
  consume: Consumer = () => false,
): Documents {
  const read = readTexts(paths, options);
  return gather(read.texts, read.problems, options.ignoreUnsupported === true, consume);
}

/** Take every object in texts already read. */
export function gather(
  texts: readonly SourceText[],
  unreadable: readonly Diagnostic[] = [],
  ignoreUnsupported = false,
  consume: Consumer = () => false,
): Documents {
  const g: Gathering = {
    objects: [],
    wirings: [],
    managed: [],
    ignored: new Map(),
    unsupported: new Map(),
    problems: [],
    named: new NamedObjects(),
    consume,
    redacted: new Set(texts.filter(isRedacted)),
    ignoreUnsupported,
    loaded: 0,
    generated: 0,
  };
  for (const source of texts) {
    const parsed = parse(source);
    for (const document of parsed.documents) take(g, document, '', '', parsed.postponed);
    for (const p of parsed.problems) {
      g.problems.push({ code: p.code, ...placeAt(source, p.at), message: p.message });
    }
  }
  return { ...g, wirings: settleWirings(g), files: texts.map((s) => s.file), unreadable };
}

/** JSON where it looks like JSON (as kubectl guesses), else YAML. */
function parse(source: SourceText): ParsedText {
  if (/^\ufeff?\s*[{[]/.test(source.text)) {
    const json = parseJson(source, true);
    const broken = json.problems.some((p) => p.code === 'JSON_SYNTAX');
    if (!broken || source.file.endsWith('.json')) return json;
  }
  return parseYaml(source);
}

/** Take one document; `listVersion` and `listKind` are what a list says of its items. */
function take(
  g: Gathering,
  tree: Tree,
  listVersion: string,
  listKind: string,
  postponed?: ReadonlyMap<Tree, Iterable<Tree>>,
): void {
  const kind = text(get(tree, 'kind')) ?? listKind;
  const apiVersion = text(get(tree, 'apiVersion')) ?? listVersion;
  if (tree.kind !== 'map') {
    g.problems.push(notAnObject(tree));
    return;
  }
  if (apiVersion === '' && isManagedCluster(tree)) {
    const wiring = wiringOfManagedCluster(tree);
    g.managed.push(wiring);
    refuseWiring(g, wiring);
    return;
  }
  const list = get(tree, 'items');
  if (/List$/.test(kind) && (list || kind === 'List')) {
    const single = kind === 'List' ? '' : kind.slice(0, -'List'.length);
    const members = (list && postponed?.get(list)) ?? items(list);
    for (const item of members) take(g, item, single === '' ? '' : apiVersion, single);
    return;
  }
  if (kind === '' || apiVersion === '') {
    const missing = kind === '' ? 'kind' : 'apiVersion';
    problem(
      g,
      tree,
      'OBJECT_KIND',
      `\`${missing}\` is missing`,
      'an object with apiVersion and kind',
    );
    return;
  }
  const verdict = judgeKind(apiVersion, kind);
  switch (verdict.action) {
    case 'load':
      if (
        kind === 'ConfigMap' &&
        !CONFIG_MAP_NAMES.test(text(get(tree, 'metadata', 'name')) ?? '')
      ) {
        count(g.ignored, kind, 1);
        return;
      }
      accept(g, tree, kind, verdict.known.namespaced, verdict.known.shape);
      return;
    case 'wiring':
      g.wirings.push(tree);
      refuseWiring(g, tree);
      return;
    case 'ignore':
      count(g.ignored, kind, 1);
      return;
    case 'unsupported':
      refuse(g, tree, `${apiVersion} ${kind}`, verdict.because);
      return;
    case 'version': {
      const at = get(tree, 'apiVersion') ?? tree;
      problem(g, at, 'API_VERSION', noMatch(apiVersion, kind), verdict.versions.join(', '));
      return;
    }
    case 'unknown': {
      const at = get(tree, 'kind') ?? tree;
      // An API server newer than our list may have it.
      if (g.ignoreUnsupported) count(g.unsupported, `${apiVersion} ${kind}`, 1);
      else problem(g, at, 'KIND_UNKNOWN', noMatch(apiVersion, kind), verdict.accepted);
      return;
    }
  }
}

/** What kubectl says of a kind that the API server does not have. */
function noMatch(apiVersion: string, kind: string): string {
  return `no matches for kind "${kind}" in version "${apiVersion}"`;
}

function refuseWiring(g: Gathering, wiring: MapTree): void {
  for (const field of notEmulated(wiring)) {
    const at = get(wiring, field) ?? wiring;
    refuse(g, at, `Wiring ${field}`, 'this is not emulated yet');
  }
}

/** What `az aks show` says is part of the wiring document beside it, or is the wiring itself. */
function settleWirings(g: Gathering): readonly MapTree[] {
  const [managed, ...others] = g.managed;
  const [wiring, ...more] = g.wirings;
  if (managed === undefined) return g.wirings;
  if (wiring === undefined) return [managed, ...others];
  return [overManagedCluster(wiring, managed), ...more, ...others];
}

function count(counts: Map<string, number>, what: string, by: number): void {
  counts.set(what, (counts.get(what) ?? 0) + by);
}

function problem(g: Gathering, at: Tree, code: string, message: string, accepted: string): void {
  g.problems.push({ code, ...placeOf(at), message, accepted });
}

/** A document that is a text, with its beginning, or a list. */
function notAnObject(tree: Tree): Diagnostic {
  const words = text(tree)?.replace(/\s+/g, ' ').slice(0, 60);
  return {
    code: 'OBJECT_KIND',
    ...placeOf(tree),
    message: 'not a Kubernetes object',
    ...(words === undefined ? {} : { found: JSON.stringify(words) }),
    accepted: 'a map with apiVersion and kind',
  };
}

function refuse(g: Gathering, tree: Tree, what: string, because: string): void {
  if (g.ignoreUnsupported) {
    count(g.unsupported, what, 1);
    return;
  }
  const name = text(get(tree, 'metadata', 'name'));
  const namespace = text(get(tree, 'metadata', 'namespace'));
  g.problems.push({
    code: 'KIND_UNSUPPORTED',
    ...placeOf(tree),
    object: [namespace, what, name].filter((part) => part !== undefined).join('/'),
    message: `${because}, and it may change verdicts; leave it out, or skip it with --ignore-unsupported`,
  });
}

function accept(
  g: Gathering,
  given: MapTree,
  kind: string,
  namespaced: boolean,
  shape: Parameters<typeof checkShape>[1] | null,
): void {
  const clear = g.redacted.has(given.source) ? withoutRedacted(given) : { tree: given, count: 0 };
  if (clear.count > 0) count(g.ignored, '(redacted address)', clear.count);
  const tree = settleNames(g, clear.tree, namespaced);
  const name = text(get(tree, 'metadata', 'name')) ?? '';
  const namespace = namespaced ? (text(get(tree, 'metadata', 'namespace')) ?? '') : '';
  const id = namespaced ? `${namespace}/${kind}/${name}` : `${kind}/${name}`;
  const loaded: LoadedObject = { kind, namespace, name, id, tree };
  if (shape) {
    const errors = new FieldErrors();
    checkShape(errors, shape, tree, '');
    g.problems.push(...errors.all.map((e) => toDiagnostic(e, id)));
  }
  const earlier = name === '' ? null : g.named.add(loaded);
  if (earlier) {
    const message = `given twice: first at ${formatSource(earlier)}`;
    g.problems.push({ code: 'DUPLICATE_OBJECT', ...placeOf(tree), object: id, message });
    return;
  }
  g.loaded++;
  if (!g.consume(loaded)) g.objects.push(loaded);
}

/** A text is shorter: V8's longest string. */
const LONGEST_TEXT = 2 ** 29;

/** Where each object stands, by kind, namespace and name: places only, no objects. */
class NamedObjects {
  readonly #places = new Map<string, Map<string, Map<string, number>>>();
  readonly #numbers = new Map<SourceText, number>();

  /** Remember an object; where one of the same name stands already, its place instead. */
  add({ kind, namespace, name, tree }: LoadedObject): SourceRef | null {
    const names = within(within(this.#places, kind), namespace);
    const known = names.get(name);
    if (known === undefined) {
      const number = this.#numbers.get(tree.source) ?? this.#numbers.size;
      this.#numbers.set(tree.source, number);
      names.set(name, number * LONGEST_TEXT + tree.at);
      return null;
    }
    const source = [...this.#numbers.keys()][Math.floor(known / LONGEST_TEXT)] ?? tree.source;
    return placeAt(source, known % LONGEST_TEXT);
  }
}

/** The map under a key, made when it is first needed. */
function within<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const found = maps.get(key) ?? new Map<string, V>();
  if (found.size === 0) maps.set(key, found);
  return found;
}

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';

/** The namespace that `kubectl apply` would use, and a name for `generateName`. */
function settleNames(g: Gathering, tree: MapTree, namespaced: boolean): MapTree {
  const meta = get(tree, 'metadata');
  if (meta?.kind !== 'map') return tree;
  let named = namespaced ? withDefault(meta, 'namespace', 'default') : meta;
  const prefix = text(get(named, 'generateName')) ?? '';
  if (get(named, 'name') === undefined && prefix !== '') {
    named = withDefault(named, 'name', `${prefix.slice(0, 58)}${generatedSuffix(++g.generated)}`);
  }
  return named === meta ? tree : withValue(tree, 'metadata', named);
}

/** Five letters as the API server would append; counted instead of drawn. */
function generatedSuffix(count: number): string {
  let rest = count;
  let suffix = '';
  for (let i = 0; i < 5; i++) {
    suffix = (SUFFIX[rest % SUFFIX.length] ?? '') + suffix;
    rest = Math.floor(rest / SUFFIX.length);
  }
  return suffix;
}
