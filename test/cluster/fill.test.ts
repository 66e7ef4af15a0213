/**
 * What is missing is filled as the platform would, and the same every time.
 * @module
 */
import t from 'tap';
import type { AddressOwner } from '../../src/cluster/address/address-plan.ts';
import { addressPlan } from '../../src/cluster/address/address-plan.ts';
import type { Cluster } from '../../src/cluster/model.ts';
import { UserError } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress, formatPrefix, parseAddress } from '../../src/wire/address/address.ts';
import { dualStackTrio, twoNodesShop } from '../support/clusters.ts';

const load = (...documents: readonly string[]): Cluster =>
  parseInputs('f.yaml', documents.join('\n---\n')).cluster;
const pod = (name: string, rest = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}\n${rest}`;
const node = (name: string, rest = '') =>
  `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}\n${rest}`;
const wiring = (rest: string) => `apiVersion: wiretrial/v1\nkind: Wiring\n${rest}`;
const service = (name: string, spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}`;

const nodesOf = (c: Cluster) =>
  c.nodes.map((n) => `${n.name} ${n.addresses.map(formatAddress)} ${n.podCidrs.map(formatPrefix)}`);
const podsOf = (c: Cluster) =>
  c.pods.map((p) => `${p.name}@${p.node} ${p.addresses.map(formatAddress)}`);

t.test('bare pods get AKS default nodes, in turn, and addresses after their node', async (t) => {
  const c = load(pod('a'), pod('b'), pod('c'), pod('d'));
  const vm = 'aks-nodepool1-00000000-vmss00000';
  t.same(nodesOf(c), [`${vm}0 10.224.0.4 `, `${vm}1 10.224.0.35 `, `${vm}2 10.224.0.66 `]);
  t.same(podsOf(c), [
    `a@${vm}0 10.224.0.5`,
    `b@${vm}1 10.224.0.36`,
    `c@${vm}2 10.224.0.67`,
    `d@${vm}0 10.224.0.6`,
  ]);
  t.same(c.wiring.vnet.map(formatPrefix), ['10.224.0.0/12']);
  t.same(c.wiring.subnets.map(formatPrefix), ['10.224.0.0/16']);
  t.equal(c.wiring.inferred, true);
  t.same(c, load(pod('a'), pod('b'), pod('c'), pod('d')), 'the same every time');
});

t.test('given addresses stay, and filled ones pass them over', async (t) => {
  const given = `spec: {nodeName: n}\nstatus: {podIP: 10.1.0.5, hostIP: 10.1.0.4}`;
  const c = load(
    pod('a', given),
    pod('b', 'spec: {nodeName: n}'),
    pod('h', 'spec: {nodeName: n, hostNetwork: true}'),
  );
  t.same(nodesOf(c), ['n 10.1.0.4 ']);
  t.same(podsOf(c), ['a@n 10.1.0.5', 'b@n 10.1.0.6', 'h@n 10.1.0.4']);
  t.same(c.wiring.vnet.map(formatPrefix), ['10.1.0.0/16']);
});

t.test('finished and pending pods have no address', async (t) => {
  const c = load(
    node('n'),
    pod('done', 'spec: {nodeName: n}\nstatus: {phase: Succeeded, podIP: 10.1.0.5}'),
    pod('new', 'spec: {nodeName: n}\nstatus: {phase: Running, podIP: 10.1.0.5}'),
    pod('waits', 'status: {phase: Pending}'),
    pod('homeless', 'spec: {nodeSelector: {disk: ssd}}'),
  );
  t.same(podsOf(c), ['done@n ', 'new@n 10.1.0.5', 'waits@ ', 'homeless@ ']);
  t.equal(c.pods[3]?.phase, 'Pending', 'no node has the label');
});

t.test('overlay: a /24 for each node, pods from .2 on, nodes from the subnet', async (t) => {
  const c = load(
    wiring('networkPlugin: azure\nnetworkPluginMode: overlay\nnodePools: [{name: p, count: 2}]'),
    pod('a'),
    pod('b'),
  );
  const vm = 'aks-p-00000000-vmss00000';
  t.same(nodesOf(c), [`${vm}0 10.224.0.4 10.244.0.0/24`, `${vm}1 10.224.0.5 10.244.1.0/24`]);
  t.same(podsOf(c), [`a@${vm}0 10.244.0.2`, `b@${vm}1 10.244.1.2`]);
  t.equal(c.wiring.inferred, false);
});

