/**
 * What kube-proxy and kubelet write on a node beyond the suite of test/suites/kube-proxy-rules.test.ts:
 * the order in which both start, the platform's own settings, large clusters, hints, provenance.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LocalDetector } from '../../src/cluster/model.ts';
import { renderNetwork } from '../../src/dataplane/render.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import type { Rule } from '../../src/netfilter/rule.ts';
import { PlanBuilder } from '../../src/plan/builder.ts';
import { findChain, findTable, type Plan } from '../../src/plan/model.ts';
import { parseIptables } from '../../src/plan/rule/iptables-text.ts';
import { formatRule } from '../../src/plan/rule/rule-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import type { Family } from '../../src/wire/address/address.ts';
import { renderBareProxy } from '../support/bare-proxy.ts';
import { sharedPath } from '../support/shared.ts';

function bare(): Plan {
  const builder = new PlanBuilder('node', 'node');
  renderBareProxy(builder);
  return builder.build();
}

/** The plan of the cluster's first node. */
function nodePlan(text: string, stack = 'azure-transparent+none'): Plan {
  const { cluster, policies } = parseInputs('c.yaml', text);
  const [plan] = renderNetwork({ cluster, policies, stack: parseStack(stack) }).nodes;
  if (plan === undefined) throw new Error('the cluster has a node');
  return plan;
}

function rulesOf(
  plan: Plan,
  table: 'filter' | 'nat',
  chain: string,
  family: Family = 4,
): readonly string[] {
  const found = findChain(findTable(plan, family, table), chain);
  return (found?.rules ?? []).map((rule) => formatRule(rule, chain, family));
}

/** Rules of all of a table's chains whose line matches. */
function grep(plan: Plan, wanted: RegExp, family: Family = 4): readonly string[] {
  const chains = findTable(plan, family, 'nat')?.chains ?? [];
  return chains
    .flatMap(({ name, rules }) => rules.map((rule) => formatRule(rule, name, family)))
    .filter((line) => wanted.test(line));
}

function node(name: string, ip: string, more = ''): string {
  return `---\napiVersion: v1\nkind: Node\nmetadata: {name: ${name}${more}}
status: {addresses: [{type: InternalIP, address: ${ip}}]}\n`;
}

function pod(name: string, on: string, ip: string): string {
  return `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: web}}
spec: {nodeName: ${on}, containers: [{name: c}]}\nstatus: {phase: Running, podIP: ${ip}}\n`;
}

function service(spec: string, more = ''): string {
  return `---\napiVersion: v1\nkind: Service\nmetadata: {name: web}
spec: {clusterIP: 10.0.0.80, selector: {app: web}, ${spec}}\n${more}`;
}

const TWO_PODS = [
  node('n1', '10.224.0.4'),
  node('n2', '10.224.0.5'),
  pod('a', 'n1', '10.224.0.10'),
  pod('b', 'n2', '10.224.0.11'),
].join('');
const HTTP = 'ports: [{name: http, port: 80, targetPort: 8080}]';

const folder = sharedPath('data/clusters');
const needs = { skip: folder === null && 'needs ../shared' };

t.test('jumps stand in the order of an AKS node, kubelet under kube-proxy', needs, async (t) => {
  const file = 'aks-kubenet-calico-2023/iptables-save.txt';
  const tables = parseIptables(readFileSync(join(folder ?? '', file), 'utf8'), file, 4);
  const dump = tables.find((table) => table.name === 'filter');
  for (const chain of ['INPUT', 'FORWARD', 'OUTPUT']) {
    const rules: readonly Rule[] = findChain(dump, chain)?.rules ?? [];
    const lines = rules.map((rule) => formatRule(rule, chain)).filter((l) => l.includes('KUBE-'));
    t.ok(lines.length > 2, `${chain} of the dump has kube-proxy's jumps`);
    t.strictSame(rulesOf(bare(), 'filter', chain), lines, chain);
  }
});

t.test('kubelet guards localhost even where kube-proxy does not', async (t) => {
  const plan = nodePlan(`${TWO_PODS}---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
iptables: {localhostNodePorts: false}
`);
  t.equal(rulesOf(plan, 'filter', 'KUBE-FIREWALL').length, 1);
  t.strictSame(rulesOf(plan, 'filter', 'KUBE-FIREWALL', 6), [], 'IPv6 has no such rule');
  t.equal(plan.sysctls['net.ipv4.conf.all.route_localnet'], undefined);
  t.match(rulesOf(plan, 'nat', 'KUBE-SERVICES').at(-1), /! -d 127\.0\.0\.0\/8/);
});

