/**
 * Everything a run is given with `-f`, loaded, checked and filled: the cluster and its policies.
 * @module
 */
import type { Cluster } from '../cluster/model.ts';
import { InternalError } from '../diagnostic/diagnostic.ts';
import type { NetworkPolicy } from './model.ts';

export interface LoadOptions {
  /** Read folders with all their sub-folders. */
  readonly recursive?: boolean;
  /** What `-` stands for; absent: `-` is refused. */
  readonly readStdin?: () => string;
  /** Skip, and count, policies of kinds that are not emulated, instead of refusing them. */
  readonly ignoreUnsupported?: boolean;
}

export interface Inputs {
  readonly cluster: Cluster;
  readonly policies: readonly NetworkPolicy[];
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
  throw new InternalError(`loadInputs(${paths.length}, ${JSON.stringify(options)}) is being built`);
}