t.test('two families: an address of each for everything', async (t) => {
  const { cluster } = dualStackTrio();
  for (const n of cluster.nodes)
    t.same(
      n.addresses.map((a) => a.family),
      [4, 6],
      n.name,
    );
  for (const p of cluster.pods)
    t.same(
      p.addresses.map((a) => a.family),
      [4, 6],
      p.name,
    );
});

t.test('maxPods addresses are kept behind each node', async (t) => {
  const c = load(wiring('nodePools: [{name: p, count: 2, maxPods: 10}]'), pod('a'), pod('b'));
  t.same(
    c.nodes.map((n) => n.addresses.map(formatAddress).join()),
    ['10.224.0.4', '10.224.0.15'],
  );
});

t.test('a range that is full is said, with who went without', async (t) => {
  const small = wiring(
    'virtualNetworks: [{addressPrefixes: [10.9.0.0/29], subnets: [{addressPrefix: 10.9.0.0/29}]}]\nnodePools: [{name: p, count: 1}]',
  );
  t.throws(
    () => load(small, ...['a', 'b', 'c'].map((n) => pod(n))),
    new UserError([
      {
        code: 'ADDRESS_EXHAUSTED',
        object: 'default/Pod/c',
        message: 'no address left for it in the subnet',
      },
    ]),
  );
});

t.test('ClusterIPs: the kept ones, then the upper band; never for headless ones', async (t) => {
  const c = load(
    service('kubernetes', 'ports: [{port: 443}]'),
    service('web', 'ports: [{port: 80}], type: NodePort, selector: {app: web}'),
    service('none', 'ports: [{port: 80}], clusterIP: None'),
    service('taken', 'ports: [{port: 80}], clusterIP: 10.0.1.1'),
    service('name', 'type: ExternalName, externalName: example.org'),
  );
  t.same(
    c.services.map(
      (s) => `${s.name} ${s.clusterIps.map(formatAddress)} ${s.ports[0]?.nodePort ?? ''}`,
    ),
    ['kubernetes 10.0.0.1 ', 'web 10.0.1.2 30086', 'none  ', 'taken 10.0.1.1 ', 'name  '],
  );
});

t.test('the service range steps aside for the nodes, and covers what is given', async (t) => {
  const near = load(node('n', 'status: {addresses: [{type: InternalIP, address: 10.0.0.4}]}'));
  t.same(near.wiring.serviceCidrs.map(formatPrefix), ['10.1.0.0/16']);
  const given = load(
    service('a', 'ports: [{port: 1}], clusterIP: 10.96.0.1'),
    service('b', 'ports: [{port: 1}], clusterIP: 10.99.3.1'),
  );
  t.same(given.wiring.serviceCidrs.map(formatPrefix), ['10.96.0.0/14']);
});

t.test('EndpointSlices follow selectors, named ports pod by pod', async (t) => {
  const port = (n: number) =>
    `spec: {containers: [{name: c, ports: [{name: http, containerPort: ${n}}]}]}`;
  const labelled = (name: string, n: number) =>
    pod(name, port(n)).replace(`app: ${name}`, 'app: web');
  const c = load(
    service('web', 'ports: [{port: 80, targetPort: http}], selector: {app: web}'),
    labelled('a', 8080),
    labelled('b', 9090),
    pod('x', port(1)),
  );
  t.same(
    c.endpointSlices.map((s) => [
      s.service,
      s.endpoints.map((e) => e.pod),
      s.ports.map((p) => p.port),
    ]),
    [
      ['web', ['a'], [8080]],
      ['web', ['b'], [9090]],
    ],
  );
});