t.test('a node has the hint and canary chains, empty', async (t) => {
  for (const family of [4, 6] as const) {
    for (const [table, chain] of [
      ['mangle', 'KUBE-IPTABLES-HINT'],
      ['mangle', 'KUBE-KUBELET-CANARY'],
      ['mangle', 'KUBE-PROXY-CANARY'],
      ['nat', 'KUBE-KUBELET-CANARY'],
      ['nat', 'KUBE-PROXY-CANARY'],
      ['filter', 'KUBE-KUBELET-CANARY'],
      ['filter', 'KUBE-PROXY-CANARY'],
    ] as const) {
      const found = findChain(findTable(bare(), family, table), chain);
      t.strictSame(found?.rules, [], `IPv${family} ${table} ${chain}`);
    }
  }
});

t.test('AKS tells pods by their device, behind a bridge by their subnet', async (t) => {
  const masquerade = (stack: string) =>
    grep(nodePlan(TWO_PODS + service(HTTP), stack), /KUBE-SVC-.*-j KUBE-MARK-MASQ/);
  const tail =
    '-p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ';
  const chain = 'KUBE-SVC-37MMAHI7D6DAOFFJ';
  const [device, ...others] = masquerade('azure-transparent+none');
  t.strictSame(others, []);
  t.equal(device?.replace(/KUBE-SVC-\w+/, chain), `-A ${chain} -d 10.0.0.80/32 ! -i azv+ ${tail}`);
  const [subnet] = masquerade('azure-bridge+none');
  t.equal(
    subnet?.replace(/KUBE-SVC-\w+/, chain),
    `-A ${chain} ! -s 10.224.0.0/16 -d 10.0.0.80/32 ${tail}`,
  );
});

const DETECTORS: readonly (readonly [string, LocalDetector['mode'], RegExp | null])[] = [
  [
    'detectLocalMode: ClusterCIDR\nclusterCIDR: "10.224.0.0/12,fd00::/64"',
    'ClusterCIDR',
    /! -s 10\.224\.0\.0\/12 /,
  ],
  ['detectLocalMode: ClusterCIDR', 'none', null],
  ['', 'none', null],
  [
    'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}',
    'BridgeInterface',
    /! -i cbr0 /,
  ],
  [
    'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cali}',
    'InterfaceNamePrefix',
    /! -i cali\+ /,
  ],
];

t.test('a KubeProxyConfiguration is read as it is, from a file or a ConfigMap', async (t) => {
  for (const [text, mode, rule] of DETECTORS) {
    const config = `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${text}\n`;
    const indented = config.split('\n').join('\n    ');
    const map = `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-proxy, namespace: kube-system}
data:\n  config.conf: |\n    ${indented}\n`;
    for (const given of [`---\n${config}`, map]) {
      const all = TWO_PODS + service(HTTP) + given;
      t.equal(parseInputs('c.yaml', all).cluster.kubeProxy?.detectLocal.mode, mode, text);
      const lines = grep(nodePlan(all), /KUBE-SVC-.*-j KUBE-MARK-MASQ/);
      if (rule === null) t.strictSame(lines, [], `no detector: ${text}`);
      else t.match(lines[0], rule, text);
    }
  }
});

t.test('since 1.32 rules count under names, and decide the same', async (t) => {
  const text =
    TWO_PODS + service(`${HTTP.replace('8080', '8080, nodePort: 30080')}, type: NodePort`);
  const plan = nodePlan(text, 'azure-transparent+none,kube-proxy-version=1.32');
  t.equal(
    rulesOf(plan, 'filter', 'KUBE-FORWARD')[0],
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP',
  );
  const ports = rulesOf(plan, 'nat', 'KUBE-NODEPORTS').map((r) => r.replace(/KUBE-EXT-\w+/, 'X'));
  t.strictSame(ports, [
    '-A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m comment --comment "default/web:http" -m tcp --dport 30080 -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j X',
    '-A KUBE-NODEPORTS -p tcp -m comment --comment "default/web:http" -m tcp --dport 30080 -j X',
  ]);
});

