/**
 * `-n`, `-A` and `-l`: which rows are shown. Counts always speak of everything.
 * @module
 */
import type { AddressPlan } from '../cluster/address-plan.ts';
import { UserError } from '../diagnostic/diagnostic.ts';
import type { Endpoints } from '../lab/result.ts';
import type { NarrowFlags } from './options.ts';

/** Whether a row has an end that was asked for. */
export function rowFilter(
  flags: NarrowFlags,
  plan: AddressPlan,
): (row: Pick<Endpoints, 'from' | 'to'>) => boolean {
  const labels = flags.selector === undefined ? [] : parseLabels(flags.selector);
  const namespace = flags.allNamespaces ? undefined : flags.namespace;
  if (namespace === undefined && labels.length === 0) return () => true;
  const isAsked = (name: string | null): boolean => {
    const [kind, ns = '', pod = ''] = name?.split('/') ?? [];
    if (kind !== 'pod' || (namespace !== undefined && ns !== namespace)) return false;
    const found = plan.findPod(ns, pod);
    return found !== undefined && labels.every(([key, value]) => found.labels[key] === value);
  };
  return (row) => isAsked(row.from) || isAsked(row.to);
}

function parseLabels(text: string): readonly (readonly [string, string])[] {
  return text.split(',').map((part) => {
    const m = /^([^=]+)==?(.*)$/.exec(part.trim());
    if (m?.[1] !== undefined && m[2] !== undefined) return [m[1], m[2]] as const;
    throw new UserError([
      {
        code: 'SELECTOR_SYNTAX',
        field: '-l',
        message: 'the label selector can not be read',
        found: text,
        accepted: 'key=value, several separated by commas',
      },
    ]);
  });
}
