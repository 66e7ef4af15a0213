/**
 * Near endpoints: hints by the zones' CPUs (`topology-mode: Auto`) and by `trafficDistribution`, as
 * the endpoint slice controller writes them, and which of them each release of kube-proxy follows,
 * in both modes and families. The zones' shares are worked out by hand.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { formatAddress } from '../../src/wire/address/address.ts';

const WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
serviceCidrs: [10.0.0.0/16, "fd00:10::/112"]
virtualNetworks:
  - name: v
    addressPrefixes: [10.240.0.0/16, "fd00:240::/48"]
    subnets: [{ name: s, addressPrefix: 10.240.0.0/24 }, { name: s6, addressPrefix: "fd00:240::/64" }]
`;

/** A node in a zone with so many CPUs; the n-th node has pods `x-n-0`, `x-n-1`, …. */
interface Zoned {
  readonly zone: string;
  readonly cpu: string;
  readonly pods: number;
  readonly more?: string;
}

const even: readonly Zoned[] = [
  { zone: 'z1', cpu: '3860m', pods: 1 },
  { zone: 'z2', cpu: '3860m', pods: 1 },
];
// 2 : 1 of CPUs, 1 : 2 of endpoints: zone 1 wants 4, has 2.
const uneven: readonly Zoned[] = [
  { zone: 'z1', cpu: '8', pods: 2 },
  { zone: 'z2', cpu: '4', pods: 4 },
];

function addresses(four: string, six: string, key: string): string {
  return `${key}: [{ip: ${four}}, {ip: "${six}"}]`;
}

