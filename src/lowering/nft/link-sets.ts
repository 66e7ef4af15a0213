/**
 * Sets of nft, compiled, and the mistakes in them that the kernel refuses.
 *
 * Source: net/netfilter/nf_tables_api.c `nf_tables_newset`, `nft_add_set_elem`, nft_set_rbtree.c
 * `__nft_rbtree_insert`, nft_set_pipapo.c `nft_pipapo_insert` (overlaps), Linux 6.18.
 * @module
 */

import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { endOf, type LookupElement, LookupSet } from '../../image/nft/lookup-set.ts';
import type { NftLinkedVerdict } from '../../image/nft/program.ts';
import type { NftElement, NftSet, NftTable } from '../../netfilter/nft/ruleset.ts';
import { nftTableName } from '../../netfilter/nft/ruleset.ts';
import type { NftVerdict } from '../../netfilter/nft/statement.ts';
import { type FaultText, fault, repeated } from '../fault.ts';
import { linkKey } from './link-expression.ts';
import { metersOf } from './link-statement.ts';

/** What nft gives to dynamic sets that say none (src/evaluate.c `set_evaluate`). */
const DYNAMIC_SIZE = 0xffff;

/** Make a set without its elements; `changes` says that rules add to it. */
export function compileSet(table: NftTable, set: NftSet, id: string, changes: boolean): LookupSet {
  return new LookupSet({
    id: set.name === '' ? id : `${nftTableName(table)} ${set.name}`,
    isMap: set.kind !== 'set',
    changes,
    size: set.size ?? (set.flags.includes('dynamic') ? DYNAMIC_SIZE : null),
    timeoutMs: set.timeoutMs ?? null,
    meters: metersOf(set.state ?? []),
  });
}

/** Give a set its elements. Precondition: the set has been checked. */
export function fillSet(
  compiled: LookupSet,
  set: NftSet,
  verdictOf: (verdict: NftVerdict) => NftLinkedVerdict | null,
): void {
  compiled.fill(set.elements.map((element) => linkElement(element, set, verdictOf)));
}

function linkElement(
  element: NftElement,
  set: NftSet,
  verdictOf: (verdict: NftVerdict) => NftLinkedVerdict | null,
): LookupElement {
  const { key, data, verdict, timeoutMs, expiresMs, state } = element;
  const life = timeoutMs ?? set.timeoutMs ?? null;
  return {
    key: key === null ? null : linkKey(key, set.type),
    data: data === undefined ? null : linkKey(data, set.data ?? []),
    verdict: verdict === undefined ? null : verdictOf(verdict),
    untilNs: endOf(0, expiresMs ?? life),
    timeoutMs: timeoutMs ?? null,
    meters: metersOf(state ?? set.state ?? []),
  };
}

/** All mistakes in a table's named sets. */
export function checkSets(host: string, table: NftTable): readonly Diagnostic[] {
  const part = `nft ${nftTableName(table)}`;
  return [
    ...repeated(table.sets.map(({ name }) => name)).map((name) =>
      fault(
        { host, part: `${part} set ${name}` },
        { code: 'PLAN_SET_TWICE', message: 'two sets of this name' },
      ),
    ),
    ...table.sets.flatMap((set) =>
      setFaults(set).map((text) =>
        fault({ host, part: `${part} set ${set.name}`, rule: set }, text),
      ),
    ),
  ];
}

/** Mistakes of one set, anonymous ones too. */
export function setFaults(set: NftSet): readonly FaultText[] {
  const faults: FaultText[] = [];
  const has = (flag: NftSet['flags'][number]) => set.flags.includes(flag);
  const isRanged = (element: NftElement) => element.key?.some(({ kind }) => kind !== 'value');
  if (!has('interval') && set.elements.some(isRanged)) {
    const message = 'ranges stand in sets with flag interval only';
    faults.push({ code: 'PLAN_NFT_SET', message, found: set.name });
  }
  const hasTimes = set.elements.some(({ timeoutMs }) => timeoutMs !== undefined);
  if (hasTimes && !has('timeout') && set.timeoutMs === undefined) {
    const message = 'elements with a timeout stand in sets with flag timeout only';
    faults.push({ code: 'PLAN_NFT_SET', message, found: set.name });
  }
  if (set.size !== undefined && set.elements.length > set.size) {
    const message = 'more elements than the set holds';
    const accepted = String(set.size);
    faults.push({ code: 'PLAN_NFT_SET', message, found: String(set.elements.length), accepted });
  }
  if (set.elements.filter(({ key }) => key === null).length > 1) {
    faults.push({ code: 'PLAN_NFT_SET', message: 'two elements for everything else' });
  }
  if (overlaps(set)) {
    const message = 'elements overlap';
    faults.push({ code: 'PLAN_NFT_OVERLAP', message, found: set.name });
  }
  return faults;
}

/** Do two elements hold a common key? Sets that merge by themselves may. */
function overlaps({ elements, type, autoMerge, kind }: NftSet): boolean {
  if (autoMerge && kind === 'set') return false;
  const keys = elements.flatMap(({ key }) => (key === null ? [] : [linkKey(key, type)]));
  const isSingle = (key: (typeof keys)[number]) => key.every(([low, high]) => low === high);
  const singles = new Set(keys.filter(isSingle).map((key) => key.map(([low]) => low).join(' ')));
  if (keys.every(isSingle)) return singles.size < keys.length;
  // Along the first dimension only neighbours can overlap.
  const sorted = keys.toSorted((a, b) => compare(a[0]?.[0], b[0]?.[0]));
  return sorted.some((key, i) => {
    for (let j = i + 1; j < sorted.length; j++) {
      const other = sorted[j] ?? [];
      if ((other[0]?.[0] ?? 0n) > (key[0]?.[1] ?? 0n)) return false;
      const common = key.every(([low, high], d) => {
        return low <= (other[d]?.[1] ?? 0n) && (other[d]?.[0] ?? 0n) <= high;
      });
      if (common) return true;
    }
    return false;
  });
}

function compare(a: bigint | undefined, b: bigint | undefined): number {
  const [x, y] = [a ?? 0n, b ?? 0n];
  return x < y ? -1 : x > y ? 1 : 0;
}
