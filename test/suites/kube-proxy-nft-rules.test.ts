/**
 * For the objects of kube-proxy's own tests we write the nft rules that kube-proxy itself wrote:
 * chains, rules in their order, sets, maps and elements of 42 cases, as text. Chains stand in the
 * order in which a map was walked, so they are compared by name, and elements as sets.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { renderKubeProxy } from '../../src/dataplane/kube-proxy/render.ts';
import type { NftRuleset } from '../../src/netfilter/nft/ruleset.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import type { Plan } from '../../src/plan/model.ts';
import { parseNft } from '../../src/plan/nft/parse/ruleset-parser.ts';
import { printNft } from '../../src/plan/nft/text/ruleset-text.ts';
import { parsePrefix } from '../../src/wire/address/address.ts';
import { sharedPath } from '../support/shared.ts';
import { type Case, needsSuite, proxyInput, readCases, renderCase } from './kube-proxy-cases.ts';

/** What the tests' kube-proxy was told of ClusterIPs. */
const SERVICE_CIDRS = ['172.30.0.0/16', 'fd00:172:30::/112'].flatMap((p) => parsePrefix(p) ?? []);

function render(c: Case): Plan {
  const input = proxyInput(c);
  const builder = new PlanBuilder(c.node.name, 'node');
  builder.interfaces.push(...renderCase(c).interfaces);
  const settings = { ...input.settings, mode: 'nftables' as const };
  renderKubeProxy(builder, { ...input, settings, serviceCidrs: SERVICE_CIDRS });
  return builder.build();
}

/** Blocks by their head, each a list of lines; lists of elements sorted. */
function blocksOf(nft: NftRuleset, family: 'ip' | 'ip6'): Readonly<Record<string, unknown>> {
  const tables = nft.tables.filter((table) => table.family === family);
  const text = printNft({ nft: { tables } });
  const blocks = [...text.matchAll(/^\t(\w+ \S+) \{\n((?:\t\t.*\n)*)\t\}$/gm)];
  const lines = (body: string) => {
    const [head = '', elements = ''] = body.split('\t\telements = { ');
    const list = elements.replace(/ \}\n$/, '').split(/,\s+/);
    return [...head.split('\n'), ...(elements === '' ? [] : list.toSorted())];
  };
  return Object.fromEntries(
    blocks
      .map(([, head = '', body = '']) => [head, lines(body)] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

t.test('nft tables are those of kube-proxy v1.30.5, line by line', needsSuite, async (t) => {
  let lines = 0;
  for (const c of readCases()) {
    const folder = sharedPath(`suites/kube-proxy-iptables/cases/${c.id}`) ?? '';
    const text = readFileSync(join(folder, 'rules.nft'), 'utf8');
    const family = c.family === 'ipv4' ? 'ip' : 'ip6';
    const wanted = blocksOf(parseNft(text, `${c.id}/rules.nft`), family);
    const got = blocksOf(render(c).nft ?? { tables: [] }, family);
    t.strictSame(got, wanted, c.id);
    lines += Object.values(wanted).flat().length;
  }
  t.ok(lines > 3000, `${lines} lines of kube-proxy's`);
});
