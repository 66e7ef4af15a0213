/**
 * kube-proxy's chains for the objects of real clusters equal what the nodes of these clusters held,
 * and stand among the chains of other products where they stood there.
 *
 * A kubeadm cluster of 2024 (v1.29), whose objects its report shows, line by line; the AKS cluster of
 * April 2022 of Azure/azure-container-networking's fixture (v1.22 or older), whose pods NPM's cache
 * lists and whose Services cyclonus makes, up to what later releases write otherwise.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { findChain, findTable, type Plan } from '../../src/plan/model.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { formatRule } from '../../src/plan/rule/rule-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { sharedPath } from '../support/shared.ts';

const folder = sharedPath('data/clusters');
const needs = { skip: folder === null && 'needs ../shared' };

function read(path: string): string {
  return readFileSync(join(folder ?? '', path), 'utf8');
}

function nodePlan(text: string, stack: string, node = 0): Plan {
  const { cluster, policies } = parseInputs('c.yaml', text);
  const request = { cluster, policies, stack: parseStack(stack), masquerade: true };
  const plan = renderNetwork(request).nodes[node];
  if (plan === undefined) throw new Error(`the cluster has a node ${node}`);
  return plan;
}

function pod(name: string, labels: string, node: string, ip: string): string {
  const [namespace, own] = name.split('/');
  return `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${own}, namespace: ${namespace}, labels: {${labels}}}
spec: {nodeName: ${node}, containers: [{name: c}]}\nstatus: {phase: Running, podIP: ${ip}}\n`;
}

function service(name: string, spec: string): string {
  const [namespace, own] = name.split('/');
  return `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${own}, namespace: ${namespace}}\nspec: {${spec}}\n`;
}

function node(name: string, ip: string): string {
  return `---\napiVersion: v1\nkind: Node\nmetadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: ${ip}}]}\n`;
}

/** The `-A` lines of one table, all of whose text is between `*TABLE` and COMMIT. */
function rulesOf(save: string, table: string): readonly string[] {
  const text = new RegExp(`\\*${table}\\n[\\s\\S]*?COMMIT`).exec(save)?.[0] ?? '';
  return text.split('\n').filter((line) => line.startsWith('-A '));
}

/** Lines of kube-proxy's own chains: KUBE-SERVICES is filled in the order of a Go map. */
function proxyLines(save: string): readonly string[] {
  const own = [...rulesOf(save, 'nat'), ...rulesOf(save, 'filter')].filter((line) =>
    line.startsWith('-A KUBE-'),
  );
  return own.toSorted((a, b) => (chainOf(a) < chainOf(b) ? -1 : Number(chainOf(a) > chainOf(b))));
}

function chainOf(line: string): string {
  const chain = line.split(' ')[1] ?? '';
  return chain === 'KUBE-SERVICES' ? line : chain;
}

const KUBEADM = [
  node('master', '192.168.157.133'),
  node('worker', '192.168.157.134'),
  '---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n',
  'clusterCIDR: 10.244.0.0/16\n',
  ...[4, 5].map((n) =>
    pod(`kube-system/coredns-${n}`, 'k8s-app: kube-dns', 'master', `10.244.0.${n}`),
  ),
  ...[4, 5, 6].map((n) => pod(`default/app2-${n}`, 'app: app2', 'worker', `10.244.1.${n}`)),
  service(
    'default/kubernetes',
    'clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]',
  ),
  '---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: kubernetes}\n',
  'subsets: [{addresses: [{ip: 192.168.157.133}], ports: [{name: https, port: 6443}]}]\n',
  service(
    'kube-system/kube-dns',
    'clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, ' +
      'protocol: UDP}, {name: dns-tcp, port: 53}, {name: metrics, port: 9153}]',
  ),
  service(
    'default/service1',
    'clusterIP: 10.108.64.11, selector: {app: app2}, ports: [{port: 8080, targetPort: 8080, ' +
      'name: fileserver}, {port: 3000, targetPort: 3000, name: downloader}]',
  ),
].join('');

t.test('a kubeadm node holds what we render of its cluster, line by line', needs, async (t) => {
  const dump = proxyLines(read('kubeadm-flannel-docker-2024/iptables-save.txt'));
  const plan = nodePlan(KUBEADM, 'azure-transparent+none');
  t.strictSame(proxyLines(printIptables(plan, 4)), dump);
  t.ok(dump.length > 50, `${dump.length} lines`);
});

const AKS = 'aks-azure-npm-v2-2022';

