/**
 * The address plan as Azure counts it: what is taken, what is left, what ends first; and clusters
 * that grew too far, every mistake with its place. Figures by hand.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { capacityOf } from '../../src/cluster/limits/capacity.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { node, pod, wiring } from '../fabric/azure-walk.ts';
import { wiretrial } from '../support/command.ts';

/** `WHAT: TAKEN of ALL, MORE nodes` of each line, and what ends first. */
function plan(...documents: readonly string[]): readonly string[] {
  const { cluster } = parseInputs('plan.yaml', documents.join(''));
  const { supplies, first, fullest } = capacityOf(cluster);
  return [
    ...supplies
      .filter((s) => !s.what.startsWith('service'))
      .map((s) => `${s.what} ${s.range ?? '-'}: ${s.used} of ${s.size}, ${s.moreNodes ?? '-'}`),
    `first: ${first?.what} ${first?.moreNodes}`,
    `fullest: ${fullest?.pods} of ${fullest?.maxPods}`,
  ];
}

const subnets = (...prefixes: readonly string[]) =>
  `virtualNetworks: [{addressPrefixes: [10.1.0.0/16], subnets: [${prefixes
    .map((p) => `{addressPrefix: ${p}}`)
    .join(', ')}]}]`;

t.test('what is left', async (t) => {
  t.same(
    plan(
      wiring(`networkPlugin: azure\n${subnets('10.1.0.0/24')}\nnodePools: [{name: p, count: 3}]`),
    ),
    [
      // Three nodes with thirty pods each; 251 - 93 = 158 are five more of 31.
      'node subnet, addresses 10.1.0.0/24: 93 of 251, 5',
      'nodes of a cluster -: 3 of 5000, 4997',
      'first: node subnet, addresses 5',
      'fullest: 0 of 30',
    ],
    'a node subnet keeps thirty addresses a node',
  );
  t.same(
    plan(
      wiring(
        `networkPlugin: azure\nnetworkPolicy: azure\n${subnets('10.1.0.0/24')}\nnodePools: [{name: p, count: 2, maxPods: 110}]`,
      ),
    ),
    [
      'node subnet, addresses 10.1.0.0/24: 222 of 251, 0',
      'nodes of a cluster -: 2 of 5000, 4998',
      'nodes with Azure NPM -: 2 of 250, 248',
      'pods with Azure NPM -: 0 of 20000, -',
      'first: node subnet, addresses 0',
      'fullest: 0 of 110',
    ],
    'as many as maxPods says; NPM has limits of its own',
  );
  t.same(
    plan(
      wiring(`networkPlugin: azure\n${subnets('10.1.0.0/28', '10.1.8.0/24')}`),
      node('a', '10.1.0.4'),
      node('b', '10.1.0.5'),
      ...Array.from({ length: 17 }, (_, i) => pod(`p${i}`, 'a', `10.1.8.${10 + i}`)),
    ),
    [
      // Seventeen pods are two batches on one node; the other holds one all the same.
      'node subnet, addresses 10.1.0.0/28: 2 of 11, 9',
      'pod subnet, addresses 10.1.8.0/24: 48 of 251, 12',
      'nodes of a cluster -: 2 of 5000, 4998',
      'first: node subnet, addresses 9',
      'fullest: 17 of 110',
    ],
    'pod subnets give sixteen at a time',
  );
  t.same(
    plan(
      wiring(
        `networkPluginMode: overlay\npodCidr: 10.244.0.0/22\n${subnets('10.1.0.0/24')}\nnodePools: [{name: p, count: 3}]`,
      ),
    ),
    [
      'node subnet, addresses 10.1.0.0/24: 3 of 251, 248',
      'pod range, /24 a node 10.244.0.0/22: 3 of 4, 1',
      'nodes of a cluster -: 3 of 5000, 4997',
      'first: pod range, /24 a node 1',
      'fullest: 0 of 250',
    ],
    'overlay: a /24 a node',
  );
  t.same(
    plan(
      wiring('networkPlugin: kubenet\npodCidr: 10.64.0.0/10\nnodePools: [{name: p, count: 399}]'),
    ).slice(-3),
    ['nodes of a cluster -: 399 of 400, 1', 'first: nodes of a cluster 1', 'fullest: 0 of 110'],
    'kubenet: 400 routes',
  );
  t.match(
    plan(
      wiring('networkPlugin: kubenet\nipFamilies: [IPv4, IPv6]\nnodePools: [{name: p, count: 10}]'),
    ).join(),
    'nodes of a cluster -: 10 of 200, 190',
    'kubenet in two families: two routes a node',
  );
});

