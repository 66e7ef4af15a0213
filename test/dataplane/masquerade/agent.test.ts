/**
 * The masquerade agents' chains are those of a real AKS node, and each agent's own defaults hold.
 *
 * The dump's ConfigMap is not given; its ranges are: 10.224.0.0/12 (virtual network),
 * 10.224.0.0/16 (subnet) and 10.0.0.0/16 (Services), which are AKS's defaults and so ours.
 * @module
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { renderMasquerade } from '../../../src/dataplane/masquerade/render.ts';
import { UserError } from '../../../src/diagnostic/diagnostic.ts';
import { PlanBuilder } from '../../../src/plan/builder.ts';
import type { Plan } from '../../../src/plan/model.ts';
import { printIptables } from '../../../src/plan/rule/iptables-text.ts';
import { type Inputs, parseInputs } from '../../../src/policy/inputs.ts';
import type { Family } from '../../../src/wire/address/address.ts';
import { renderBareProxy } from '../../support/bare-proxy.ts';
import { sharedPath } from '../../support/shared.ts';

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n';

function map(name: string, text: string): string {
  const lines = text.split('\n').map((line) => `    ${line}`);
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: kube-system}
data:\n  ip-masq-agent: |\n${lines.join('\n')}\n`;
}

function wiring(text: string): string {
  return `---\napiVersion: wiretrial/v1\nkind: Wiring\n${text}\n`;
}

function planOf({ cluster }: Inputs): Plan {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('the cluster has a node');
  const builder = new PlanBuilder(node.name, 'node');
  renderBareProxy(builder);
  renderMasquerade(builder, cluster, node);
  return builder.build();
}

function plan(...documents: string[]): Plan {
  return planOf(parseInputs('c.yaml', [POD, ...documents].join('')));
}

/** Rules of the nat table that are of no product else. */
function masquerading(of: Plan, family: Family = 4): string[] {
  return natRules(printIptables(of, family));
}

function natRules(text: string): string[] {
  const nat = /\*nat\n[\s\S]*?COMMIT/.exec(text)?.[0] ?? '';
  return nat.split('\n').filter((line) => /^-A (POSTROUTING|IP-MASQ|SWIFT)/.test(line));
}

