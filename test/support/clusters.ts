/**
 * A few named clusters that tests everywhere share, as manifests and loaded.
 * @module
 */
import type { Inputs } from '../../src/policy/inputs.ts';
import { parseInputs } from '../../src/policy/inputs.ts';

/**
 * A three-tier shop on two nodes: web and db on node-a, api and another web on node-b, a client in
 * another namespace. web may reach api on 8080, api may reach db on 5432, nothing else may reach
 * either; web itself is open.
 */
export const TWO_NODES_SHOP = `apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 10.240.0.4}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-b}
status: {addresses: [{type: InternalIP, address: 10.240.0.35}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {team: other}}
---
${pod('shop', 'web', 'node-a', '10.240.0.5', '{app: shop, tier: web}', 'http', 80)}
---
${pod('shop', 'db', 'node-a', '10.240.0.6', '{app: shop, tier: db}', 'sql', 5432)}
---
${pod('shop', 'api', 'node-b', '10.240.0.36', '{app: shop, tier: api}', 'http', 8080)}
---
${pod('shop', 'web-2', 'node-b', '10.240.0.37', '{app: shop, tier: web}', 'http', 80)}
---
${pod('other', 'client', 'node-a', '10.240.0.7', '{app: client}', 'http', 80)}
`;

export const SHOP_POLICIES = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-from-web, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {tier: web}}}]
    ports: [{port: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-from-api, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {tier: api}}}]
    ports: [{port: sql}]
`;

function pod(
  namespace: string,
  name: string,
  node: string,
  address: string,
  labels: string,
  portName: string,
  port: number,
): string {
  return `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: ${labels}}
spec:
  nodeName: ${node}
  containers: [{name: main, ports: [{name: ${portName}, containerPort: ${port}}]}]
status: {phase: Running, podIP: ${address}}`;
}

/** The shop with its policies. */
export function twoNodesShop(): Inputs {
  return parseInputs('shop.yaml', `${TWO_NODES_SHOP}---\n${SHOP_POLICIES}`);
}

/** The shop without policies. */
export function twoNodesOpenShop(): Inputs {
  return parseInputs('shop.yaml', TWO_NODES_SHOP);
}

/** Wiring in which pods have addresses of the nodes' own subnet; further fields may follow. */
export const FLAT_WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
virtualNetworks:
  - name: vnet
    addressPrefixes: [10.240.0.0/12]
    subnets: [{ name: nodes, addressPrefix: 10.240.0.0/16 }]
`;

/** A Service of the shop with one port; `more` are further lines of its spec, with their indent. */
export function shopService(
  name: string,
  clusterIp: string,
  selector: string,
  port: string,
  more = '',
): string {
  return `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec:
  clusterIP: ${clusterIp}
  selector: { ${selector} }
  ports: [{ ${port} }]
${more}`;
}

/** The shop on one subnet, with Services and policies. */
export function shopWith(...documents: readonly string[]): Inputs {
  return parseInputs('shop.yaml', [FLAT_WIRING, TWO_NODES_SHOP, ...documents].join('---\n'));
}

/** Two pods on one node and one on another, both families, pod ranges of their own. */
export function dualStackTrio(): Inputs {
  return parseInputs(
    'trio.yaml',
    `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
networkPluginMode: overlay
ipFamilies: [IPv4, IPv6]
nodePools: [{name: pool, count: 2}]
---
${['one', 'two', 'three']
  .map((name) => `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}`)
  .join('\n---\n')}
`,
  );
}
