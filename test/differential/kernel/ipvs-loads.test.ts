/**
 * kube-proxy in IPVS mode as rendered, loaded with the real tools: sets and rules are taken and
 * printed back, in both families and by both back ends. This kernel has no IPVS, so rules that ask
 * for a virtual server (`-m ipvs`) are left out, and so are the servers. Needs root.
 */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { World } from '../../../src/lab/world.ts';
import { printIpsets } from '../../../src/plan/ipset/text.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printIptables } from '../../../src/plan/rule/iptables-text.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';
import { SERVICES_SHOP } from '../../support/services-shop.ts';
import { kernelMissing } from './harness/laboratory.ts';

const TOOLS = ['iptables-legacy', 'iptables-nft', 'ip6tables-legacy', 'ip6tables-nft'] as const;
const skip = kernelMissing([...TOOLS, 'ipset']) ?? false;

function nodePlan(): Plan {
  const { cluster, policies } = parseInputs('shop.yaml', SERVICES_SHOP);
  const stack = parseStack('kubenet+none,kube-proxy=ipvs');
  const { network } = new World({ cluster, policies, stack });
  const [plan] = network.nodes;
  if (plan === undefined) throw new Error('a node');
  return plan;
}

function inNamespace<T>(work: (run: (tool: string, input?: string) => string) => T): T {
  const name = `wt${process.pid}-ipvs`;
  execFileSync('ip', ['netns', 'add', name]);
  try {
    return work((tool, input = '') => {
      const options = { input, encoding: 'utf8', stdio: 'pipe' } as const;
      return execFileSync('ip', ['netns', 'exec', name, ...tool.split(' ')], options);
    });
  } finally {
    execFileSync('ip', ['netns', 'del', name]);
  }
}

/** Rules by table and chain, in order within each. */
function rulesOf(text: string): Readonly<Record<string, readonly string[]>> {
  const found: Record<string, string[]> = {};
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line;
    if (!line.startsWith('-A')) continue;
    const chain = `${table} ${line.split(' ')[1]}`;
    found[chain] = [...(found[chain] ?? []), line];
  }
  return found;
}

t.test('sets and rules of IPVS mode load, and are printed back', { skip }, async (t) => {
  const plan = nodePlan();
  const sets = printIpsets(plan);
  for (const tool of TOOLS) {
    const text = printIptables(plan, tool.startsWith('ip6') ? 6 : 4)
      .split('\n')
      .filter((line) => !line.includes('-m ipvs'))
      .join('\n');
    const [saved, listed] = inNamespace((run) => {
      run('ipset restore', sets);
      run(`${tool}-restore`, `${text}\n`);
      return [run(`${tool}-save`), run('ipset save')];
    });
    t.strictSame(rulesOf(saved), rulesOf(text), tool);
    const count = Object.values(rulesOf(text)).flat().length;
    t.ok(count > 30, `${count} rules`);
    const plain = listed.replace(/ bucketsize \d+ initval \S+/g, '');
    t.strictSame(plain.split('\n').toSorted(), sets.split('\n').toSorted(), 'sets');
  }
});