/** The destinations that are left alone, then what happens to all others. */
function short(of: Plan, family: Family = 4): string[] {
  return masquerading(of, family)
    .filter((line) => line.startsWith('-A IP-MASQ-AGENT'))
    .map((line) => line.replace(/^-A IP-MASQ-AGENT |-m comment --comment "[^"]*" |-j RETURN/g, ''))
    .map((line) => line.trim());
}

const dump = sharedPath('data/clusters/aks-azure-npm-v2-2022/iptables-save.txt');

t.test(
  'line by line those of an AKS node, behind KUBE-POSTROUTING',
  { skip: dump === null && 'needs ../shared' },
  async (t) => {
    const real = natRules(readFileSync(dump ?? '', 'utf8'));
    t.equal(real.length, 6);
    t.strictSame(masquerading(plan()), real);
  },
);

t.test('what each agent makes of its ConfigMaps', async (t) => {
  const usual = ['-d 10.224.0.0/12', '-d 10.224.0.0/16', '-d 10.0.0.0/16'];
  const link = '-d 169.254.0.0/16';
  const v2 = '-j MASQUERADE';
  const v1 = '-j MASQUERADE --random-fully';
  const rows: readonly (readonly [string, string[], string[]])[] = [
    ['AKS without a user file', [], [...usual, v2]],
    [
      'the user adds a range',
      [map('azure-ip-masq-agent-config', 'nonMasqueradeCIDRs: [192.168.0.0/16]')],
      [...usual, '-d 192.168.0.0/16', v2],
    ],
    [
      'a range that is there already',
      [map('azure-ip-masq-agent-config', 'nonMasqueradeCIDRs: [10.0.0.0/16]')],
      [...usual, v2],
    ],
    [
      'booleans are or-ed: the user can not take link-local back',
      [map('azure-ip-masq-agent-config', 'masqLinkLocal: false')],
      [...usual, v2],
    ],
    [
      'a reconciled file stands for ours',
      [
        map('azure-ip-masq-agent-config', 'nonMasqueradeCIDRs: [192.168.0.0/16]'),
        map('azure-ip-masq-agent-config-reconciled', 'nonMasqueradeCIDRs: [10.1.0.0/16]'),
      ],
      [link, '-d 10.1.0.0/16', '-d 192.168.0.0/16', v2],
    ],
    [
      'a file without ranges masquerades everything',
      [map('azure-ip-masq-agent-config-reconciled', 'masqLinkLocal: true')],
      [v2],
    ],
    [
      'v1 keeps RFC 1918 when its file does not say',
      [map('ip-masq-agent', 'resyncInterval: 60s')],
      [link, '-d 10.0.0.0/8', '-d 172.16.0.0/12', '-d 192.168.0.0/16', v1],
    ],
    [
      'v1 with a list of its own',
      [map('ip-masq-agent', 'nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true')],
      ['-d 10.0.0.0/8', v1],
    ],
    ['no agent without AKS', [wiring('networkPlugin: none')], []],
    [
      'an agent of the user’s without AKS',
      [wiring('networkPlugin: none'), map('ip-masq-agent', 'nonMasqueradeCIDRs: []')],
      [link, v1],
    ],
  ];
  for (const [name, documents, want] of rows) t.strictSame(short(plan(...documents)), want, name);
});

t.test('dual-stack: IPv6 has its own chain, link-local left alone', async (t) => {
  const dual = plan(wiring('networkPluginMode: overlay\nipFamilies: [IPv4, IPv6]'));
  t.strictSame(short(dual, 6), ['-d fe80::/10', '-d fd12:3456:789a::/64', '-j MASQUERADE']);
  t.strictSame(short(plan(), 6), [], 'and none in a cluster of one family');
});

t.test('pods of a subnet of their own reach DNS and IMDS with the node’s address', async (t) => {
  const of = planOf(
    parseInputs(
      'c.yaml',
      `${wiring('networkPlugin: azure\nvirtualNetworks: [{addressPrefixes: [10.1.0.0/16], subnets: [{addressPrefix: 10.1.0.0/24}, {addressPrefix: 10.1.8.0/21}]}]')}---
apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: InternalIP, address: 10.1.0.4}]}
---
apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {nodeName: n}\nstatus: {podIP: 10.1.8.9}`,
    ),
  );
  const swift = masquerading(of).filter((line) => line.includes('SWIFT'));
  const from = '-A SWIFT-POSTROUTING -s 10.1.8.0/21';
  const local = '-m addrtype ! --dst-type LOCAL';
  t.strictSame(swift, [
    '-A POSTROUTING -j SWIFT-POSTROUTING',
    `${from} -d 168.63.129.16/32 -p udp ${local} -m udp --dport 53 -j SNAT --to-source 10.1.0.4`,
    `${from} -d 168.63.129.16/32 -p tcp ${local} -m tcp --dport 53 -j SNAT --to-source 10.1.0.4`,
    `${from} -d 169.254.169.254/32 -p tcp ${local} -m tcp --dport 80 -j SNAT --to-source 10.1.0.4`,
  ]);
});

t.test('what an agent refuses is refused in its words', async (t) => {
  const refusal = (text: string) => {
    try {
      parseInputs('c.yaml', `${POD}${map('ip-masq-agent', text)}`);
      return [];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.diagnostics.map((d) => `${d.code} ${d.message}`);
    }
  };
  const many = Array.from({ length: 65 }, (_, i) => `10.${i}.0.0/16`).join(', ');
  t.match(refusal(`nonMasqueradeCIDRs: [${many}]`), [/only accept up to 64 CIDRs .* got 65 CIDRs/]);
  t.match(refusal('nonMasqueradeCIDRs: [10.1.0.4/16]'), [
    /"10.1.0.4\/16" is not aligned to a CIDR block, ip: "10.1.0.4" network: "10.1.0.0\/16"/,
  ]);
  t.match(refusal('nonMasqueradeCIDRs: [10.1.0.0]'), [/^CIDR_INVALID/]);
  t.strictSame(refusal(`cidrLimit: 65\nnonMasqueradeCIDRs: [${many}]`), []);
});
