/**
 * IPPools with natOutgoing: rule, label and sets as on real nodes.
 *
 * The label `flqWnvo8yq4ULQLa` is the one that every node of that kind shows (Kubernetes clusters
 * of many users, projectcalico documentation); it hashes the rule's whole text.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../../src/dataplane/render.ts';
import { parseStack } from '../../../src/dataplane/stack.ts';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import { printIpsets } from '../../../src/plan/ipset/text.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printIptables } from '../../../src/plan/rule/iptables-text.ts';
import { parseInputs } from '../../../src/policy/inputs.ts';

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n';

function pool(name: string, spec: string): string {
  return `apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: ${name}}\nspec: {${spec}}\n---\n`;
}

function nodeOf(...documents: string[]): Plan {
  const { cluster, policies } = parseInputs('c.yaml', [POD, ...documents].join(''));
  const stack = parseStack('azure-transparent+calico');
  const [node] = renderNetwork({ cluster, policies, stack }).nodes;
  if (node === undefined) throw new Error('the cluster has a node');
  return node;
}

function outgoing(plan: Plan): string[] {
  const lines = printIptables(plan, 4).split('\n');
  return lines.filter((line) => line.startsWith('-A cali-nat-outgoing'));
}

t.test('a pool with natOutgoing is masqueraded towards everything but pools', async (t) => {
  const plan = nodeOf(
    pool('one', 'cidr: 10.244.0.0/16, natOutgoing: true'),
    pool('two', 'cidr: 10.245.0.0/16, natOutgoing: false'),
  );
  t.strictSame(outgoing(plan), [
    '-A cali-nat-outgoing -m comment --comment "cali:flqWnvo8yq4ULQLa" ' +
      '-m set --match-set cali40masq-ipam-pools src ' +
      '-m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully',
  ]);
  const members = printIpsets(plan)
    .split('\n')
    .filter((line) => /^add cali40(masq|all)-ipam-pools/.test(line));
  t.strictSame(members, [
    'add cali40all-ipam-pools 10.244.0.0/16',
    'add cali40all-ipam-pools 10.245.0.0/16',
    'add cali40masq-ipam-pools 10.244.0.0/16',
  ]);
});

t.test('kube-proxy first, then the agent, then Calico', async (t) => {
  const plan = nodeOf(pool('one', 'cidr: 10.244.0.0/16, natOutgoing: true'));
  const jumps = printIptables(plan, 4)
    .split('\n')
    .filter((line) => line.startsWith('-A POSTROUTING') && /KUBE|MASQ|cali/.test(line))
    .map((line) => line.split(' ').at(-1));
  const nat = jumps.filter((chain) => /^(KUBE|IP-MASQ|cali-POST)/.test(chain ?? ''));
  t.strictSame(nat.slice(-3), ['KUBE-POSTROUTING', 'IP-MASQ-AGENT', 'cali-POSTROUTING']);
});

t.test('without pools, and without natOutgoing, nothing is masqueraded', async (t) => {
  t.strictSame(outgoing(nodeOf()), []);
  t.strictSame(outgoing(nodeOf(pool('one', 'cidr: 10.244.0.0/16'))), []);
});

t.test('what can not be emulated is refused', async (t) => {
  const codes = (spec: string) => {
    try {
      nodeOf(pool('one', spec));
      return [];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.diagnostics.map((d) => `${d.code} ${d.field}`);
    }
  };
  t.strictSame(codes('cidr: 10.244.0.0/16, ipipMode: Always'), ['CALICO_POOL spec.ipipMode']);
  t.strictSame(codes('cidr: 10.244.0.0/16, vxlanMode: CrossSubnet'), [
    'CALICO_POOL spec.vxlanMode',
  ]);
  t.strictSame(codes('cidr: 10.244.0.0/16, ipipMode: Never'), []);
  t.strictSame(codes('cidr: nowhere'), ['CIDR_INVALID spec.cidr']);
});
