/**
 * An engineer's notes of AKS nodes of 2024 (aks-kubenet-azurecni-2024): the filter table of a
 * kubenet node as `iptables -vnL` shows it, rule by rule; the rules of a Service; what AKS tells
 * kube-proxy on Azure CNI; node pools with pod subnets, and when their addresses end.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { capacityOf } from '../../src/cluster/limits/capacity.ts';
import { proxySettings } from '../../src/dataplane/kube-proxy/config.ts';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { Rule } from '../../src/netfilter/rule.ts';
import type { Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { formatRule } from '../../src/plan/rule/rule-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { sharedPath } from '../support/shared.ts';

const folder = sharedPath('data/clusters/aks-kubenet-azurecni-2024');
const needs = { skip: folder === null ? 'needs ../shared' : false };
const notes = (name: string) => readFileSync(join(folder ?? '', `${name}-notes.md`), 'utf8');

const NODE = 'aks-nodepool1-12914153-vmss000000';

/** The pod and the Service of the notes, on their node. */
const NGINX = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: kubenet
---
apiVersion: v1
kind: Node
metadata: {name: ${NODE}}
spec: {podCIDR: 10.244.0.0/24}
status: {addresses: [{type: InternalIP, address: 10.224.0.4}]}
---
apiVersion: v1
kind: Pod
metadata: {name: nginx, labels: {run: nginx}}
spec: {nodeName: ${NODE}, containers: [{name: nginx}]}
status: {phase: Running, podIP: 10.244.0.13, conditions: [{type: Ready, status: "True"}]}
`;
const EXPOSED = `---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec: {clusterIP: 10.0.91.63, selector: {run: nginx}, ports: [{port: 80}]}
`;

function planOf(text: string): Plan {
  const { cluster, policies } = parseInputs('nginx.yaml', text);
  const [plan] = renderNetwork({ cluster, policies, stack: parseStack('kubenet+none') }).nodes;
  if (!plan) throw new Error('one node was rendered');
  return plan;
}

/** `iptables -vnL`: target and conditions of every rule, by chain, counters left out. */
function listed(text: string): Map<string, string[]> {
  const chains = new Map<string, string[]>();
  let own: string[] = [];
  for (const line of text.split('\n')) {
    const chain = /^Chain (\S+) \(/.exec(line)?.[1];
    if (chain) {
      own = [];
      chains.set(chain, own);
    }
    const columns =
      /^\s*\S+\s+\S+\s+(\S+)\s+(\S+)\s+--\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (!columns || line.includes('pkts bytes')) continue;
    const [, target, protocol, , , from, to, rest = ''] = columns;
    own.push(`${target} ${protocol} ${from} ${to} ${conditions(rest)}`.trim());
  }
  return chains;
}

/** Comments and states in one order, as -vnL has them in that of the rule. */
function conditions(text: string): string {
  return [...text.matchAll(/\/\*.*?\*\/|!? ?ctstate \S+|tcp dpt:\d+/g)]
    .map(([one]) => one.trim())
    .toSorted()
    .join(' ');
}

/** Our rule as -vnL would show it. */
function shown(rule: Rule): string {
  const text = formatRule(rule, 'X');
  const part = (pattern: RegExp) => pattern.exec(text)?.[1];
  const range = (flag: string) => {
    const found = new RegExp(`(! )?-${flag} (\\S+)`).exec(text);
    if (!found) return '0.0.0.0/0';
    return `${found[1] ? '!' : ''}${(found[2] ?? '').replace(/\/32$/, '')}`;
  };
  const state = /(! )?--ctstate (\S+)/.exec(text);
  const says = [
    part(/--comment "([^"]*)"/) === undefined ? '' : `/* ${part(/--comment "([^"]*)"/)} */`,
    state ? `${state[1] ?? ''}ctstate ${state[2]}` : '',
    part(/--dport (\d+)/) === undefined ? '' : `tcp dpt:${part(/--dport (\d+)/)}`,
  ].filter((one) => one !== '');
  const target = part(/-j (\S+)/) ?? '';
  const protocol = part(/-p (\S+)/) ?? 'all';
  return `${target} ${protocol} ${range('s')} ${range('d')} ${says.toSorted().join(' ')}`.trim();
}

t.test('the filter table of a kubenet node, every chain and every rule', needs, async (t) => {
  const text = notes('iptables');
  const real = listed(text.slice(text.indexOf('iptables -vnL\nChain'), text.indexOf('ipset -L #')));
  t.equal([...real.values()].flat().length, 17);
  const filter = planOf(NGINX).tables.find((x) => x.family === 4 && x.name === 'filter');
  const ours = new Map((filter?.chains ?? []).map((c) => [c.name, c.rules.map(shown)] as const));
  t.strictSame([...ours.keys()].toSorted(), [...real.keys()].toSorted(), 'the same chains');
  for (const [chain, rules] of real) t.strictSame(ours.get(chain), rules, chain);
});

t.test('a pod adds no rule, a Service adds five', needs, async (t) => {
  const lines = notes('iptables').split('\n');
  const real = lines.filter((l) => /^-A KUBE-S(EP|VC|ERVICES).*default\/nginx/.test(l));
  t.equal(real.length, 5);
  const rules = (text: string) => printIptables(planOf(text), 4).split('\n');
  const before = rules(NGINX);
  t.notOk(
    before.some((line) => line.includes('nginx')),
    'as "No new entries" says',
  );
  const added = rules(`${NGINX}${EXPOSED}`).filter(
    (l) => l.startsWith('-A') && !before.includes(l),
  );
  // The page lost what a rule says of the port ("-m tcp --dport 80"); everything else is there.
  const ours = added.map((line) => line.replace(' -m tcp --dport 80', ''));
  t.strictSame(ours.toSorted(), real.toSorted());
});

t.test('kube-proxy on Azure CNI is told that pods are behind azv+', needs, async (t) => {
  const text = notes('iptables');
  const flag = (name: string) => new RegExp(`--${name}=(\\S+)`).exec(text)?.[1];
  t.equal(flag('cluster-cidr'), '10.251.0.0/16');
  const { cluster } = parseInputs('c.yaml', 'apiVersion: v1\nkind: Node\nmetadata: {name: n}');
  for (const network of ['azure-transparent', 'azure-overlay', 'azure-podsubnet']) {
    t.strictSame(proxySettings(cluster, parseStack(`${network}+none`)).detectLocal, {
      mode: flag('detect-local-mode'),
      prefix: flag('pod-interface-name-prefix'),
    });
  }
});

/** The pool of the notes whose pods have 10.6.0.0/26. */
function staticPool(nodes: number): string {
  return `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