t.test('rules name the Service port and the endpoint that they come from', async (t) => {
  const plan = nodePlan(TWO_PODS + service(HTTP));
  const chains = findTable(plan, 4, 'nat')?.chains ?? [];
  const dnat = chains
    .flatMap((c) => c.rules)
    .filter((rule) => rule.target.kind === 'dnat')
    .map((rule) => rule.origin?.map((o) => [o.object, o.field, o.source]));
  const port = ['default/Service/web', 'spec.ports[0] (http)', 'c.yaml:27'];
  t.strictSame(dnat, [
    [port, ['default/Pod/a', undefined, 'c.yaml:12']],
    [port, ['default/Pod/b', undefined, 'c.yaml:18']],
  ]);
  const unnamed = chains.flatMap((c) =>
    /^KUBE-(SVC|SEP|EXT|FW|SVL)-/.test(c.name) ? c.rules.filter((r) => !r.origin) : [],
  );
  t.strictSame(unnamed, []);
});

function slice(endpoints: readonly string[]): string {
  return `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4\nports: [{name: http, port: 8080, protocol: TCP}]
endpoints:\n${endpoints.map((e) => `- {${e}}`).join('\n')}\n`;
}

const zoned = ', labels: {topology.kubernetes.io/zone: z1}';

const HINTS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'all hinted, one for this zone',
    [
      'addresses: [10.224.0.10], hints: {forZones: [{name: z1}]}',
      'addresses: [10.224.0.11], hints: {forZones: [{name: z2}]}',
    ],
    ['10.224.0.10:8080'],
  ],
  [
    'one without a hint: none counts',
    ['addresses: [10.224.0.10], hints: {forZones: [{name: z1}]}', 'addresses: [10.224.0.11]'],
    ['10.224.0.10:8080', '10.224.0.11:8080'],
  ],
  [
    'nothing for this zone: none counts',
    [
      'addresses: [10.224.0.10], hints: {forZones: [{name: z2}]}',
      'addresses: [10.224.0.11], hints: {forZones: [{name: z3}]}',
    ],
    ['10.224.0.10:8080', '10.224.0.11:8080'],
  ],
  [
    'what is not ready needs no hint',
    [
      'addresses: [10.224.0.10], hints: {forZones: [{name: z1}]}',
      'addresses: [10.224.0.11], conditions: {ready: false}',
      'addresses: [10.224.0.12], hints: {forZones: [{name: z2}]}',
    ],
    ['10.224.0.10:8080'],
  ],
  [
    'hints for nodes before hints for zones',
    [
      'addresses: [10.224.0.10], hints: {forNodes: [{name: n2}], forZones: [{name: z1}]}',
      'addresses: [10.224.0.11], hints: {forNodes: [{name: n1}], forZones: [{name: z2}]}',
    ],
    ['10.224.0.11:8080'],
  ],
  [
    'terminating ones only while none is ready, whatever their hints',
    [
      'addresses: [10.224.0.10], conditions: {ready: false, serving: true, terminating: true}',
      'addresses: [10.224.0.11], conditions: {ready: false, serving: false, terminating: true}',
    ],
    ['10.224.0.10:8080'],
  ],
  [
    'twice the same endpoint is one, sorted as text',
    ['addresses: [10.224.0.9, 10.224.0.30]', 'addresses: [10.224.0.10]', 'addresses: [10.224.0.9]'],
    ['10.224.0.10:8080', '10.224.0.9:8080'],
  ],
];

t.test('endpoints are chosen as topology, readiness and order say', async (t) => {
  for (const [what, endpoints, wanted] of HINTS) {
    const plan = nodePlan(node('n1', '10.224.0.4', zoned) + service(HTTP) + slice(endpoints));
    const targets = grep(plan, /KUBE-SEP-.*DNAT/).map((r) => /--to-destination (\S+)/.exec(r)?.[1]);
    t.strictSame(targets, wanted, what);
  }
});

t.test('more than a thousand endpoints lose their comments, and nothing else', async (t) => {
  const endpoints = (count: number) =>
    Array.from({ length: count }, (_, i) => `addresses: [10.224.${4 + (i >> 8)}.${i & 255}]`);
  const planOf = (count: number) =>
    nodePlan(node('n1', '10.224.0.4') + service(HTTP) + slice(endpoints(count)));
  const at = (plan: Plan) => grep(plan, /-A KUBE-(SVC|SEP)-/);
  const small = at(planOf(1000));
  const large = at(planOf(1001));
  t.equal(small.filter((r) => r.includes('->')).length, 1000);
  t.equal(large.filter((r) => r.includes('->')).length, 0);
  t.equal(large.filter((r) => r.includes('--comment')).length, 1, 'the cluster IP keeps its own');
  t.match(large[1], /-m statistic --mode random --probability 0\.00099900\d+ -j KUBE-SEP-/);
  t.equal(large.length, 1 + 3 * 1001);
});