function documents(nodes: readonly Zoned[], service: string): string {
  const objects = nodes.map(({ zone, cpu, pods, more }, n) => {
    const name = `n${n + 1}`;
    const labels = zone === '' ? '' : `, labels: {topology.kubernetes.io/zone: ${zone}}`;
    const list = `{type: InternalIP, address: 10.240.0.${n + 4}}, {type: InternalIP, address: "fd00:240::${n + 4}"}`;
    const allocatable = cpu === '' ? '' : `, allocatable: {cpu: "${cpu}"}`;
    const node = `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}${labels}}
status: {addresses: [${list}]${allocatable}${more ?? ''}}\n`;
    const pod = (podName: string, host: string, app: string) =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: ${podName}, labels: {app: ${app}}}
spec: {nodeName: ${name}, containers: [{name: c}]}
status: {phase: Running, ${addresses(`10.240.0.${host}`, `fd00:240::${host}`, 'podIPs')}}\n`;
    const answering = Array.from({ length: pods }, (_, i) =>
      pod(`x-${n + 1}-${i}`, `${(n + 1) * 10 + i}`, 'x'),
    );
    return [node, pod(`ask-${n + 1}`, `${200 + n}`, 'asker'), ...answering].join('---\n');
  });
  return [WIRING, ...objects, service].join('---\n');
}

function serviceOf(annotation: string | null, spec = ''): string {
  const mode =
    annotation === null
      ? ''
      : `, annotations: {service.kubernetes.io/topology-mode: ${annotation}}`;
  return `apiVersion: v1\nkind: Service\nmetadata: {name: x${mode}}
spec: {clusterIPs: [10.0.0.80, "fd00:10::80"], clusterIP: 10.0.0.80, ipFamilyPolicy: PreferDualStack, selector: {app: x}, ports: [{port: 80}]${spec}}\n`;
}

/** The hosts (last parts of addresses) that may serve each node's asker. */
function served(
  text: string,
  options = '',
  to = '10.0.0.80',
): { readonly hosts: readonly string[]; readonly warnings: readonly string[] } {
  const inputs = parseInputs('zones.yaml', text);
  const stack = parseStack(`azure-transparent+none${options}`);
  const world = new World({ ...inputs, stack });
  const prober = new Prober(world);
  const hosts = inputs.cluster.nodes.map((_, n) => {
    const request = { from: `pod/default/ask-${n + 1}`, to, port: 80, protocol: 'TCP' } as const;
    const ways = prober
      .ways(request)
      .map((way) => (way.target ? formatAddress(way.target.dst) : '-'));
    return ways
      .map((address) => address.replace(/^.*[.:]/, ''))
      .sort()
      .join(' ');
  });
  const warnings = (world.network.warnings ?? []).filter((w) => w.code === 'SERVICE_HINTS');
  return { hosts, warnings: warnings.map((w) => w.message) };
}

t.test('topology-mode Auto keeps each zone to itself where all have their share', async (t) => {
  for (const options of ['', ',kube-proxy=nftables', ',kube-proxy-version=1.30']) {
    for (const to of ['10.0.0.80', 'fd00:10::80']) {
      const found = served(documents(even, serviceOf('Auto')), options, to);
      t.strictSame(found, { hosts: ['10', '20'], warnings: [] }, `${options} ${to}`);
    }
  }
});

t.test('a zone with too few takes some of another: nobody knows which', async (t) => {
  const found = served(documents(uneven, serviceOf('Auto')));
  t.strictSame(found.hosts, ['10 11 20 21 22 23', '20 21 22 23']);
  t.match(found.warnings, [/some endpoints of zone z2 take traffic of zone z1/]);
});

const NOT_HINTED: readonly (readonly [string, readonly Zoned[], string, RegExp])[] = [
  [
    'a node without a zone',
    [...even, { zone: '', cpu: '4', pods: 0 }],
    '10 20',
    /n3 tells no zone/,
  ],
  [
    'a node without CPUs',
    [{ ...even[0], cpu: '' } as Zoned, even[1] as Zoned],
    '10 20',
    /n1 tells no all/,
  ],
  ['one zone', even.map((n) => ({ ...n, zone: 'z1' })), '10 20', /in one zone only/],
  [
    'fewer endpoints than zones',
    [...even, { zone: 'z3', cpu: '4', pods: 0 }],
    '10 20',
    /too few endpoints \(2 endpoints, 3 zones\)/,
  ],
  [
    'shares that no whole numbers give without overload',
    // 4.5, 0.25 and 0.25 of 5 are at least 4 + 1 + 1.
    [
      { zone: 'z1', cpu: '36', pods: 3 },
      { zone: 'z2', cpu: '2', pods: 1 },
      { zone: 'z3', cpu: '2', pods: 1 },
    ],
    '10 11 12 20 30',
    /without overload \(5 endpoints, 3 zones\)/,
  ],
];

t.test('where no hints can be made all endpoints count, and the reason is told', async (t) => {
  for (const [what, nodes, hosts, why] of NOT_HINTED) {
    const found = served(documents(nodes, serviceOf('auto')));
    t.equal(found.hosts[0], hosts, what);
    t.match(found.warnings, [why], what);
  }
});

t.test('nodes that are not ready, or run the control plane, have no share', async (t) => {
  const down = ', conditions: [{type: Ready, status: "False"}]';
  const nodes = [...even, { zone: '', cpu: '', pods: 0, more: down }];
  t.strictSame(served(documents(nodes, serviceOf('Auto'))).hosts, ['10', '20', '10 20']);
});

t.test('of trafficDistribution and the annotation the annotation counts', async (t) => {
  const spread = ', trafficDistribution: PreferSameNode';
  const nodes: readonly Zoned[] = [
    { zone: 'z1', cpu: '4', pods: 1 },
    { zone: 'z1', cpu: '4', pods: 1 },
    { zone: 'z2', cpu: '8', pods: 2 },
  ];
  t.strictSame(served(documents(nodes, serviceOf(null, spread))).hosts, ['10', '20', '30 31']);
  t.strictSame(served(documents(nodes, serviceOf('Auto', spread))).hosts, [
    '10 20',
    '10 20',
    '30 31',
  ]);
  t.strictSame(served(documents(nodes, serviceOf('Disabled', spread))).hosts, [
    '10',
    '20',
    '30 31',
  ]);
});

t.test('what each release of kube-proxy follows', async (t) => {
  const nodes: readonly Zoned[] = [
    { zone: 'z1', cpu: '4', pods: 1 },
    { zone: 'z1', cpu: '4', pods: 1 },
    { zone: 'z2', cpu: '8', pods: 1 },
  ];
  const rows: readonly (readonly [string, string, string])[] = [
    ['PreferSameNode', '1.35', '10'],
    ['PreferSameNode', '1.33', '10 20'],
    ['PreferClose', '1.31', '10 20'],
    ['PreferClose', '1.30', '10 20 30'],
  ];
  for (const [spread, version, hosts] of rows) {
    const text = documents(nodes, serviceOf(null, `, trafficDistribution: ${spread}`));
    const known = text.replace('networkPlugin', `kubernetesVersion: "${version}.2"\nnetworkPlugin`);
    t.equal(served(known).hosts[0], hosts, `${spread} in a cluster of ${version}`);
    for (const mode of ['iptables', 'nftables']) {
      const options = `,kube-proxy=${mode},kube-proxy-version=${version}`;
      t.equal(served(text, options).hosts[0], hosts, `${spread} ${options}`);
    }
  }
});
