/**
 * What nodes share of kube-proxy's rules is what each would have alone: nodes of one cluster in a
 * row, each beside the same node rendered from copies of the objects, which share nothing.
 * @module
 */
import { inspect } from 'node:util';
import t from 'tap';
import type { Cluster, Node } from '../../src/cluster/model.ts';
import { proxySettings } from '../../src/dataplane/kube-proxy/config.ts';
import { renderKubeProxy } from '../../src/dataplane/kube-proxy/render.ts';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

const ZONE = 'topology.kubernetes.io/zone';

function node(name: string, i: number, zone: string): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}, labels: {${ZONE}: ${zone}}}
spec: {podCIDRs: [10.244.${i}.0/24, "fd12:3456:789a:0:${i}::/80"]}
status: {addresses: [{type: InternalIP, address: 10.224.0.${4 + i}}, {type: InternalIP, address: "fd12:3456:789a:8::${4 + i}"}]}`;
}

function pod(name: string, on: string, i: number, last: number): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: a}}
spec: {nodeName: ${on}, containers: [{name: c, ports: [{containerPort: 80}]}]}
status: {phase: Running, podIPs: [{ip: 10.244.${i}.${last}}, {ip: "fd12:3456:789a:0:${i}::${last}"}], conditions: [{type: Ready, status: "True"}]}`;
}

function service(name: string, spec: string, selector = '{app: a}'): string {
  return `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}
spec: {ipFamilyPolicy: RequireDualStack, selector: ${selector}, ports: [{port: 80}], ${spec}}`;
}

/** Two addresses that are one: the node that it is on prefers its own. */
const TWINS = `apiVersion: v1\nkind: Service\nmetadata: {name: twins}\nspec: {ports: [{port: 80}]}
---
${slice('one', 'node-a', 'true')}
---
${slice('two', 'node-b', 'false')}`;

function slice(name: string, on: string, ready: string): string {
  return `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice
metadata: {name: ${name}, labels: {kubernetes.io/service-name: twins}}
addressType: IPv4\nports: [{port: 80}]
endpoints: [{addresses: [10.244.7.7], nodeName: ${on}, conditions: {ready: ${ready}, serving: true, terminating: true}}]`;
}

const CLUSTER = [
  'apiVersion: wiretrial/v1\nkind: Wiring\nnetworkPluginMode: overlay\nipFamilies: [IPv4, IPv6]',
  node('node-a', 0, 'z1'),
  node('node-b', 1, 'z1'),
  node('node-c', 2, 'z2'),
  node('node-d', 3, 'z2'),
  pod('a1', 'node-a', 0, 10),
  pod('a2', 'node-a', 0, 11),
  pod('c1', 'node-c', 2, 10),
  service('plain', 'type: ClusterIP'),
  service('nobody', 'type: NodePort', '{app: none}'),
  service('nobody-too', 'type: NodePort', '{app: none}'),
  service('inside', 'internalTrafficPolicy: Local'),
  service('outside', 'type: LoadBalancer, externalTrafficPolicy: Local'),
  service('near', 'trafficDistribution: PreferClose'),
  service('nearest', 'trafficDistribution: PreferSameNode'),
  service('sticky', 'type: NodePort, sessionAffinity: ClientIP'),
  service(
    'ranged',
    'type: LoadBalancer, loadBalancerSourceRanges: [10.224.0.4/31, 192.0.2.0/24], loadBalancerIP: 20.1.1.1',
  ),
  TWINS,
].join('\n---\n');

function planOf(cluster: Cluster, of: Node, stack: string): unknown {
  const { services, endpointSlices } = cluster;
  const builder = new PlanBuilder(of.name, 'node');
  const settings = proxySettings(cluster, parseStack(stack));
  const { serviceCidrs } = cluster.wiring;
  renderKubeProxy(builder, { services, endpointSlices, node: of, settings, serviceCidrs });
  return builder.build();
}

t.test('nodes that share rules have those that they would have alone', async (t) => {
  const { cluster } = parseInputs('c.yaml', CLUSTER);
  // Node ranges make every node's way to tell pods another one.
  for (const stack of ['azure-overlay+none', 'azure-overlay+none,kube-proxy=nftables']) {
    for (const detect of [null, { mode: 'NodeCIDR' as const }]) {
      const config = { ...proxySettings(cluster, parseStack(stack)), detectLocal: detect };
      const given =
        detect === null ? cluster : { ...cluster, kubeProxy: { ...config, detectLocal: detect } };
      const texts = new Set<string>();
      for (const of of cluster.nodes) {
        const alone = structuredClone({
          services: cluster.services,
          endpointSlices: cluster.endpointSlices,
        });
        const together = planOf(given, of, stack);
        t.strictSame(together, planOf({ ...given, ...alone }, of, stack), `${stack} ${of.name}`);
        texts.add(inspect(together, { depth: 20 }).replaceAll(of.name, ''));
      }
      t.ok(texts.size > 1, 'nodes differ in what is theirs');
    }
  }
});

t.test('nodes that share Calico’s chains have those that they would have alone', async (t) => {
  const policy = (name: string, spec: string) =>
    `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}}\nspec: {${spec}}`;
  const text = [
    node('node-a', 0, 'z1'),
    node('node-b', 1, 'z1'),
    node('node-c', 2, 'z2'),
    pod('a1', 'node-a', 0, 10),
    pod('a2', 'node-a', 0, 11).replace('{app: a}', '{app: b}'),
    pod('c1', 'node-c', 2, 10),
    policy('all', 'podSelector: {}, ingress: [{from: [{podSelector: {}}]}]'),
    policy('b', 'podSelector: {matchLabels: {app: b}}, policyTypes: [Egress], egress: []'),
    policy('b2', 'podSelector: {matchLabels: {app: b}}, ingress: [{ports: [{port: 80}]}]'),
  ].join('\n---\n');
  const { cluster, policies } = parseInputs('c.yaml', text);
  const stack = parseStack('azure-transparent+calico');
  const { nodes } = renderNetwork({ cluster, policies, stack });
  nodes.forEach((together, i) => {
    const own = cluster.nodes.toSorted(
      (a, b) => Number(b.name === together.host) - Number(a.name === together.host),
    );
    // Rendered first, from copies, a node shares nothing that another has made.
    const alone = renderNetwork({
      cluster: structuredClone({ ...cluster, nodes: own }),
      policies: structuredClone(policies),
      stack,
    });
    t.strictSame(together, alone.nodes[0], `node ${i}`);
  });
});
