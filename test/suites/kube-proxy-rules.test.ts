/**
 * For the objects of kube-proxy's own tests we write the rules that kube-proxy itself wrote.
 *
 * Every chain and every rule of 42 cases, in order. Where kube-proxy walks a map its order is
 * chance: the groups of rules of one Service port in KUBE-SERVICES, KUBE-EXTERNAL-SERVICES,
 * KUBE-NODEPORTS and KUBE-PROXY-FIREWALL, and node addresses in the last rules of KUBE-SERVICES.
 * Those chains are compared as sets of rules, and that the rules to node ports are last.
 * @module
 */
import t from 'tap';
import type { Table } from '../../src/netfilter/rule.ts';
import { findTable } from '../../src/plan/model.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';
import { formatRule } from '../../src/plan/rule/rule-text.ts';
import type { Family } from '../../src/wire/address/address.ts';
import { familyOf, needsSuite, readCases, renderCase } from './kube-proxy-cases.ts';

/** Chains that kube-proxy fills while it walks the map of Service ports. */
const BY_CHANCE = new Set([
  'KUBE-SERVICES',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-NODEPORTS',
  'KUBE-PROXY-FIREWALL',
]);

const LAST = 'NOTE: this must be the last rule in this chain';

/** Chains and their rules as text; canaries are iptables.Monitor's, not a sync's. */
function chainsOf(
  table: Table | undefined,
  family: Family,
  randomFully: boolean,
): Readonly<Record<string, readonly string[]>> {
  const chains = (table?.chains ?? []).filter((c) => c.name !== 'KUBE-PROXY-CANARY');
  return Object.fromEntries(
    chains
      .map((chain): [string, readonly string[]] => {
        const rules = chain.rules.map((rule) => formatRule(rule, chain.name, family));
        // The suite ran all but one case with an iptables that has no --random-fully.
        const lines = randomFully ? rules : rules.map((r) => r.replace(/ --random-fully$/, ''));
        return [chain.name, BY_CHANCE.has(chain.name) ? lines.toSorted() : lines];
      })
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

t.test(
  'rules are those of kube-proxy v1.30.5, chain by chain and line by line',
  needsSuite,
  async (t) => {
    let lines = 0;
    for (const c of readCases()) {
      const family = familyOf(c);
      const wanted = parseIptables(c.rules, `${c.id}/rules.iptables-save`, family);
      const plan = renderCase(c);
      for (const name of ['filter', 'nat'] as const) {
        const { randomFully } = c.proxy;
        const table = wanted.find((one) => one.name === name);
        const want = chainsOf(table, family, randomFully);
        const got = chainsOf(findTable(plan, family, name), family, randomFully);
        t.strictSame(got, want, `${c.id} ${name}`);
        lines += Object.values(want).flat().length;
      }
      const services = findTable(plan, family, 'nat')?.chains.find(
        (x) => x.name === 'KUBE-SERVICES',
      );
      const texts = (services?.rules ?? []).map((r) => formatRule(r, 'KUBE-SERVICES', family));
      const first = texts.findIndex((line) => line.includes(LAST));
      t.ok(
        first < 0 || texts.slice(first).every((line) => line.includes(LAST)),
        `${c.id}: node ports come last`,
      );
    }
    t.ok(lines > 1000, `${lines} lines of kube-proxy's`);
  },
);