/** cyclonus' Services x/s-x-a … z/s-z-c with the ClusterIPs that they were given. */
function cyclonus(save: string): string {
  const cache = JSON.parse(read(`${AKS}/npmcache.json`)) as {
    readonly PodMap: Readonly<Record<string, { readonly PodIP: string }>>;
  };
  const documents = [node('aks-nodepool1-74283791-vmss000001', '10.224.0.35')];
  for (const namespace of ['x', 'y', 'z']) {
    for (const name of ['a', 'b', 'c']) {
      const ip = cache.PodMap[`${namespace}/${name}`]?.PodIP ?? '';
      const own = `s-${namespace}-${name}`;
      const rule = save
        .split('\n')
        .find((line) => line.includes(`${namespace}/${own}:`) && line.includes('cluster IP'));
      const clusterIp = / -d (\S+)\/32/.exec(rule ?? '')?.[1];
      const ports = [80, 81].flatMap((port) =>
        ['tcp', 'udp'].map(
          (protocol) =>
            `{name: service-port-${protocol}-${port}, port: ${port}, protocol: ${protocol.toUpperCase()}}`,
        ),
      );
      documents.push(
        pod(`${namespace}/${name}`, `pod: ${name}`, 'aks-nodepool1-74283791-vmss000001', ip),
        service(
          `${namespace}/${own}`,
          `clusterIP: ${clusterIp}, selector: {pod: ${name}}, ports: [${ports.join(', ')}]`,
        ),
      );
    }
  }
  documents.push(
    '---\napiVersion: wiretrial/v1\nkind: Wiring\nnetworkPlugin: azure\n',
    'virtualNetworks: [{addressPrefixes: [10.224.0.0/12], subnets: [{addressPrefix: 10.224.0.0/16}]}]\n',
  );
  return documents.join('');
}

/**
 * A rule of today as v1.22 wrote it: off-cluster traffic was marked in KUBE-SERVICES, and a rule that
 * leads to an endpoint did not name it.
 */
function asIn2022(line: string): string {
  const masquerade = /^-A KUBE-SVC-\w+ (.*-j KUBE-MARK-MASQ)$/.exec(line)?.[1];
  if (masquerade !== undefined) return `-A KUBE-SERVICES ${masquerade}`;
  return line.replace(/ -> [\d.:]+"/, '"');
}

t.test('an AKS node of 2022 holds what we render of its pods and Services', needs, async (t) => {
  const save = read(`${AKS}/iptables-save.txt`);
  const isOurs = (line: string) => /"[xyz]\/s-[xyz]-[abc]:/.test(line);
  const dump = rulesOf(save, 'nat').filter(isOurs);
  const plan = nodePlan(cyclonus(save), 'azure-bridge+none');
  const ours = rulesOf(printIptables(plan, 4), 'nat').filter(isOurs).map(asIn2022);
  t.strictSame(ours.toSorted(), dump.toSorted());
  t.equal(
    dump.length,
    9 * 4 * 5,
    'two rules of KUBE-SERVICES, one of KUBE-SVC, two of KUBE-SEP each',
  );
});

/** What a chain's rules lead to, in order. */
function targetsOf(lines: readonly string[], chain: string): readonly string[] {
  return lines
    .filter((line) => line.startsWith(`-A ${chain} `))
    .map((line) => / -j (\S+)/.exec(line)?.[1] ?? '');
}

function targetsIn(plan: Plan, table: 'filter' | 'nat', chain: string): readonly string[] {
  const { rules } = findChain(findTable(plan, 4, table), chain) ?? { rules: [] };
  return targetsOf(
    rules.map((rule) => formatRule(rule, chain)),
    chain,
  );
}

const ONE_NODE = node('n', '10.224.0.4');

/** Dump, stack, and chains of which the dump lacks (it is older) or adds a product we do not render. */
const ORDERS: readonly {
  readonly dump: string;
  readonly stack: string;
  readonly chains: readonly (readonly ['filter' | 'nat', string])[];
  readonly newer: readonly string[];
}[] = [
  {
    dump: 'aks-kubenet-calico-2023',
    stack: 'azure-transparent+calico',
    chains: [
      ['filter', 'INPUT'],
      ['filter', 'FORWARD'],
      ['filter', 'OUTPUT'],
    ],
    newer: [],
  },
  {
    dump: AKS,
    stack: 'azure-transparent+npm,version=1.4.23,place-first=true',
    chains: [
      ['filter', 'INPUT'],
      ['filter', 'FORWARD'],
      ['filter', 'OUTPUT'],
      ['nat', 'PREROUTING'],
      ['nat', 'OUTPUT'],
      ['nat', 'POSTROUTING'],
    ],
    newer: ['KUBE-PROXY-FIREWALL'],
  },
];

/** AgentBaker's block of the wire server, which stands wherever it was inserted last. */
const isWireServer = (target: string) => target === 'DROP';

t.test('products stand in each hook in the order of an AKS node', needs, async (t) => {
  for (const { dump, stack, chains, newer } of ORDERS) {
    const save = read(`${dump}/iptables-save.txt`);
    const plan = nodePlan(ONE_NODE, stack);
    for (const [table, chain] of chains) {
      const wanted = targetsOf(rulesOf(save, table), chain).filter((to) => !isWireServer(to));
      const got = targetsIn(plan, table, chain).filter(
        (to) => !newer.includes(to) && !isWireServer(to),
      );
      t.strictSame(got, wanted, `${stack}: ${table} ${chain}`);
    }
  }
});
