/**
 * What is wrong with a table as a whole: jumps to chains that are not there, and loops.
 *
 * The kernel refuses a loop when the table is loaded (ip_tables.c `mark_source_chains`, ELOOP),
 * but only one that a built-in chain reaches; any loop is refused here, because the next jump
 * written into the plan would reach it.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Chain, Rule, Table } from '../../netfilter/rule.ts';

/** All jumps that lead nowhere and all chains that come back to themselves. */
export function chainFaults(table: Table, file: string): Diagnostic[] {
  const chains = new Map(table.chains.map((chain) => [chain.name, chain]));
  const faults: Diagnostic[] = [];
  for (const chain of table.chains) {
    for (const rule of chain.rules) {
      const name = targetChain(rule);
      if (name === undefined) continue;
      const found = chains.get(name);
      if (found && found.policy === undefined) continue;
      const message = found
        ? 'a built-in chain cannot be jumped to'
        : `neither a chain of table ${table.name} nor a known target`;
      const code = found ? 'PLAN_CHAIN_BUILTIN' : 'PLAN_CHAIN_MISSING';
      faults.push({ code, file, ...lineOf(rule), message, found: name });
    }
  }
  return [...faults, ...loops(table, chains, file)];
}

function targetChain(rule: Rule): string | undefined {
  const { target } = rule;
  return target.kind === 'jump' || target.kind === 'goto' ? target.chain : undefined;
}

/** Depth first over the jumps; a chain met while it is being walked closes a loop. */
function loops(table: Table, chains: ReadonlyMap<string, Chain>, file: string): Diagnostic[] {
  const faults: Diagnostic[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (chain: Chain, path: readonly string[]): void => {
    state.set(chain.name, 'open');
    const here = [...path, chain.name];
    for (const rule of chain.rules) {
      const name = targetChain(rule);
      const next = name === undefined ? undefined : chains.get(name);
      if (!next || state.get(next.name) === 'done') continue;
      if (state.get(next.name) === 'open') {
        const ring = [...here.slice(here.indexOf(next.name)), next.name].join(' → ');
        const message = `chains of table ${table.name} jump in a circle`;
        faults.push({ code: 'PLAN_CHAIN_LOOP', file, ...lineOf(rule), message, found: ring });
      } else {
        visit(next, here);
      }
    }
    state.set(chain.name, 'done');
  };
  for (const chain of table.chains) if (!state.has(chain.name)) visit(chain, []);
  return faults;
}

function lineOf(rule: Rule): { readonly line?: number } {
  const line = rule.place?.slice(rule.place.lastIndexOf(':') + 1);
  return line === undefined ? {} : { line: Number(line) };
}
