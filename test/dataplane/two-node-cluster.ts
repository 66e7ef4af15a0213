/**
 * One small cluster for every network: two nodes, two pods on the first and one on the second, a
 * Service for each of them, both families.
 *
 * The ranges are AKS's defaults. With pod subnets, pods have addresses of the virtual network
 * (IPv4 alone: that is all Azure offers there).
 * @module
 */
import { type Inputs, parseInputs } from '../../src/policy/inputs.ts';

export interface TwoNodes {
  /** Lines of the Wiring document; none without. */
  readonly wiring?: string;
  /** IPv4 alone. */
  readonly single?: boolean;
  /** Where pods are: `range`, the node's own; `subnet`, 10.225.0.0/24 of the virtual network. */
  readonly pods?: 'range' | 'subnet';
  /** a1 and b1 have host ports: tcp 8080 and udp 5353, both to 80. */
  readonly hostPorts?: boolean;
  /** Further documents. */
  readonly more?: string;
}

const NODES = ['node-a', 'node-b'] as const;
const PODS = [
  ['a1', 0, 10],
  ['a2', 0, 11],
  ['b1', 1, 10],
] as const;

const HOST_PORTS =
  '{containerPort: 80, hostPort: 8080}, {containerPort: 80, protocol: UDP, hostPort: 5353}';

/** Addresses by name: `a1`, `node-a`, `svc-a1`; `4 a1` and `6 a1` of a family. */
export function addressOf(name: string, family: 4 | 6 = 4, pods: TwoNodes['pods'] = 'range') {
  const node = NODES.indexOf(name as (typeof NODES)[number]);
  if (node >= 0) return family === 4 ? `10.224.0.${4 + node}` : `fd12:3456:789a:8::${4 + node}`;
  const service = PODS.findIndex(([pod]) => `svc-${pod}` === name);
  if (service >= 0) {
    return family === 4 ? `10.0.0.${20 + service}` : `fd12:3456:789a:1::${20 + service}`;
  }
  const found = PODS.find(([pod]) => pod === name);
  if (!found) throw new Error(`nobody is called ${name}`);
  const [, on, last] = found;
  if (pods === 'subnet') return `10.225.0.${on * 100 + last}`;
  return family === 4 ? `10.244.${on}.${last}` : `fd12:3456:789a:0:${on}::${last}`;
}

/** The cluster as its documents. */
export function twoNodeText(options: TwoNodes = {}): string {
  const { wiring, single = false, pods = 'range', hostPorts = false, more = '' } = options;
  const families = single ? ([4] as const) : ([4, 6] as const);
  const list = (name: string, as: (address: string) => string) =>
    families.map((family) => as(addressOf(name, family, pods))).join(', ');
  const nodes = NODES.map((name, i) => {
    const addresses = list(name, (a) => `{type: InternalIP, address: "${a}"}`);
    const ranges = [`10.244.${i}.0/24`, ...(single ? [] : [`fd12:3456:789a:0:${i}::/80`])];
    const spec =
      pods === 'range' ? `\nspec: {podCIDRs: [${ranges.map((r) => `"${r}"`).join(', ')}]}` : '';
    return `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}${spec}\nstatus: {addresses: [${addresses}]}`;
  });
  const running = PODS.map(
    ([name, on]) => `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}
spec: {nodeName: ${NODES[on]}, containers: [{name: c, ports: [${hostPorts && name !== 'a2' ? HOST_PORTS : '{containerPort: 80}'}]}]}
status: {phase: Running, podIPs: [${list(name, (a) => `{ip: "${a}"}`)}], conditions: [{type: Ready, status: "True"}]}`,
  );
  const services = PODS.map(
    ([name]) => `apiVersion: v1\nkind: Service\nmetadata: {name: svc-${name}}
spec:
  selector: {app: ${name}}
  ipFamilyPolicy: ${single ? 'SingleStack' : 'RequireDualStack'}
  clusterIP: "${addressOf(`svc-${name}`)}"
  clusterIPs: [${list(`svc-${name}`, (a) => `"${a}"`)}]
  ports: [{port: 80, targetPort: 80}]`,
  );
  const head = wiring === undefined ? [] : [`apiVersion: wiretrial/v1\nkind: Wiring\n${wiring}`];
  return [...head, ...nodes, ...running, ...services, ...(more === '' ? [] : [more])].join(
    '\n---\n',
  );
}

/** The cluster, loaded. */
export function twoNodeCluster(options: TwoNodes = {}): Inputs {
  return parseInputs('two-nodes.yaml', twoNodeText(options));
}

export const POD_NAMES: readonly string[] = PODS.map(([name]) => name);

/** Wirings of AKS clusters with these networks. */
export const WIRINGS = {
  overlay: 'networkPlugin: azure\nnetworkPluginMode: overlay\nipFamilies: [IPv4, IPv6]',
  kubenet: 'networkPlugin: kubenet\nipFamilies: [IPv4, IPv6]',
  byo: 'networkPlugin: none\nipFamilies: [IPv4, IPv6]',
  podSubnet:
    'networkPlugin: azure\nvirtualNetworks: [{addressPrefixes: [10.224.0.0/12], subnets: ' +
    '[{addressPrefix: 10.224.0.0/24}, {addressPrefix: 10.225.0.0/24}]}]',
} as const;
