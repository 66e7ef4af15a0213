/**
 * Felix's chains that are the same on every node: its own, those of policies and of profiles, and
 * what endpoints that the same policies select have in common. Each is made once, and with it its
 * rules' labels.
 * @module
 */
import type { IpPool } from '../../../cluster/model.ts';
import type { TableName } from '../../../netfilter/hook.ts';
import type { Family } from '../../../wire/address/address.ts';
import type { FelixConfig } from '../options.ts';
import type { CalicoPolicy, Direction } from '../policy/conversion.ts';
import { type PolicyTier, policyTier } from './endpoint-chains.ts';
import { appendedName, type FelixChain } from './felix-rule.ts';
import { policyChain, profileChain } from './policy-chains.ts';
import { builtinHooks, staticChains } from './static-chains.ts';

/** What Felix puts into a built-in chain: at its top, and at its end. */
export interface Hooked {
  readonly table: TableName;
  readonly chain: string;
  readonly inserted: FelixChain;
  readonly appended: FelixChain;
}

export class SharedChains {
  readonly #config: FelixConfig;
  readonly #pools: readonly IpPool[];
  readonly #static = new Map<string, readonly FelixChain[]>();
  readonly #policies = new Map<CalicoPolicy, Map<string, FelixChain>>();
  readonly #tiers = new Map<string, PolicyTier>();
  readonly #numbers = new Map<CalicoPolicy, number>();
  readonly #profiles = new Map<string, FelixChain>();
  readonly hooks: readonly Hooked[];

  constructor(config: FelixConfig, pools: readonly IpPool[]) {
    this.#config = config;
    this.#pools = pools;
    this.hooks = builtinHooks(config).map(({ table, chain, insert, append }) => ({
      table,
      chain,
      inserted: { name: chain, rules: insert },
      appended: { name: appendedName(chain), rules: append },
    }));
  }

  /** Felix's own chains of a table. */
  fixed(table: TableName, family: Family): readonly FelixChain[] {
    return once(this.#static, `${table} ${family}`, () =>
      staticChains(this.#config, table, family, this.#pools),
    );
  }

  policy(policy: CalicoPolicy, direction: Direction, family: Family): FelixChain {
    const own = once(this.#policies, policy, () => new Map<string, FelixChain>());
    return once(own, `${direction} ${family}`, () =>
      policyChain(this.#config.release, policy, direction, family),
    );
  }

  /** Of all policies that select an endpoint, in their order. */
  tier(policies: readonly CalicoPolicy[], direction: Direction): PolicyTier {
    const key = policies.map((policy) => this.#numberOf(policy)).join();
    return once(this.#tiers, `${direction} ${key}`, () =>
      policyTier(this.#config.release, policies, direction),
    );
  }

  #numberOf(policy: CalicoPolicy): number {
    return once(this.#numbers, policy, () => this.#numbers.size);
  }

  profile(profile: string, direction: Direction): FelixChain {
    return once(this.#profiles, `${direction} ${profile}`, () =>
      profileChain(this.#config.release, profile, direction),
    );
  }
}

function once<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  known.set(key, made);
  return made;
}
