/**
 * What hangs on each hook, in the order in which packets see it.
 *
 * By priority; where that is equal, what was registered last comes first (net/netfilter/core.c
 * `nf_hook_entries_grow`). Chains of type nat are asked by the one nat hook of their family, which
 * is where iptables' is, whatever their own priority; that orders them among themselves
 * (net/netfilter/nf_nat_core.c `nf_nat_register_fn`). Seen in the kernel by
 * test/differential/kernel/nft-order.test.ts.
 * @module
 */
import type { HookEntry, NftLinkedChain, NftProgram } from '../../image/nft/program.ts';
import { HOOKS, type Hook, TABLE_ORDER, tablePriority } from '../../netfilter/hook.ts';
import { type NftTable, seesFamily } from '../../netfilter/nft/ruleset.ts';
import type { Plan } from '../../plan/model.ts';
import type { Family } from '../../wire/address/address.ts';

/** An entry and when it was registered. */
interface Registered {
  readonly entry: HookEntry;
  readonly at: number;
}

type Order = Pick<NftProgram, 'entries' | 'translations'>;

/** Legacy tables count as older than all others: no dump tells. */
const LEGACY = -1;

export function hookOrder(
  plan: Plan,
  chains: ReadonlyMap<NftTable, readonly NftLinkedChain[]>,
): Order {
  const filters = new Map<string, readonly HookEntry[]>();
  const translations = new Map<string, readonly HookEntry[]>();
  for (const family of [4, 6] as const) {
    for (const hook of HOOKS) {
      const all = [...tableEntries(plan, family, hook), ...chainEntries(chains, family, hook)];
      const sorted = all.toSorted((a, b) => a.entry.priority - b.entry.priority || b.at - a.at);
      const key = `${family} ${hook}`;
      filters.set(
        key,
        pick(sorted, (one) => !isTranslation(one)),
      );
      translations.set(key, pick(sorted, isTranslation));
    }
  }
  return {
    entries: (family, hook) => filters.get(`${family} ${hook}`) ?? [],
    translations: (family, hook) => translations.get(`${family} ${hook}`) ?? [],
  };
}

function pick(
  sorted: readonly Registered[],
  wanted: (entry: HookEntry) => boolean,
): readonly HookEntry[] {
  return sorted.map(({ entry }) => entry).filter(wanted);
}

function isTranslation(entry: HookEntry): boolean {
  return entry.kind === 'nft' ? entry.chain.base?.type === 'nat' : entry.table === 'nat';
}

function tableEntries(plan: Plan, family: Family, hook: Hook): readonly Registered[] {
  return plan.tables
    .filter((table) => table.family === family && TABLE_ORDER[hook].includes(table.name))
    .map((table) => {
      const known = plan.nft?.iptables?.find(
        (one) => one.family === family && one.name === table.name,
      );
      const at = table.legacy ? LEGACY : known === undefined ? 0 : known.after + 0.5;
      const priority = tablePriority(table.name, hook);
      const variant = table.legacy ? 'legacy' : 'only';
      return { entry: { kind: 'table', priority, table: table.name, variant }, at };
    });
}

function chainEntries(
  chains: ReadonlyMap<NftTable, readonly NftLinkedChain[]>,
  family: Family,
  hook: Hook,
): readonly Registered[] {
  return [...chains].flatMap(([table, own], t) => {
    if (table.dormant || !seesFamily(table.family, family)) return [];
    return own.flatMap((chain, c): Registered[] => {
      if (chain.base?.hook !== hook) return [];
      const { priority } = chain.base;
      // Later chains of a table are younger; ten thousand of them would reach the next.
      return [{ entry: { kind: 'nft', priority, chain }, at: t + 1 + c / 10_000 }];
    });
  });
}
