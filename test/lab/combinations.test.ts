/**
 * Where Services, nodes and policies meet, asked one by one on each engine: what is told from the
 * backend's side of a translation and what from the client's, which hooks nobody polices, and what
 * an engine's place among kube-proxy's rules lets by. Written by hand before the first run.
 *
 * NPM stands behind KUBE-FORWARD, which accepts what kube-proxy has marked for masquerade; with
 * `place-first` before it, so it judges these, too, and accepts what rules behind it would refuse.
 * Calico judges at a pod's interface, on the way to the pod's own node as well.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { FLAT_WIRING } from '../support/clusters.ts';

const STACKS = {
  npm: 'azure-transparent+npm',
  first: 'azure-bridge+npm,place-first=true',
  calico: 'azure-transparent+calico',
} as const;

type Engine = keyof typeof STACKS;

/** Pods a, b, h on node-a with e, c on node-b with d; h is on its node's network. */
const PODS = [
  'x a node-a 10.240.0.10 8080',
  'x b node-a 10.240.0.11 9090',
  'x c node-b 10.240.0.40 8080',
  'y d node-b 10.240.0.41 8080',
  'y e node-a 10.240.0.12 7070',
  'x h node-a 10.240.0.4 8080',
].map((row) => {
  const [namespace = '', name = '', node = '', ip = '', port = ''] = row.split(' ');
  return `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}, all: "${namespace}"}}
spec:
  nodeName: ${node}
  hostNetwork: ${name === 'h'}
  containers: [{name: main, ports: [{name: http, containerPort: ${port}}]}]
status: {phase: Running, podIP: ${ip}, conditions: [{type: Ready, status: "True"}]}
`;
});

const NODES = [
  ['node-a', '10.240.0.4'],
  ['node-b', '10.240.0.35'],
  ['node-c', '10.240.0.66'],
].map(
  ([name, address]) => `apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: ${address}}]}
`,
);

const NAMESPACES = ['x', 'y'].map(
  (name) => `apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {ns: ${name}}}
`,
);

const WIRING = `${FLAT_WIRING}serviceCidr: 10.0.0.0/16
`;

function service(name: string, ip: string, selector: string, port: string, more = ''): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: x}
spec:
  clusterIP: ${ip}
  selector: {${selector}}
  ports: [{port: 80, ${port}}]
${more}`;
}

const balanced = (ip: string, more = '') =>
  `  type: LoadBalancer\n${more}status: {loadBalancer: {ingress: [{ip: ${ip}}]}}\n`;

const SERVICES = [
  service('b', '10.0.0.11', 'app: b', 'targetPort: http, nodePort: 30080', '  type: NodePort\n'),
  service('all', '10.0.0.12', 'all: x', 'targetPort: http'),
  service('h', '10.0.0.13', 'app: h', 'targetPort: 8080'),
  service(
    'local',
    '10.0.0.14',
    'app: c',
    'targetPort: 8080, nodePort: 30081',
    balanced('20.1.2.3', '  externalTrafficPolicy: Local\n  healthCheckNodePort: 31000\n'),
  ),
  service('near', '10.0.0.15', 'app: c', 'targetPort: 8080', '  internalTrafficPolicy: Local\n'),
  service(
    'nobody',
    '10.0.0.16',
    'app: gone',
    'targetPort: 1, nodePort: 30082',
    balanced('20.1.2.4'),
  ),
  service(
    'ranges',
    '10.0.0.17',
    'app: c',
    'targetPort: 8080, nodePort: 30083',
    balanced('20.1.2.5', '  loadBalancerSourceRanges: [203.0.113.0/24]\n'),
  ),
];

/** A policy for one pod, by its name; `rules` as in YAML. */
function policy(app: string, rules: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: ${'de'.includes(app) ? 'y' : 'x'}}
spec:
  podSelector: {matchLabels: {app: ${app}}}
${rules
  .split('\n')
  .map((line) => `  ${line}`)
  .join('\n')}
`;
}

