/**
 * A ruleset of nft while it is read: commands add to what stands above them.
 * @module
 */

import { TABLES } from '../../../netfilter/hook.ts';
import type {
  NftBase,
  NftChain,
  NftElement,
  NftFamily,
  NftObject,
  NftRule,
  NftRuleset,
  NftSet,
  NftTable,
} from '../../../netfilter/nft/ruleset.ts';
import type { Cursor } from './cursor.ts';

export class DraftChain {
  readonly name: string;
  readonly place: string;
  base: Omit<NftBase, 'policy'> | null = null;
  policy: 'accept' | 'drop' = 'accept';
  comment: string | null = null;
  readonly rules: NftRule[] = [];

  constructor(name: string, place: string) {
    this.name = name;
    this.place = place;
  }

  build(): NftChain {
    const { name, place, base, policy, comment, rules } = this;
    return {
      name,
      ...(base === null ? {} : { base: { ...base, policy } }),
      ...(comment === null ? {} : { comment }),
      rules,
      place,
    };
  }
}

export class DraftTable {
  readonly family: NftFamily;
  readonly name: string;
  dormant = false;
  comment: string | null = null;
  readonly objects: NftObject[] = [];
  readonly #sets = new Map<string, NftSet>();
  readonly #added = new Map<string, NftElement[]>();
  readonly #chains = new Map<string, DraftChain>();

  constructor(family: NftFamily, name: string) {
    this.family = family;
    this.name = name;
  }

  /** The set of a name, as far as its types go. */
  readonly lookUp = (name: string): NftSet | undefined => this.#sets.get(name);

  addSet(at: Cursor, set: NftSet): void {
    if (this.#sets.has(set.name)) at.fail('two sets of this name', set.name);
    this.#sets.set(set.name, set);
  }

  addElements(name: string, elements: readonly NftElement[]): void {
    const added = this.#added.get(name) ?? [];
    for (const element of elements) added.push(element);
    this.#added.set(name, added);
  }

  chain(at: Cursor, name: string): DraftChain {
    if (this.#chains.has(name)) at.fail('two chains of this name', name);
    const made = new DraftChain(name, at.place);
    this.#chains.set(name, made);
    return made;
  }

  findChain(name: string): DraftChain | undefined {
    return this.#chains.get(name);
  }

  build(): NftTable {
    const { family, name, dormant, comment, objects } = this;
    const sets = [...this.#sets.values()].map((set) => {
      const added = this.#added.get(set.name);
      return added === undefined ? set : { ...set, elements: [...set.elements, ...added] };
    });
    return {
      family,
      name,
      ...(dormant ? { dormant } : {}),
      ...(comment === null ? {} : { comment }),
      objects,
      sets,
      chains: [...this.#chains.values()].map((chain) => chain.build()),
    };
  }
}

export class DraftRuleset {
  readonly #tables = new Map<string, DraftTable>();
  /** Tables that were passed over, and how many stood before. */
  readonly #passed = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#tables.size === 0;
  }

  /** The table of this name; made when it is not there. */
  table(family: NftFamily, name: string): DraftTable {
    const found = this.find(family, name);
    if (found !== undefined) return found;
    const made = new DraftTable(family, name);
    this.#tables.set(`${family} ${name}`, made);
    return made;
  }

  find(family: NftFamily, name: string): DraftTable | undefined {
    return this.#tables.get(`${family} ${name}`);
  }

  passed(table: string): void {
    if (!this.#passed.has(table)) this.#passed.set(table, this.#tables.size);
  }

  build(): NftRuleset {
    const iptables = [...this.#passed].flatMap(([table, after]) => {
      const [family, own] = table.split(' ');
      const name = TABLES.find((one) => one === own);
      if (name === undefined || (family !== 'ip' && family !== 'ip6')) return [];
      return [{ family: family === 'ip' ? (4 as const) : (6 as const), name, after }];
    });
    const tables = [...this.#tables.values()].map((table) => table.build());
    return iptables.length === 0 ? { tables } : { tables, iptables };
  }
}
