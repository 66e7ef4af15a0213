/**
 * The Azure load balancer in the lab: clients outside, nodes of a pool as choices, and pools that
 * policies empty because nobody may answer the probes.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { Prober } from '../../src/lab/ask/probe.ts';
import { World } from '../../src/lab/world.ts';
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';
import { FLAT_WIRING } from '../support/clusters.ts';
import { tcp } from '../support/packets.ts';
import { replayFrames } from '../support/replays.ts';

const CLIENT = '203.0.113.9';
const CLUSTER_IP = '20.1.2.3';
const LOCAL_IP = '20.1.2.4';

function pod(name: string, onNode: string, address: string): string {
  return `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: web, pod: ${name} } }
spec: { nodeName: ${onNode}, containers: [{ name: c, ports: [{ containerPort: 8080 }] }] }
status: { phase: Running, podIP: ${address} }
`;
}

function balanced(name: string, ip: string, clusterIp: string, port: number, more = ''): string {
  return `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec:
  type: LoadBalancer
  clusterIP: ${clusterIp}
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080, nodePort: ${port} }]
  ${more}
status: { loadBalancer: { ingress: [{ ip: ${ip} }] } }
`;
}

const SHOP = [
  FLAT_WIRING,
  ...[
    ['node-a', '10.240.0.4'],
    ['node-b', '10.240.0.35'],
  ].map(
    ([name, address]) => `apiVersion: v1
kind: Node
metadata: { name: ${name} }
status: { addresses: [{ type: InternalIP, address: ${address} }] }
`,
  ),
  pod('one', 'node-a', '10.240.0.10'),
  pod('two', 'node-b', '10.240.0.40'),
  balanced('cluster', CLUSTER_IP, '10.0.7.1', 30_080),
  balanced('local', LOCAL_IP, '10.0.7.2', 30_081, 'externalTrafficPolicy: Local'),
];

function policy(name: string, pod: string, from: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
  podSelector: { matchLabels: { pod: ${pod} } }
  ingress: [${from}]
`;
}

function shop(...more: readonly string[]): Inputs {
  return parseInputs('shop.yaml', [...SHOP, ...more].join('---\n'));
}

function worldOf(inputs: Inputs, stack: string): World {
  return new World({ ...inputs, stack: parseStack(stack) });
}

const STACKS = ['azure-bridge+npm', 'azure-transparent+calico'];

for (const stack of STACKS) {
  t.test(`${stack}: a client outside, any node, any backend`, async (t) => {
    const prober = new Prober(worldOf(shop(), stack));
    const ask = (to: string) => prober.ask({ from: CLIENT, to, port: 80, protocol: 'TCP' });
    t.match(ask(CLUSTER_IP), {
      verdict: 'allowed',
      // Two nodes, and two backends behind each.
      choice: { of: 4, allowed: 4, probability: 1 },
    });
    const local = ask(LOCAL_IP);
    t.match(local, { verdict: 'allowed', choice: { of: 2, allowed: 2 } });
    t.equal(local.translated?.src, CLIENT, 'a local backend sees the client');
    t.not(ask(CLUSTER_IP).translated?.src, CLIENT, 'else it sees a node');
  });

  t.test(`${stack}: answers leave as from the frontend`, async (t) => {
    const c = tcp().from(CLIENT, 40_000).to(LOCAL_IP, 80);
    const s = tcp().from(LOCAL_IP, 80).to(CLIENT, 40_000);
    const steps = [c.syn().seq(1), s.syn().seq(9).ack(2), c.seq(2).ack(10)];
    const ran = await replayFrames(
      shop(),
      stack,
      steps.map((p, i) => p.id(i + 1).frame()),
    );
    t.match(ran.connections, [{ verdict: 'allowed', to: 'svc/shop/local', choice: { of: 2 } }]);
    t.match(ran.frames[1], { outcome: 'exited', out: { src: LOCAL_IP, sport: 80, dst: CLIENT } });
  });

  t.test(`${stack}: a backend that may not be reached makes it depend`, async (t) => {
    const nobody = policy('two-shut', 'two', '');
    const prober = new Prober(worldOf(shop(nobody), stack));
    const got = prober.ask({ from: CLIENT, to: LOCAL_IP, port: 80, protocol: 'TCP' });
    t.match(got, { verdict: 'depends', choice: { of: 2, allowed: 1 } });
    t.match(got.decidedBy, { policy: 'shop/NetworkPolicy/two-shut', node: 'node-b' });
  });
}

t.test('a policy that denies the probe empties the pool, and a warning says so', async (t) => {
  const partners = `{ from: [{ ipBlock: { cidr: ${CLIENT}/32 } }] }`;
  const inputs = shop(policy('one', 'one', partners), policy('two', 'two', partners));
  const world = worldOf(inputs, 'azure-transparent+calico');
  const got = new Prober(world).ask({ from: CLIENT, to: CLUSTER_IP, port: 80, protocol: 'TCP' });
  t.match(got, { verdict: 'denied', reason: 'ruleDenied' });
  t.match(got.decidedBy?.text, /no healthy backend/);
  const [warning] = (world.network.warnings ?? []).filter((w) => w.code === 'LB_PROBE_FAILS');
  t.match(warning, { object: 'svc/shop/cluster', found: 'node-a, node-b' });
  t.match(warning?.message, /2 of 2 nodes.*policyDenied by shop\/NetworkPolicy\/(one|two)/);
  // With Azure NPM the marked probe of a node's own pod passes unasked.
  const npm = worldOf(inputs, 'azure-transparent+npm');
  const other = new Prober(npm).ask({ from: CLIENT, to: CLUSTER_IP, port: 80, protocol: 'TCP' });
  t.not(other.verdict, 'denied');
});
