/**
 * Moves of a cluster from one network or policy engine to another: Azure's conditions that it does
 * not meet, each sentence by a cluster that asks for it, and all of them through `compare`.
 *
 * Sources: AKS docs `update-azure-cni.md` (093a522a), `use-network-policies.md` (025967d2),
 * `migrate-from-npm-to-cilium-network-policy.md` (2c907477), by hand.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ciliumChanges } from '../../src/dataplane/move/cilium.ts';
import { moveConditions } from '../../src/dataplane/move/conditions.ts';
import { parseStack } from '../../src/dataplane/stack.ts';
import { formatDiagnostic } from '../../src/diagnostic/diagnostic.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { forEachRow, wiretrial, writeCapture } from '../support/command.ts';
import { tcp } from '../support/packets.ts';
import { addressOf, type TwoNodes, twoNodeText, WIRINGS } from './two-node-cluster.ts';

const KUBENET = 'networkPlugin: kubenet\nkubernetesVersion: "1.30.3"';
const NODE_SUBNET = 'networkPlugin: azure\nkubernetesVersion: "1.30.3"';
const OVERLAY = 'networkPlugin: azure\nnetworkPluginMode: overlay\nkubernetesVersion: "1.30.3"';

const REIMAGE = 'the move to azure-overlay reimages all node pools at once and has no way back';
const ROUTES = /^kubenet’s route table has to be detached/;
const ADDRESSES = /^pods get new addresses of a range that --pod-cidr has to give/;
const UNINSTALL = (engine: string) =>
  new RegExp(`^Azure wants policy engine ${engine} uninstalled before the move`);
const INSTALL = (engine: string) => `installing ${engine} reimages all node pools at once`;
const TWO_STEPS = (from: string, to: string) =>
  new RegExp(
    `^Azure describes no change from ${from} to ${to} in one step: .*--network-policy none`,
  );

function labelled(labels: string): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: node-c, labels: ${labels}}
spec: {podCIDR: 10.244.9.0/24}\nstatus: {addresses: [{type: InternalIP, address: 10.224.0.9}]}`;
}

function windows(info: string): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: win}
spec: {podCIDR: 10.244.9.0/24}
status: {addresses: [{type: InternalIP, address: 10.224.0.9}], nodeInfo: {operatingSystem: windows${info}}}`;
}

function kubelet(version: string): string {
  return `apiVersion: v1\nkind: Node\nmetadata: {name: node-c}
spec: {podCIDR: 10.244.9.0/24}
status: {addresses: [{type: InternalIP, address: 10.224.0.9}], nodeInfo: {kubeletVersion: ${version}}}`;
}

const MASQUERADE = (list: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: azure-ip-masq-agent-config, namespace: kube-system}\ndata: {x: "${list}"}`;
const RECONCILED =
  'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: azure-ip-masq-agent-config-reconciled, namespace: kube-system}\ndata: {x: "nonMasqueradeCIDRs: [10.224.0.0/12]"}';

interface Move {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly cluster: TwoNodes;
  readonly said: readonly (string | RegExp)[];
}

const MOVES: readonly Move[] = [
  {
    name: 'kubenet to overlay',
    from: 'kubenet+none',
    to: 'azure-overlay+none',
    cluster: { wiring: KUBENET },
    said: [REIMAGE, ROUTES],
  },
  {
    name: 'Azure CNI to overlay',
    from: 'azure-transparent+none',
    to: 'azure-overlay+none',
    cluster: { wiring: NODE_SUBNET, single: true, pods: 'subnet' },
    said: [REIMAGE, ADDRESSES],
  },
  {
    name: 'Azure CNI with NPM to overlay with NPM',
    from: 'azure-transparent+npm',
    to: 'azure-overlay+npm',
    cluster: { wiring: OVERLAY, single: true },
    said: [REIMAGE, UNINSTALL('npm'), ADDRESSES],
  },
  {
    name: 'kubenet with Calico to overlay with Calico',
    from: 'kubenet+calico',
    to: 'azure-overlay+calico',
    cluster: { wiring: KUBENET, single: true },
    said: [REIMAGE, UNINSTALL('calico'), /^on kubenet calico is also the CNI plugin/, ROUTES],
  },
  {
    name: 'kubenet to Azure CNI',
    from: 'kubenet+none',
    to: 'azure-transparent+none',
    cluster: { wiring: KUBENET },
    said: [/^Azure has no move from kubenet to azure-transparent: .* takes a new cluster$/],
  },
  {
    name: 'Azure CNI to kubenet',
    from: 'azure-transparent+none',
    to: 'kubenet+none',
    cluster: { wiring: KUBENET },
    said: [/^Azure has no move from azure-transparent to kubenet/, /retires kubenet on 2028-03-31/],
  },
  {
    name: 'pod subnets to overlay',
    from: 'azure-podsubnet+none',
    to: 'azure-overlay+none',
    cluster: { wiring: WIRINGS.podSubnet, single: true, pods: 'subnet' },
    said: [/^Azure does not move clusters with pod subnets/],
  },
  {
    name: 'overlay to kubenet',
    from: 'azure-overlay+none',
    to: 'kubenet+none',
    cluster: { wiring: OVERLAY },
    said: [/overlay has no way back$/, /retires kubenet/],
  },
  {
    name: 'NPM to Calico',
    from: 'azure-transparent+npm',
    to: 'azure-transparent+calico',
    cluster: { wiring: OVERLAY, single: true },
    said: [TWO_STEPS('npm', 'calico')],
  },
  {
    name: 'NPM at the bridge to Calico',
    from: 'azure-bridge+npm',
    to: 'azure-transparent+calico',
    cluster: { single: true },
    said: [TWO_STEPS('npm', 'calico')],
  },
  {
    name: 'Calico to NPM',
    from: 'azure-transparent+calico',
    to: 'azure-transparent+npm',
    cluster: { single: true },
    said: [TWO_STEPS('calico', 'npm'), /retires npm on Linux nodes on 2028-09-30/],
  },
  {
    name: 'an engine where there was none',
    from: 'azure-overlay+none',
    to: 'azure-overlay+calico',
    cluster: { wiring: OVERLAY, single: true },
    said: [INSTALL('calico')],
  },
  {
    name: 'no engine any more',
    from: 'azure-overlay+calico',
    to: 'azure-overlay+none',
    cluster: { wiring: OVERLAY, single: true },
    said: [/^uninstalling calico reimages .* nothing enforces them$/],
  },
  {
    name: 'bridge and transparent mode are one network',
    from: 'azure-bridge+none',
    to: 'azure-transparent+none',
    cluster: { single: true },
    said: [],
  },
  {
    name: 'clusters that are not Azure’s',
    from: 'byo+none',
    to: 'byo+calico',
    cluster: { wiring: WIRINGS.byo, single: true },
    said: [],
  },
];

/** Conditions that a cluster adds to the move from kubenet to overlay. */
const KUBENET_CLUSTERS: readonly (readonly [string, TwoNodes, readonly (string | RegExp)[]])[] = [
  [
    'nobody says the version',
    { wiring: WIRINGS.kubenet },
    ['it needs Kubernetes 1.27 or later; nothing here says which version this is'],
  ],
  [
    'too old, as the wiring says',
    { wiring: 'networkPlugin: kubenet\nkubernetesVersion: "1.26.6"' },
    ['it needs Kubernetes 1.27 or later; this is 1.26.6'],
  ],
  [
    'too old, as a kubelet says',
    { wiring: 'networkPlugin: kubenet', more: `${kubelet('v1.9.11')}` },
    ['it needs Kubernetes 1.27 or later; this is v1.9.11'],
  ],
  [
    'new enough, as a kubelet says',
    { wiring: 'networkPlugin: kubenet', more: kubelet('v1.27.0') },
    [],
  ],
  [
    'a masquerade list of its own',
    { wiring: KUBENET, more: MASQUERADE('nonMasqueradeCIDRs: [10.50.0.0/16]') },
    [/^the cluster has a masquerade list of its own .*: pods lose connection to 10\.50\.0\.0\/16/],
  ],
  [
    'a ConfigMap that was left over',
    { wiring: KUBENET, more: MASQUERADE('masqLinkLocal: true') },
    [/^the cluster has a masquerade list of its own \(ConfigMap azure-ip-masq-agent-config\)$/],
  ],
  ['the ConfigMap that AKS keeps', { wiring: KUBENET, more: RECONCILED }, []],
  [
    'an old Windows build',
    { wiring: OVERLAY, more: windows(', kernelVersion: 10.0.20348.1607') },
    [/^Windows nodes need build 20348\.1668 or later, .*: win \(build 20348\.1607\)$/],
  ],
  [
    'a Windows node that says a build of its own',
    { wiring: OVERLAY, more: windows(', kernelVersion: unknown') },
    [/^Windows nodes need build 20348\.1668 or later, .*: win \(nothing says which build\)$/],
  ],
  [
    'a new Windows build',
    { wiring: OVERLAY, more: windows(', kernelVersion: 10.0.20348.1668') },
    [],
  ],
  [
    'sizes that overlay does not have',
    { wiring: KUBENET, more: labelled('{node.kubernetes.io/instance-type: Standard_DC2s_v2}') },
    ['overlay has no DCsv2 nodes: node-c is Standard_DC2s_v2'],
  ],
];