const noneIn = (app: string) => policy(app, 'policyTypes: [Ingress]');
const noneOut = (app: string) => policy(app, 'policyTypes: [Egress]');
const allowIn = (app: string, rule: string) => policy(app, `ingress: [{${rule}}]`);
const allowOut = (app: string, rule: string) =>
  policy(app, `policyTypes: [Egress]\negress: [{${rule}}]`);

const A = 'pod/x/a';
const B = 'pod/x/b';
const C = 'pod/x/c';
const D = 'pod/y/d';
const E = 'pod/y/e';
const OUTSIDE = '203.0.113.9';
const FROM_Y = 'from: [{namespaceSelector: {matchLabels: {ns: y}}}]';

/**
 * Who asks whom, at which port, and the engines that let it through: all, none, or their names. A
 * port is of TCP unless its protocol is written before it.
 */
type Row = readonly [string, string, string | number, 'all' | 'none' | readonly Engine[]];

const CASES: Readonly<Record<string, readonly [policies: string, rows: readonly Row[]]>> = {
  'a rule that names the port of the Service names none of its backends': [
    allowIn('b', 'ports: [{port: 80}]'),
    [
      [E, 'svc/x/b', 80, 'none'],
      [E, B, 80, 'all'],
    ],
  ],
  'a rule that names the port of the backend is met by the Service': [
    allowIn('b', 'ports: [{port: 9090}]'),
    [
      [E, 'svc/x/b', 80, 'all'],
      [E, '10.240.0.4', 30_080, 'all'],
      [E, B, 80, 'none'],
    ],
  ],
  'a name is a port of its own at each backend': [
    allowOut('e', 'to: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: http}]'),
    [
      [E, B, 9090, 'all'],
      [E, B, 8080, 'none'],
      [E, A, 8080, 'all'],
      [E, A, 9090, 'none'],
      [E, 'svc/x/b', 80, 'all'],
      [E, OUTSIDE, 8080, 'none'],
      // Of its four backends the one on the own node's network is no pod, and behind no hook of NPM.
      [E, 'svc/x/h', 80, ['npm', 'first']],
    ],
  ],
  'addresses of Services are in nobody’s block': [
    allowOut('e', 'to: [{ipBlock: {cidr: 10.0.0.0/16}}]'),
    [[E, 'svc/x/b', 80, 'none']],
  ],
  'an exception is of its own block, behind a Service as well': [
    allowOut(
      'e',
      'to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.240.0.0/24]}}, {ipBlock: {cidr: 10.240.0.11/32}}]',
    ),
    [
      [E, B, 9090, 'all'],
      [E, 'svc/x/b', 80, 'all'],
      [E, A, 8080, 'none'],
      [E, OUTSIDE, 443, 'all'],
    ],
  ],
  'a pod that may not be reached reaches itself by its Service where masquerading hides it': [
    noneIn('b'),
    [
      [B, 'svc/x/b', 80, ['npm']],
      [B, B, 9090, 'all'],
    ],
  ],
  'a pod that may not leave does not, by its Service, where it is judged': [
    noneOut('b'),
    [
      [B, 'svc/x/b', 80, ['npm']],
      [B, B, 9090, 'all'],
    ],
  ],
  'a pod that admits itself reaches itself everywhere': [
    allowIn('b', 'from: [{podSelector: {matchLabels: {app: b}}}]'),
    [[B, 'svc/x/b', 80, 'all']],
  ],
  'the own node ends in INPUT, where Calico alone polices': [
    noneOut('e'),
    [
      [E, 'svc/x/h', 80, ['npm', 'first']],
      [E, 'node/node-a', 8080, ['npm', 'first']],
      [E, 'node/node-b', 8080, 'none'],
    ],
  ],
  'a backend on another node’s network is that node': [
    allowOut('d', 'to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: h}}}]'),
    [[D, 'svc/x/h', 80, 'none']],
  ],
  'a node is in a block, behind a Service as well': [
    allowOut('d', 'to: [{ipBlock: {cidr: 10.240.0.4/32}}]'),
    [
      [D, 'svc/x/h', 80, 'all'],
      [D, 'node/node-a', 8080, 'all'],
      [D, 'node/node-b', 8080, ['npm', 'first']],
    ],
  ],
  'a node reaches its own pods, and no other node does': [
    noneIn('b'),
    [
      ['node/node-a', B, 9090, 'all'],
      ['node/node-a', 'svc/x/b', 80, 'all'],
      ['node/node-b', B, 9090, 'none'],
      ['node/node-b', 'svc/x/b', 80, 'none'],
    ],
  ],
  'at a node port of the backend’s node the client is still itself, elsewhere it is the node': [
    allowIn('b', 'from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: e}}}]'),
    [
      [E, '10.240.0.4', 30_080, 'all'],
      [D, '10.240.0.4', 30_080, ['npm']],
      [E, '10.240.0.35', 30_080, 'none'],
    ],
  ],
  'who may not leave may not by a node port of its own node, where it is judged': [
    noneOut('e'),
    [
      [E, '10.240.0.4', 30_080, ['npm']],
      [E, '10.240.0.35', 30_080, 'none'],
    ],
  ],
  'traffic policy Local: pods are led to any endpoint as themselves, node ports only to their own':
    [
      allowIn('c', FROM_Y),
      [
        [E, '20.1.2.3', 80, 'all'],
        [A, '20.1.2.3', 80, 'none'],
        [E, '10.240.0.35', 30_081, 'all'],
        [E, '10.240.0.66', 30_081, 'none'],
      ],
    ],
  'internal traffic policy Local: other nodes answer nothing': [
    noneIn('a'),
    [
      [D, 'svc/x/near', 80, 'all'],
      [E, 'svc/x/near', 80, 'none'],
    ],
  ],
  'a node port without endpoints is refused, unless the packet was accepted before': [
    noneIn('a'),
    [
      [E, 'svc/x/nobody', 80, 'none'],
      // Calico accepts for its node what its policies let by; nobody listens there.
      [E, '10.240.0.4', 30_082, ['calico']],
      ['node/node-b', '10.240.0.4', 30_082, 'none'],
    ],
  ],
  'source ranges are of the load balancer alone': [
    noneIn('a'),
    [
      [OUTSIDE, '20.1.2.5', 80, 'all'],
      [E, '10.240.0.35', 30_083, 'all'],
      [E, 'svc/x/ranges', 80, 'all'],
    ],
  ],
  'a range of SCTP opens nothing else': [
    allowIn('a', 'ports: [{protocol: SCTP, port: 5000, endPort: 5010}]'),
    [
      [E, A, 'SCTP 5000', 'all'],
      [E, A, 'SCTP 5010', 'all'],
      [E, A, 'SCTP 5011', 'none'],
      [E, A, 'TCP 5005', 'none'],
      [E, A, 'ICMP', 'none'],
    ],
  ],
  'rules without ports are of every protocol, and rules of a direction that is not listed of none':
    [
      policy(
        'a',
        `policyTypes: [Ingress]\ningress: [{${FROM_Y}}]\negress: [{to: [{podSelector: {}}]}]`,
      ),
      [
        [E, A, 'ICMP', 'all'],
        [E, A, 'SCTP 77', 'all'],
        [C, A, 'ICMP', 'none'],
        [A, D, 8080, 'all'],
      ],
    ],
};

const ENGINES = Object.keys(STACKS) as readonly Engine[];

for (const [name, [policies, rows]] of Object.entries(CASES)) {
  t.test(name, async (t) => {
    const text = [WIRING, ...NODES, ...NAMESPACES, ...PODS, ...SERVICES, policies].join('---\n');
    const inputs = parseInputs('cluster.yaml', text);
    for (const engine of ENGINES) {
      const prober = new Prober(new World({ ...inputs, stack: parseStack(STACKS[engine]) }), {
        diagnoses: false,
      });
      for (const [from, to, asked, who] of rows) {
        const [protocol = 'TCP', port] = /^\d/.test(`${asked}`)
          ? ['TCP', asked]
          : `${asked}`.split(' ');
        const at = port === undefined ? {} : { port: Number(port) };
        const got = prober.ask({ from, to, protocol: protocol as 'TCP', ...at });
        const isLet = who === 'all' || (who !== 'none' && who.includes(engine));
        t.equal(got.verdict, isLet ? 'allowed' : 'denied', `${engine}: ${from} to ${to} ${asked}`);
      }
    }
  });
}
