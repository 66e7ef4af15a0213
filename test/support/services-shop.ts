/**
 * A shop behind Services of every kind, on two nodes of a virtual network: connections to it are
 * translated by nodes, by the load balancer, and on the way out.
 * @module
 */

const WIRING = `apiVersion: wiretrial/v1
kind: Wiring
networkPlugin: azure
ipFamilies: [IPv4, IPv6]
virtualNetworks:
- name: v
  addressPrefixes: [10.240.0.0/12, "fd00:240::/32"]
  subnets:
  - {name: s, addressPrefix: 10.240.0.0/16}
  - {name: s6, addressPrefix: "fd00:240::/64"}
`;

function node(name: string, ...addresses: readonly string[]): string {
  const list = addresses.map((a) => `{type: InternalIP, address: "${a}"}`).join(', ');
  return `apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [${list}]}
`;
}

function pod(name: string, on: string, tier: string, ...addresses: readonly string[]): string {
  const ips = addresses.map((ip) => `{ip: "${ip}"}`).join(', ');
  return `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: shop, tier: ${tier}}}
spec: {nodeName: ${on}, containers: [{name: c, ports: [{containerPort: 8080}]}]}
status: {phase: Running, podIP: ${addresses[0]}, podIPs: [${ips}], conditions: [{type: Ready, status: "True"}]}
`;
}

interface ServiceText {
  readonly name: string;
  readonly tier: string;
  readonly ips: readonly string[];
  readonly ports: string;
  readonly more?: string;
}

function service({ name, tier, ips, ports, more = '' }: ServiceText): string {
  const list = ips.map((ip) => `"${ip}"`).join(', ');
  const families = ips.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4')).join(', ');
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec:
  clusterIP: "${ips[0]}"
  clusterIPs: [${list}]
  ipFamilies: [${families}]
  ipFamilyPolicy: ${ips.length > 1 ? 'RequireDualStack' : 'SingleStack'}
  selector: {app: shop, tier: ${tier}}
  ports: ${ports}
${more}`;
}

const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api-from-web, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {tier: web}}}]
  - ports: [{port: 8080}, {port: 8080, protocol: UDP}]
    from: [{ipBlock: {cidr: 203.0.113.0/24}}]
`;

const HTTP = `[{name: t, port: 80, targetPort: 8080}, {name: u, port: 80, targetPort: 8080, protocol: UDP}]`;

export const SERVICES_SHOP = [
  WIRING,
  node('node-a', '10.240.0.4', 'fd00:240::4'),
  node('node-b', '10.240.0.35', 'fd00:240::35'),
  pod('web-1', 'node-a', 'web', '10.240.0.10', 'fd00:240::10'),
  pod('web-2', 'node-b', 'web', '10.240.0.40', 'fd00:240::40'),
  pod('api-1', 'node-b', 'api', '10.240.0.41', 'fd00:240::41'),
  pod('dns-1', 'node-a', 'dns', '10.240.0.11', 'fd00:240::11'),
  pod('dns-2', 'node-b', 'dns', '10.240.0.42', 'fd00:240::42'),
  service({ name: 'web', tier: 'web', ips: ['10.0.0.10', 'fd00:10::10'], ports: HTTP }),
  service({ name: 'api', tier: 'api', ips: ['10.0.0.11'], ports: HTTP }),
  service({
    ...{ name: 'dns', tier: 'dns', ips: ['10.0.0.53'] },
    ports: `[{port: 53, targetPort: 8080, protocol: UDP}]`,
  }),
  service({
    ...{ name: 'front', tier: 'web', ips: ['10.0.0.20'] },
    ports: `[{name: t, port: 80, targetPort: 8080, nodePort: 30080}, {name: u, port: 53, targetPort: 8080, protocol: UDP, nodePort: 30053}]`,
    more: `  type: LoadBalancer\nstatus: {loadBalancer: {ingress: [{ip: 20.1.2.3}]}}\n`,
  }),
  service({
    ...{ name: 'local', tier: 'web', ips: ['10.0.0.21'] },
    ports: `[{port: 80, targetPort: 8080, nodePort: 30081}]`,
    more: `  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 31000\nstatus: {loadBalancer: {ingress: [{ip: 20.1.2.4}]}}\n`,
  }),
  POLICY,
].join('---\n');