function said(from: string, to: string, options: TwoNodes): readonly string[] {
  const { cluster } = parseInputs('c.yaml', twoNodeText(options));
  return moveConditions(parseStack(from), parseStack(to), cluster);
}

t.test('each move says what Azure asks for', async (t) => {
  for (const { name, from, to, cluster, said: want } of MOVES) {
    const got = said(from, to, cluster);
    t.equal(got.length, want.length, `${name}: ${got.join(' | ')}`);
    t.match(got, want, name);
  }
});

t.test('a condition is stated where the cluster does not meet it, and only there', async (t) => {
  for (const [name, options, want] of KUBENET_CLUSTERS) {
    const got = said('kubenet+none', 'azure-overlay+none', { single: true, ...options });
    const between = got.filter((s) => s !== REIMAGE && !ROUTES.test(s));
    t.equal(between.length, want.length, `${name}: ${between.join(' | ')}`);
    t.match(between, want, name);
  }
});

t.test('more nodes than Azure NPM is supported with', async (t) => {
  const nodes = Array.from(
    { length: 251 },
    (_, i) => `apiVersion: v1\nkind: Node\nmetadata: {name: n${i}}`,
  ).join('\n---\n');
  const { cluster } = parseInputs('c.yaml', nodes);
  const got = moveConditions(
    parseStack('azure-transparent+none'),
    parseStack('azure-transparent+npm'),
    cluster,
  );
  t.match(got[1], 'Azure has npm up to 250 nodes and 20000 pods; this cluster has 251 nodes');
});

