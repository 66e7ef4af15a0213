/**
 * What cloud-provider-azure makes of LoadBalancer Services: frontends, rules, probes and who is in
 * the backend pool.
 *
 * Every node is in the pool unless it is labelled out of it; a rule keeps the Service's port and,
 * with floating IP (the default), the destination; its probe asks the node port, or with
 * externalTrafficPolicy Local kube-proxy's health check port, which answers 200 where an endpoint
 * is. UDP rules have no probe. Source: cloud-provider-azure `pkg/provider/azure_loadbalancer.go`
 * (`getExpectedLBRules`, `shouldNodeExcludedFromLoadBalancer`), `azure_loadbalancer_healthprobe.go`
 * (`buildHealthProbeRulesForPort`), `pkg/consts/consts.go` (annotations).
 * @module
 */
import type { Cluster, Node, Service, ServicePort } from '../cluster/model.ts';
import {
  type Address,
  addressKey,
  contains,
  formatAddress,
  parseAddress,
} from '../wire/address/address.ts';

const ANNOTATION = 'service.beta.kubernetes.io/azure-';
const EXCLUDED = [
  'node.kubernetes.io/exclude-from-external-load-balancers',
  'kubernetes.azure.com/managed',
] as const;

/** How a backend's health is asked. */
export type Probe =
  | { readonly kind: 'none' }
  | { readonly kind: 'tcp' | 'http'; readonly port: number };

/** One load balancing rule of one frontend address. */
export interface LoadBalancerRule {
  readonly service: Service;
  readonly address: Address;
  readonly internal: boolean;
  /** The packet keeps the frontend's address; otherwise it gets the node's, and the node port. */
  readonly floating: boolean;
  readonly port: ServicePort;
  readonly probe: Probe;
  /** Clients keep their backend (`sessionAffinity: ClientIP`, distribution SourceIP). */
  readonly sticky: boolean;
  /** Nodes of the pool whose probe could be answered with 200, before anybody sends it. */
  readonly candidates: readonly Node[];
}

/** Every rule of every frontend whose address is known. */
export function loadBalancerRules(cluster: Cluster): readonly LoadBalancerRule[] {
  return cluster.services
    .filter((s) => s.type === 'LoadBalancer' && s.loadBalancerClass === null)
    .flatMap((service) =>
      frontendAddresses(service).flatMap((address) => rulesOf(cluster, service, address)),
    );
}

/** The annotation `service.beta.kubernetes.io/azure-NAME`. */
function annotation(service: Service, name: string): string | undefined {
  return service.annotations[ANNOTATION + name];
}

function isTrue(service: Service, name: string): boolean {
  return annotation(service, name)?.toLowerCase() === 'true';
}

function frontendAddresses(service: Service): readonly Address[] {
  const given = service.loadBalancerIngress.flatMap((i) => i.address ?? []);
  if (given.length > 0) return given;
  const asked = ['load-balancer-ipv4', 'load-balancer-ipv6'].flatMap(
    (name) => parseAddress(annotation(service, name) ?? '') ?? [],
  );
  return asked.length > 0 ? asked : service.loadBalancerIps;
}

function rulesOf(
  cluster: Cluster,
  service: Service,
  address: Address,
): readonly LoadBalancerRule[] {
  const internal =
    isTrue(service, 'load-balancer-internal') ||
    cluster.wiring.vnet.some((range) => contains(range, address));
  const pool = cluster.nodes.filter(
    (node) =>
      !EXCLUDED.some((label) => (node.labels[label] ?? 'false') !== 'false') &&
      node.addresses.some((a) => a.family === address.family),
  );
  const local = service.externalTrafficPolicy === 'Local';
  return service.ports
    .filter((port) => port.protocol !== 'SCTP' && !isTruePort(service, port, 'no_lb_rule'))
    .map((port) => {
      const probe = probeOf(service, port);
      const answers = local && probe.kind === 'http' ? withEndpoint(cluster, service) : null;
      return {
        service,
        address,
        internal,
        floating: !isTrue(service, 'disable-load-balancer-floating-ip'),
        port,
        probe,
        sticky: service.sessionAffinitySeconds !== null,
        candidates: answers === null ? pool : pool.filter((node) => answers.has(node.name)),
      };
    });
}

function isTruePort(service: Service, port: ServicePort, name: string): boolean {
  const key = `service.beta.kubernetes.io/port_${port.port}_${name}`;
  return service.annotations[key]?.toLowerCase() === 'true';
}

function probeOf(service: Service, port: ServicePort): Probe {
  if (port.protocol === 'UDP' || isTruePort(service, port, 'no_probe_rule')) {
    return { kind: 'none' };
  }
  const { healthCheckNodePort } = service;
  if (service.externalTrafficPolicy === 'Local' && healthCheckNodePort) {
    return { kind: 'http', port: healthCheckNodePort };
  }
  if (port.nodePort === undefined) return { kind: 'none' };
  const asked =
    annotation(service, 'load-balancer-health-probe-protocol') ?? port.appProtocol ?? 'tcp';
  // HTTPS probes are TCP connections as far as packets go; what they answer is not judged.
  return { kind: asked.toLowerCase() === 'http' ? 'http' : 'tcp', port: port.nodePort };
}

/** Names of nodes on which kube-proxy's health check server finds an endpoint of the Service. */
function withEndpoint(cluster: Cluster, service: Service): ReadonlySet<string> {
  return new Set(
    cluster.endpointSlices
      .filter((s) => s.namespace === service.namespace && s.service === service.name)
      .flatMap((s) => s.endpoints)
      .flatMap((e) => (e.ready && e.node !== undefined ? [e.node] : [])),
  );
}

/** `shop/web 203.0.113.7 tcp/80 node-a`: a rule's backend, as `RenderInput.unhealthy` names it. */
export function backendKey(rule: LoadBalancerRule, node: Node): string {
  const { service, address, port } = rule;
  const what = `${port.protocol.toLowerCase()}/${port.port}`;
  return `${service.namespace}/${service.name} ${formatAddress(address)} ${what} ${node.name}`;
}

/** The node's address that a rule of this family sends to. */
export function backendAddress(rule: LoadBalancerRule, node: Node): Address | undefined {
  return node.addresses.find((a) => a.family === rule.address.family);
}

/** Rules by frontend address. */
export function byFrontend(
  rules: readonly LoadBalancerRule[],
): readonly (readonly [Address, readonly LoadBalancerRule[]])[] {
  const found = new Map<string, [Address, LoadBalancerRule[]]>();
  for (const rule of rules) {
    const key = addressKey(rule.address);
    const entry = found.get(key) ?? [rule.address, []];
    entry[1].push(rule);
    found.set(key, entry);
  }
  return [...found.values()];
}
