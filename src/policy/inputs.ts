/**
 * Everything a run is given with `-f`, loaded, checked and filled: the cluster and its policies.
 * @module
 */
import { assembleCluster } from '../cluster/assemble.ts';
import { ClusterReader } from '../cluster/cluster-reader.ts';
import type { Documents, LoadOptions } from '../cluster/manifest/load.ts';
import { gather, loadObjects } from '../cluster/manifest/load.ts';
import { sourceText } from '../cluster/manifest/tree.ts';
import type { Cluster } from '../cluster/model.ts';
import type { Diagnostic } from '../diagnostic/diagnostic.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import { loadPolicies } from './load.ts';
import type { NetworkPolicy } from './model.ts';

export interface Inputs {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
  /** How many objects and wiring documents the cluster was made from. */
  readonly loaded: number;
  /** Objects that do not bear on packets, by kind, and how many. */
  readonly ignored: ReadonlyMap<string, number>;
  /** Objects of kinds that would bear on packets, skipped by `ignoreUnsupported`. */
  readonly unsupported: ReadonlyMap<string, number>;
  /** Files read, in order. */
  readonly files: readonly string[];
}

/**
 * Load files, folders, globs or `-`. All mistakes are thrown at once as one `UserError`: fault
 * `input` when a path can not be read, else `usage`.
 */
export function loadInputs(paths: readonly string[], options: LoadOptions = {}): Inputs {
  const reader = new ClusterReader();
  return settle(
    loadObjects(paths, options, (object) => reader.take(object)),
    reader,
  );
}

/** The same from text in memory, which messages call `file`. */
export function parseInputs(file: string, text: string, ignoreUnsupported = false): Inputs {
  const reader = new ClusterReader();
  const texts = [sourceText(file, text)];
  return settle(
    gather(texts, [], ignoreUnsupported, (object) => reader.take(object)),
    reader,
  );
}

function settle(documents: Documents, reader: ClusterReader): Inputs {
  const problems: Diagnostic[] = [...documents.problems];
  const policies = loadPolicies(documents.objects, problems);
  const cluster = assembleCluster(reader, documents, policies, problems);
  if (documents.unreadable.length > 0) {
    throw new UserError([...documents.unreadable, ...inOrder(first(problems))], 'input');
  }
  if (problems.length > 0) throw new UserError(inOrder(first(problems)), 'usage');
  const { ignored, unsupported, files } = documents;
  const loaded = documents.loaded + documents.wirings.length;
  return { cluster, policies, loaded, ignored, unsupported, files };
}

/** A value of the wrong type is one mistake: what else its field breaks follows from that. */
function first(problems: readonly Diagnostic[]): readonly Diagnostic[] {
  const key = (p: Diagnostic) => `${p.file}:${p.object}:${p.field}`;
  const mistyped = new Set(problems.filter((p) => p.code === 'FIELD_TYPE').map(key));
  return problems.filter((p) => p.code === 'FIELD_TYPE' || !mistyped.has(key(p)));
}

/** By place, so that a reader walks each file from top to bottom. */
function inOrder(problems: readonly Diagnostic[]): readonly Diagnostic[] {
  const order = new Map<string, number>();
  for (const p of problems) {
    const file = p.file ?? '';
    if (!order.has(file)) order.set(file, order.size);
  }
  const rank = (p: Diagnostic) => order.get(p.file ?? '') ?? 0;
  return [...problems].sort(
    (a, b) =>
      rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
}
