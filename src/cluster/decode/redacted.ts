/**
 * Support bundles (troubleshoot.sh) black out addresses: such a value is read as not given, so
 * that the platform's rules fill it, and it is counted, so that the user is told.
 * @module
 */
import type { MapEntry, SourceText, Tree } from '../manifest/tree.ts';

const BLACK = '***HIDDEN***';

/** Fields that hold addresses; anything else that is blacked out stays, and is checked as it is. */
const FIELDS = new Set([
  'address',
  'addresses',
  'clusterIP',
  'clusterIPs',
  'externalIPs',
  'hostIP',
  'hostIPs',
  'ip',
  'loadBalancerIP',
  'podCIDR',
  'podCIDRs',
  'podIP',
  'podIPs',
]);

export interface Unredacted<T extends Tree> {
  readonly tree: T;
  /** How many values were blacked out. */
  readonly count: number;
}

/** Whether a file has blacked-out values at all. */
export function isRedacted(source: SourceText): boolean {
  return source.text.includes(BLACK);
}

/** The tree without blacked-out addresses. */
export function withoutRedacted<T extends Tree>(tree: T): Unredacted<T> {
  const counter = { count: 0 };
  return { tree: strip(tree, false, counter) as T, count: counter.count };
}

function strip(tree: Tree, inField: boolean, counter: { count: number }): Tree {
  switch (tree.kind) {
    case 'scalar':
      if (!inField || tree.value !== BLACK) return tree;
      counter.count++;
      return { ...tree, value: null };
    case 'list': {
      const kept = tree.items.map((item) => strip(item, inField, counter));
      return { ...tree, items: kept.filter((k) => !(k.kind === 'scalar' && k.value === null)) };
    }
    case 'map': {
      const entries = new Map<string, MapEntry>();
      for (const [key, entry] of tree.entries) {
        entries.set(key, { ...entry, value: strip(entry.value, FIELDS.has(key), counter) });
      }
      return { ...tree, entries };
    }
  }
}