/** Code, place and message of each refusal. */
function refusals(...documents: readonly string[]): readonly string[] {
  try {
    parseInputs('grown.yaml', documents.join(''));
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.diagnostics.map((d) => `${d.code} ${d.line} ${d.message}`);
  }
}

const ranged = (name: string, address: string, range: string) =>
  `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}\nspec: {podCIDR: ${range}, podCIDRs: [${range}]}
status: {addresses: [{type: InternalIP, address: ${address}}]}\n---\n`;

t.test('what grew too far is refused where it stands, all of it at once', async (t) => {
  const many = (plugin: string, count: number) =>
    wiring(
      `networkPlugin: ${plugin}\npodCidr: 10.64.0.0/10\nnodePools: [{name: p, count: ${count}}]`,
    );
  t.same(refusals(many('kubenet', 400)), []);
  t.same(refusals(many('kubenet', 401)), [
    'AZURE_NODES 1 a cluster with kubenet has at most 400 nodes: a route table has 400 routes',
  ]);
  t.same(
    refusals(
      wiring('networkPluginMode: overlay\npodCidr: 10.244.0.0/16'),
      ranged('a', '10.224.0.4', '10.244.1.0/24'),
      ranged('b', '10.224.0.5', '10.244.1.0/25'),
      ranged('c', '10.224.0.6', '10.245.0.0/24'),
    ),
    [
      'AZURE_NODE_RANGE 12 a node has a /24 of the pod range',
      'AZURE_NODE_RANGE 12 overlaps the range of Node/a (grown.yaml:6)',
      'AZURE_NODE_RANGE 18 is not inside the pod range',
    ],
  );
  t.same(
    refusals(
      wiring(
        'networkPluginMode: overlay\npodCidr: 10.244.0.0/25\nnodePools: [{name: p, count: 1}]',
      ),
    ),
    ['AZURE_POD_RANGE 4 the pod range 10.244.0.0/25 has no /24 for even one node'],
  );
  t.same(
    refusals(
      wiring('networkPluginMode: overlay\npodCidr: 10.244.0.0/23'),
      ranged('a', '10.224.0.4', '10.244.0.0/24'),
      node('b', '10.224.0.5'),
      node('c', '10.224.0.6'),
    ),
    ['ADDRESS_EXHAUSTED 17 no address left for it in the podCidr'],
  );
  t.same(
    refusals(
      wiring(
        'networkPluginMode: overlay\npodCidr: 10.240.0.0/12\nvirtualNetworks: [{addressPrefixes: [10.1.0.0/16]}]',
      ),
      ranged('a', '10.1.0.4', '10.244.0.0/24'),
      ...Array.from({ length: 251 }, (_, i) => pod(`p${i}`, 'a', `10.244.0.${i + 2}`)),
    ),
    ['AZURE_MAX_PODS 7 a node has at most 250 pods'],
  );
});

t.test('doctor prints the plan, and every mistake with its place', async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-plan-'));
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }));
  const good = wiring(
    'networkPluginMode: overlay\npodCidr: 10.244.0.0/22\nnodePools: [{name: p, count: 3}]',
  );
  writeFileSync(join(cwd, 'good.yaml'), good);
  const told = await wiretrial(['doctor', '-f', 'good.yaml'], { cwd });
  t.equal(told.status, 0, told.stderr);
  t.match(told.stdout, /pod range, \/24 a node +10\.244\.0\.0\/22 +4 +3 +1 +1\n/);
  t.match(
    told.stdout,
    'ends first as nodes are added: pod range, /24 a node 10.244.0.0/22 (1 more)',
  );
  const json = await wiretrial(['doctor', '-f', 'good.yaml', '-o', 'json'], { cwd });
  const { addressPlan } = JSON.parse(json.stdout) as {
    addressPlan: { first: { moreNodes: number } };
  };
  t.equal(addressPlan.first.moreNodes, 1);
  const bad = wiring(
    'networkPluginMode: overlay\npodCidr: 172.30.0.0/16\nserviceCidr: 192.0.2.0/24\nvirtualNetworks: [{addressPrefixes: [192.0.2.0/25]}]',
  );
  writeFileSync(join(cwd, 'bad.yaml'), bad);
  const refused = await wiretrial(['doctor', '-f', 'bad.yaml'], { cwd });
  t.equal(refused.status, 2);
  for (const [line, what] of [
    [4, 'which Azure reserves'],
    [5, 'which Azure reserves'],
    [6, 'which Azure reserves'],
    [5, 'overlaps 192.0.2.0/25 of virtualNetworks'],
  ] as const) {
    const lines = refused.stderr.split('\n');
    t.ok(
      lines.some((l) => l.includes(`bad.yaml:${line}:`) && l.includes(what)),
      `${line}: ${what}`,
    );
  }
});