t.test('mode nftables programs tables of nft, and no chain of Services in iptables', async (t) => {
  const text = `${TWO_PODS}---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
`;
  const plan = nodePlan(text);
  t.strictSame(
    plan.nft?.tables.map(({ family, name }) => `${family} ${name}`),
    ['ip kube-proxy', 'ip6 kube-proxy'],
  );
  t.notOk(
    plan.tables
      .find((one) => one.family === 4 && one.name === 'nat')
      ?.chains.some(({ name }) => name === 'KUBE-SERVICES'),
  );
});

t.test(
  'a load balancer answers at the addresses of its status, else at those asked for',
  async (t) => {
    const rules = (more: string, status = '') => {
      const spec = `type: LoadBalancer, ${HTTP}${more}`;
      return grep(nodePlan(TWO_PODS + service(spec, status)), /loadbalancer IP/).map(
        (line) => / -d (\S+)/.exec(line)?.[1],
      );
    };
    const status =
      'status: {loadBalancer: {ingress: [{ip: 20.0.0.1}, {ip: 20.0.0.2, ipMode: Proxy}]}}\n';
    t.strictSame(rules(''), [], 'nobody knows the address');
    t.strictSame(rules(', loadBalancerIP: 20.0.0.9'), ['20.0.0.9/32']);
    t.strictSame(
      rules(', loadBalancerIP: 20.0.0.9', status),
      ['20.0.0.1/32'],
      'only a VIP arrives',
    );
    const annotated = service(`type: LoadBalancer, ${HTTP}`).replace(
      'name: web}',
      'name: web, annotations: {service.beta.kubernetes.io/azure-load-balancer-ipv4: 10.224.0.77}}',
    );
    const [asked] = grep(nodePlan(TWO_PODS + annotated), /loadbalancer IP/);
    t.match(asked, / -d 10\.224\.0\.77\/32 /);
  },
);

t.test('connection tables are as large as kube-proxy makes them', async (t) => {
  const rows = [
    { says: 'nothing', cpu: null, conntrack: '', want: '262144' },
    { says: 'two CPUs', cpu: '2', conntrack: '', want: '131072' },
    { says: 'sixteen CPUs', cpu: '16', conntrack: '', want: '524288' },
    { says: 'more a CPU', cpu: '2', conntrack: 'maxPerCore: 100000', want: '200000' },
    { says: 'at least', cpu: '2', conntrack: 'maxPerCore: 10, min: 500', want: '500' },
    { says: 'leave it', cpu: '2', conntrack: 'maxPerCore: 0, min: 500', want: undefined },
  ];
  for (const { says, cpu, conntrack, want } of rows) {
    const capacity = cpu === null ? '' : `capacity: {cpu: "${cpu}"}, `;
    const sized = node('n1', '10.224.0.4').replace('status: {', `status: {${capacity}`);
    const config = `---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {${conntrack}}
`;
    const plan = nodePlan(sized + config);
    t.equal(plan.sysctls['net.netfilter.nf_conntrack_max'], want, says);
  }
});

t.test(
  'what kube-proxy is told of marks, conntrack and node ranges reaches the node',
  async (t) => {
    const ranged = node('n1', '10.224.0.4').replace(
      'status:',
      'spec: {podCIDR: 10.244.7.0/24}\nstatus:',
    );
    const config = `---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
detectLocalMode: NodeCIDR
iptables: {masqueradeBit: 3}
conntrack: {tcpBeLiberal: true, tcpCloseWaitTimeout: 1m30s, tcpEstablishedTimeout: 0s, udpTimeout: 20s}
`;
    const endpoints = slice(['addresses: [10.224.0.10]']);
    const plan = nodePlan(ranged + service(HTTP) + endpoints + config);
    t.match(grep(plan, /KUBE-SVC-.*MARK-MASQ/)[0], / ! -s 10\.244\.7\.0\/24 /);
    t.strictSame(rulesOf(plan, 'nat', 'KUBE-MARK-MASQ'), [
      '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x8/0x8',
    ]);
    t.match(
      rulesOf(plan, 'filter', 'KUBE-FORWARD')[0],
      /--mark 0x8\/0x8 -j ACCEPT/,
      'no INVALID rule',
    );
    const key = (name: string) => plan.sysctls[`net.netfilter.nf_conntrack_${name}`];
    t.strictSame(
      ['tcp_be_liberal', 'tcp_timeout_close_wait', 'tcp_timeout_established', 'udp_timeout'].map(
        key,
      ),
      ['1', '90', undefined, '20'],
    );
  },
);
