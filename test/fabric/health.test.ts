/**
 * Health probes walked before any traffic: who is healthy is found on the plans as they are, so a
 * policy or a security group that keeps the probe out takes the backend out of the pool.
 *
 * Expectations by hand: a TCP probe goes to the node port, which kube-proxy hands to a pod with the
 * node's address as source; a health check port is answered by the node itself.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { World } from '../../src/lab/world.ts';
import { printIptables } from '../../src/plan/rule/iptables-text.ts';
import { parseInputs } from '../../src/policy/inputs.ts';
import { node, pod, wiring } from './azure-walk.ts';

const NET = (more = '') =>
  `virtualNetworks: [{name: v, addressPrefixes: [10.1.0.0/16], subnets: [{addressPrefix: 10.1.0.0/24${more}}]}]`;
const NODES = [node('na', '10.1.0.4'), node('nb', '10.1.0.5')];
const PODS = [pod('a', 'na', '10.1.0.10', '{app: web}'), pod('b', 'nb', '10.1.0.11', '{app: web}')];

function service(spec = ''): string {
  return `apiVersion: v1\nkind: Service\nmetadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 80, nodePort: 30080}]${spec}}
status: {loadBalancer: {ingress: [{ip: 20.7.7.7}]}}\n---\n`;
}

const DENY = `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny}
spec: {podSelector: {}}\n---\n`;
const LOCAL = ', externalTrafficPolicy: Local, healthCheckNodePort: 31000';

/** Nodes that clients of the frontend can be sent to. */
function pool(stack: string, ...documents: string[]): string[] {
  const { cluster, policies } = parseInputs('health.yaml', documents.join(''));
  const { network } = new World({ cluster, policies, stack: parseStack(stack) });
  const text = printIptables(network.fabric, 4);
  return [...text.matchAll(/^-A LB-\w+-tcp-80 .*"backend (\w+)"/gm)].map((m) => m[1] ?? '');
}

const BOTH = ['na', 'nb'];

t.test('probes that arrive keep their nodes in the pool', async (t) => {
  for (const stack of ['azure-bridge+npm', 'azure-transparent+npm', 'azure-transparent+calico']) {
    t.strictSame(pool(stack, wiring(NET()), ...NODES, ...PODS, service()), BOTH, stack);
    t.strictSame(pool(stack, wiring(NET()), ...NODES, ...PODS, service(LOCAL)), BOTH, stack);
  }
});

t.test('a policy that keeps probes from every pod empties the pool', async (t) => {
  const all = [wiring(NET()), ...NODES, ...PODS, DENY];
  t.strictSame(pool('azure-transparent+calico', ...all, service()), []);
  t.strictSame(
    pool('azure-transparent+calico', ...all, service(LOCAL)),
    BOTH,
    'the health check port is the node’s: no policy of pods is asked',
  );
});

t.test('a group that keeps 168.63.129.16 out empties the pool', async (t) => {
  const group = (access: string) => `${NET(', networkSecurityGroup: g')}
networkSecurityGroups: [{name: g, securityRules: [{priority: 100, direction: Inbound, access: ${access}, protocol: "*", sourceAddressPrefix: AzureLoadBalancer}]}]`;
  for (const spec of ['', LOCAL]) {
    const all = [...NODES, ...PODS, service(spec)];
    t.strictSame(pool('azure-transparent+none', wiring(group('Deny')), ...all), [], spec);
    t.strictSame(pool('azure-transparent+none', wiring(group('Allow')), ...all), BOTH, spec);
  }
});