t.test('compare says so for each', async (t) => {
  t.setTimeout(120_000);
  const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-moves-'));
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }));
  await forEachRow(MOVES, async ({ name, from, to, cluster, said: want }, i) => {
    const at = (pod: string) => addressOf(pod, 4, cluster.pods);
    const opening = tcp().from(at('a1'), 40_000).to(at('b1'), 80).syn();
    writeFileSync(join(cwd, `${i}.yaml`), twoNodeText(cluster));
    await writeCapture(join(cwd, `${i}.pcap`), [opening]);
    const files = ['-f', `${i}.yaml`, '-r', `${i}.pcap`];
    const ran = await wiretrial(['compare', ...files, '--stack', from, '--stack', to], { cwd });
    t.equal(ran.status, 0, `${name}: ${ran.stderr}`);
    for (const sentence of want) {
      const pattern =
        sentence instanceof RegExp ? sentence.source.replace(/^\^|\$$/g, '') : sentence;
      t.match(ran.stderr, sentence instanceof RegExp ? new RegExp(pattern) : sentence, name);
    }
  });
});

const CILIUM_CLUSTER = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: default}
spec:
  podSelector: {matchLabels: {app: a1}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 0.0.0.0/0}}]
  - to: [{ipBlock: {cidr: 20.0.0.0/8}}]
    ports: [{port: 8000, endPort: 9000}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in, namespace: default}
spec:
  podSelector: {matchLabels: {app: b1}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: web}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {app: p}}
spec: {nodeName: node-a, containers: [{name: c, ports: [{name: web, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p2, labels: {app: p}}
spec: {nodeName: node-a, containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: public}
spec: {type: LoadBalancer, selector: {app: b1}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: kept}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: b1}, ports: [{port: 80}]}
`;

t.test('Cilium is refused by name, with what it would change', async (t) => {
  t.setTimeout(120_000);
  const text = twoNodeText({ wiring: OVERLAY, single: true, more: CILIUM_CLUSTER });
  const inputs = parseInputs('c.yaml', text);
  const changes = (from: string) =>
    ciliumChanges({ ...inputs, from: parseStack(from) }).map((d) =>
      formatDiagnostic(d).replace(/^c\.yaml:\d+:\d+: /, ''),
    );
  const policies = [
    /^default\/NetworkPolicy\/out: ipBlock 0\.0\.0\.0\/0 would not let pods reach the 5 pods and 2 nodes/,
    /^default\/NetworkPolicy\/out: endPort is ignored by Cilium before 1\.17/,
  ];
  const ports = /^default\/NetworkPolicy\/in: port web is 80 and 8080 on different pods/;
  const npm = changes('azure-overlay+npm');
  t.equal(npm.length, 6, npm.join('\n'));
  t.match(npm, [
    /^cluster: the move to Cilium uninstalls npm, reimages all node pools at once/,
    ...policies,
    /^default\/NetworkPolicy\/out: its pods would no longer reach their own node/,
    ports,
    /^default\/Service\/public: clients outside .* held to default\/NetworkPolicy\/in/,
  ]);
  const calico = changes('azure-overlay+calico');
  t.equal(calico.length, 4, calico.join('\n'));
  t.match(calico, [/uninstalls calico/, ...policies, ports]);
  t.match(changes('kubenet+calico')[1], /^cluster: kubenet has no move to Cilium/);

  const cwd = mkdtempSync(join(tmpdir(), 'wiretrial-cilium-'));
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, 'c.yaml'), text);
  await writeCapture(join(cwd, 'c.pcap'), [
    tcp().from(addressOf('a1'), 40_000).to(addressOf('b1'), 80).syn(),
  ]);
  const stacks = ['--stack', 'azure-overlay+npm', '--stack', 'azure-overlay+cilium'];
  const ran = await wiretrial(['compare', '-f', 'c.yaml', '-r', 'c.pcap', ...stacks], { cwd });
  t.equal(ran.status, 2);
  t.match(ran.stderr, 'policy engine cilium is not emulated yet');
  t.match(ran.stderr, /c\.yaml:\d+:\d+: default\/NetworkPolicy\/out: ipBlock/);
  const alone = await wiretrial(
    ['compare', '-f', 'c.yaml', '-r', 'c.pcap', '--stack', 'azure-overlay+cilium', '--stack', 'no'],
    { cwd },
  );
  t.equal(alone.status, 2);
  t.notMatch(alone.stderr, 'CILIUM_CHANGES', 'nothing says what it would change from');
});
