/**
 * Law: what is printed as iptables-save text reads back as the same rule.
 * @module
 */
import fc from 'fast-check';
import t from 'tap';
import { TABLES } from '../../src/netfilter/hook.ts';
import type { Rule, Table } from '../../src/netfilter/rule.ts';
import { parseIptables, printTable } from '../../src/plan/rule/iptables-text.ts';
import { ruleFor } from '../support/plan-rules.ts';
import { JUMP_CHAIN } from '../support/plan-targets.ts';

const SETTINGS = { seed: 2, numRuns: 400 } as const;

function withoutPlace({ place: _, ...rule }: Rule): Rule {
  return rule;
}

for (const family of [4, 6] as const) {
  for (const name of TABLES) {
    t.test(`a printed ${name} rule of IPv${family} reads back as itself`, async (t) => {
      const rule = ruleFor({ family, table: name, loadable: false });
      const law = fc.property(rule, (one) => {
        const chains = [
          { name: 'A', rules: [one] },
          { name: JUMP_CHAIN, rules: [] },
        ];
        const text = printTable({ family, name, chains });
        const [table] = parseIptables(text, 'printed', family) as [Table];
        const read = table.chains.find((chain) => chain.name === 'A')?.rules ?? [];
        const same =
          JSON.stringify(sorted(read.map(withoutPlace))) === JSON.stringify(sorted([one]));
        if (!same) throw new Error(`${text}\n${JSON.stringify(read)}\n${JSON.stringify(one)}`);
        return printTable({
          family,
          name,
          chains: [{ name: 'A', rules: read }, ...chains.slice(1)],
        }).includes(text.slice(text.indexOf('-A')));
      });
      fc.assert(law, SETTINGS);
      t.pass('law holds');
    });
  }
}

/** Objects with their keys in order, so that equal ones have equal JSON. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, v]) => [key, sorted(v)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