virtualNetworks:
- addressPrefixes: [10.5.0.0/16, 10.6.0.0/26]
  subnets: [{name: nodesubnet5, addressPrefix: 10.5.0.0/16}, {name: pod5subnet, addressPrefix: 10.6.0.0/26}]
nodePools: [{name: nodepool5, count: ${nodes}, podSubnet: pod5subnet}]
---
${Array.from(
  { length: nodes },
  (_, i) => `apiVersion: v1\nkind: Pod\nmetadata: {name: p${i}}
spec: {nodeName: aks-nodepool5-00000000-vmss00000${i}, containers: [{name: c}]}`,
).join('\n---\n')}`;
}

t.test('a pod subnet of 59 addresses has sixteen for three nodes each', needs, async (t) => {
  const text = notes('azure-cni');
  const [, asked = '', free = ''] =
    /Pre-allocated IPs (\d+) exceeds IPs available (\d+) in Subnet Cidr 10\.6\.0\.0\/26/.exec(
      text,
    ) ?? [];
  t.strictSame([asked, free], ['160', '59'], 'ten nodes of sixteen were refused');
  const { cluster } = parseInputs('c.yaml', staticPool(3));
  const supply = capacityOf(cluster).supplies.find((s) => s.range === '10.6.0.0/26');
  t.match(supply, {
    what: 'pod subnet, addresses',
    size: Number(free),
    perNode: Number(asked) / 10,
    used: 48,
    moreNodes: 0,
  });
  t.equal(capacityOf(cluster).first?.range, '10.6.0.0/26', 'it ends first');
});
