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

const NET6 = (more = '') =>
  `ipFamilies: [IPv4, IPv6]
virtualNetworks: [{name: v, addressPrefixes: [10.1.0.0/16, "fd00:1::/64"], subnets: [{name: s, addressPrefix: 10.1.0.0/24${more}}, {name: s6, addressPrefix: "fd00:1::/64"${more}}]}]`;

function dual(text: string, i: number): string {
  const host = text.includes('kind: Node') ? 4 + i : 10 + i;
  return text
    .replace(
      /(\{type: InternalIP, address: [\d.]+\})/,
      `$1, {type: InternalIP, address: "fd00:1::${host}"}`,
    )
    .replace(/podIP: ([\d.]+)/, `podIPs: [{ip: $1}, {ip: "fd00:1::${host}"}]`);
}

/** Nodes that IPv6 clients of the frontend can be sent to. */
function pool6(stack: string, net: string, spec: string, ...more: string[]): string[] {
  const both = service(
    `, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]${spec}`,
  ).replace('{ip: 20.7.7.7}', '{ip: 20.7.7.7}, {ip: "2603::7"}');
  const documents = [wiring(net), ...NODES.map(dual), ...PODS.map(dual), both, ...more];
  const { cluster, policies } = parseInputs('health.yaml', documents.join(''));
  const { network } = new World({ cluster, policies, stack: parseStack(stack) });
  const text = printIptables(network.fabric, 6);
  return [...text.matchAll(/^-A LB-\w+-tcp-80 .*"backend (\w+)"/gm)].map((m) => m[1] ?? '');
}

t.test('IPv6 backends are probed by the address that nodes see', async (t) => {
  const none = 'azure-transparent+none';
  for (const spec of ['', LOCAL]) {
    t.strictSame(pool6(none, NET6(), spec), BOTH, spec);
    const group = (source: string) =>
      `${NET6(', networkSecurityGroup: g')}
networkSecurityGroups: [{name: g, securityRules: [{priority: 100, direction: Inbound, access: Deny, protocol: "*", sourceAddressPrefix: ${source}}]}]`;
    t.strictSame(pool6(none, group('AzureLoadBalancer'), spec), [], spec);
    t.strictSame(pool6(none, group('"2001:db8::/32"'), spec), BOTH, spec);
  }
  const calico = 'azure-transparent+calico,force=true';
  t.strictSame(pool6(calico, NET6(), '', DENY), [], 'policies of pods stop the probe');
  t.strictSame(pool6(calico, NET6(), LOCAL, DENY), BOTH);
});
