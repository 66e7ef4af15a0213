/**
 * `-n`, `-A` and `-l`: which rows are shown. Counts always speak of everything.
 * @module
 */
import type { Cluster } from '../cluster/model.ts';
import { nearest } from '../cluster/nearest.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import type { Endpoints } from '../lab/result.ts';
import type { World } from '../lab/world.ts';
import { selects } from '../policy/select.ts';
import { parseLabelSelector } from './label-selector.ts';

/** Which rows of the output are asked for. */
export interface NarrowFlags {
  readonly namespace?: string;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  /** False with `--no-resolve`. */
  readonly resolve: boolean;
}

/** Whether a row has an end that was asked for. */
export function rowFilter(
  flags: NarrowFlags,
  { cluster, addresses: plan }: World,
): (row: Pick<Endpoints, 'from' | 'to'>) => boolean {
  const selector = {
    matchLabels: {},
    matchExpressions: flags.selector === undefined ? [] : parseLabelSelector(flags.selector),
  };
  const namespace = flags.allNamespaces ? undefined : flags.namespace;
  if (namespace === undefined && flags.selector === undefined) return () => true;
  if (namespace !== undefined) checkNamespace(namespace, cluster);
  const isAsked = (name: string | null): boolean => {
    const [kind, ns = '', pod = ''] = name?.split('/') ?? [];
    if (kind !== 'pod' || (namespace !== undefined && ns !== namespace)) return false;
    const found = plan.findPod(ns, pod);
    return found !== undefined && selects(selector, found.labels);
  };
  return (row) => isAsked(row.from) || isAsked(row.to);
}

function checkNamespace(namespace: string, cluster: Cluster): void {
  const names = cluster.namespaces.map((ns) => ns.name);
  if (names.includes(namespace)) return;
  const near = nearest(namespace, names);
  throw new UserError([
    {
      code: 'NAMESPACE_UNKNOWN',
      field: '-n',
      message: 'no such namespace in the cluster',
      found: namespace,
      accepted: near ? `did you mean ${near}?` : names.join(', '),
    },
  ]);
}
