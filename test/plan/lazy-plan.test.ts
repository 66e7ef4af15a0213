/**
 * A plan that is written later is the plan that would be written now, whoever looks.
 * @module
 */
import t from 'tap';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { lazyPlan } from '../../src/plan/lazy-plan.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

function plan(host: string): PlanBuilder {
  const builder = new PlanBuilder(host, 'node');
  builder.sysctls['net.ipv4.ip_forward'] = '1';
  builder.append(4, 'filter', 'FORWARD', { target: { kind: 'drop' } });
  return builder;
}

t.test('it is written once, when it is first looked into, and is all of it', async (t) => {
  let written = 0;
  const lazy = lazyPlan({ host: 'n', role: 'node', evidence: 'source' }, () => {
    written++;
    return plan('n').build();
  });
  t.equal(lazy.host, 'n');
  t.equal(lazy.evidence, 'source');
  t.equal(written, 0, 'its head is known');
  t.strictSame({ ...lazy }, plan('n').build(), 'a copy has every part');
  t.strictSame(Object.keys(lazy).toSorted(), Object.keys(plan('n').build()).toSorted());
  t.equal(lazy.tables, lazy.tables);
  t.equal(written, 1);
});

t.test('a plan that is not as announced is our mistake', async (t) => {
  const head = { host: 'n', role: 'node', evidence: 'source' } as const;
  t.throws(() => lazyPlan(head, () => plan('m').build()).routes, /as it was announced/);
  const weaker = plan('n');
  weaker.evidence = 'documentation';
  t.throws(() => lazyPlan(head, () => weaker.build()).routes, /as it was announced/);
  const gaps = { ...plan('n').build(), gaps: ['routes'] as const };
  t.throws(() => lazyPlan(head, () => gaps).routes, /as it was announced/);
});

t.test('nodes of a large cluster are those of it cut to the last ones', async (t) => {
  const node = (i: number) =>
    `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n${i}"},"status":{"addresses":[{"type":"InternalIP","address":"10.1.${i >> 6}.${(i & 63) + 4}"}]}}`;
  const pod = (i: number) =>
    `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p${i}","labels":{"app":"a"}},"spec":{"nodeName":"n${i}","containers":[{"name":"c"}]},"status":{"phase":"Running","podIP":"10.1.${100 + (i >> 6)}.${(i & 63) + 4}"}}`;
  const policy =
    '{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"x"},"spec":{"podSelector":{},"ingress":[]}}';
  const all = Array.from({ length: 70 }, (_, i) => i);
  const wiring =
    '{"apiVersion":"wiretrial/v1","kind":"Wiring","virtualNetworks":[{"addressPrefixes":["10.1.0.0/16"],"subnets":[{"addressPrefix":"10.1.0.0/16"}]}]}';
  const items = [wiring, ...all.map(node), ...all.map(pod), policy];
  const text = `{"apiVersion":"v1","kind":"List","items":[${items.join(',')}]}`;
  for (const stack of ['azure-transparent+none', 'azure-transparent+npm']) {
    const { cluster, policies } = parseInputs('c.json', text);
    const network = (nodes: typeof cluster.nodes) =>
      renderNetwork({ cluster: { ...cluster, nodes }, policies, stack: parseStack(stack) }).nodes;
    const late = network(cluster.nodes);
    // The same nodes, the last ones first: what was late is at once.
    const early = network(cluster.nodes.toReversed()).toReversed();
    for (const i of [0, 63, 64, 69]) t.strictSame({ ...late[i] }, { ...early[i] }, `${stack} ${i}`);
  }
});