t.test('workloads make the pods that their controllers would', async (t) => {
  const template =
    'selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}';
  const workload = (kind: string, name: string, extra = '') =>
    `apiVersion: ${kind.endsWith('Job') ? 'batch' : 'apps'}/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: {${extra}${template}}`;
  const c = load(
    workload('Deployment', 'd', 'replicas: 2, '),
    workload('StatefulSet', 's', 'replicas: 2, '),
    workload('DaemonSet', 'ds'),
    workload('Job', 'j'),
  );
  const names = c.pods.map((p) => p.name);
  t.equal(names.length, 2 + 2 + 3 + 1);
  t.match(names[0], /^d-[a-z0-9]{10}-[a-z0-9]{5}$/);
  t.same(names.slice(2, 4), ['s-0', 's-1']);
  t.match(names[4], /^ds-[a-z0-9]{5}$/);
  t.equal(new Set(names).size, names.length, 'each name once');
  t.equal(c.pods[2]?.labels['statefulset.kubernetes.io/pod-name'], 's-0');
  t.same(
    c.pods.slice(4, 7).map((p) => p.node),
    c.nodes.map((n) => n.name),
    'one on each node',
  );
  const own = pod('mine').replace('app: mine', 'a: b');
  t.same(
    load(workload('Deployment', 'd'), own).pods.map((p) => p.name),
    ['mine'],
    'pods given',
  );
});

t.test('namespaces that are used exist, with the label that the API server sets', async (t) => {
  const c = load(pod('a').replace('name: a', 'name: a, namespace: shop'), pod('b'));
  t.same(
    c.namespaces.map((n) => [n.name, n.labels]),
    ['shop', 'default'].map((n) => [n, { 'kubernetes.io/metadata.name': n }]),
  );
});

t.test('masquerade ConfigMaps: the user adds, the reconciled one replaces', async (t) => {
  const map = (name: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: kube-system}\ndata:\n  config: |\n    nonMasqueradeCIDRs: [192.168.0.0/16]`;
  const of = (c: Cluster) => c.wiring.nonMasqueradeCidrs.map(formatPrefix);
  const usual = ['10.224.0.0/12', '10.224.0.0/16', '10.0.0.0/16'];
  t.same(of(load(pod('a'))), usual);
  t.same(of(load(map('azure-ip-masq-agent-config'))), [...usual, '192.168.0.0/16']);
  t.same(of(load(map('azure-ip-masq-agent-config-reconciled'))), ['192.168.0.0/16']);
});

function ownerText(o: AddressOwner): string {
  switch (o.kind) {
    case 'pod':
      return `pod ${o.pod.name}`;
    case 'node':
      return `node ${o.node.name}`;
    case 'service':
      return `service ${o.service.name} ${o.role}`;
    case 'unowned':
      return `nobody in ${o.range}`;
    case 'external':
      return 'external';
  }
}

t.test('the address plan knows each owner', async (t) => {
  const c = load(
    node('n', 'status: {addresses: [{type: InternalIP, address: 10.1.0.4}]}'),
    pod('a', 'spec: {nodeName: n}\nstatus: {podIP: 10.1.0.5}'),
    pod('h', 'spec: {nodeName: n, hostNetwork: true}'),
    pod('done', 'status: {phase: Failed, podIP: 10.1.0.6}'),
    service('s', 'ports: [{port: 80}]'),
  );
  const plan = addressPlan(c);
  const owners = (address: string) => plan.ownersOf(parseAddress(address)!).map(ownerText);
  t.same(owners('10.1.0.4'), ['node n', 'pod h'], 'a hostNetwork pod shares its node');
  t.same(owners('10.1.0.5'), ['pod a']);
  t.same(owners('10.1.0.6'), ['nobody in subnet'], 'a finished pod owns nothing');
  t.same(owners('10.0.1.1'), ['service s clusterIp']);
  t.same(owners('10.0.9.9'), ['nobody in serviceCidr']);
  t.same(owners('8.8.8.8'), ['external']);
  t.same(owners('::ffff:10.1.0.5'), ['external'], 'a mapped address is of the other family');
  t.equal(plan.findPod('default', 'a'), c.pods[0]);
  t.equal(plan.findNode('n'), c.nodes[0]);
  t.same(
    plan.podsOn('n').map((p) => p.name),
    ['a', 'h'],
  );
});

t.test('the shared shop loads with its policies and their places', async (t) => {
  const { cluster, policies } = twoNodesShop();
  t.equal(cluster.pods.length, 5);
  t.same(
    policies.map((p) => p.name),
    ['api-from-web', 'db-from-api'],
  );
  t.equal(policies[1]?.ingress[0]?.source.file, 'shop.yaml');
});
