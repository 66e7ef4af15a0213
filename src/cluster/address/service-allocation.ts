/**
 * What the API server gives a Service that does not say it: families, ClusterIPs, node ports, the
 * port for load balancers' health probes; and what it refuses of what is said
 * (kubernetes pkg/registry/core/service/storage/alloc.go `initIPFamilyFields`,
 * `allocServiceClusterIPs`, `allocateNodePort`, `allocHealthCheckNodePort`).
 *
 * Given values are taken first. ClusterIPs come from the upper band of the range (KEP-3070), node
 * ports from the upper band of theirs (KEP-3668); where the API server draws, we count. The first
 * address of the service range is default/kubernetes', and AKS keeps `dnsServiceIP` for
 * kube-system/kube-dns.
 * @module
 */
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { Address, Family, Prefix } from '../../wire/address/address.ts';
import {
  addressKey,
  addToAddress,
  contains,
  equalAddress,
  formatAddress,
  formatPrefix,
  maskAddress,
} from '../../wire/address/address.ts';
import { NODE_PORTS } from '../decode/object/service.ts';
import type { Service, ServicePort, SourceRef, Wiring } from '../model.ts';
import { type AddressBook, sizeOf } from './ipam.ts';

/** First port of the upper band: min(max(16, size / 32), 128) ports are kept below. */
const UPPER_NODE_PORTS = NODE_PORTS.first + 86;

const CODE_FAMILY = 'SERVICE_IP_FAMILY';
const CODE_IP = 'SERVICE_CLUSTER_IP';
const CODE_PORT = 'SERVICE_NODE_PORT';

interface Allocation {
  readonly wiring: Wiring;
  readonly book: AddressBook;
  readonly problems: Diagnostic[];
  readonly reserved: readonly { readonly name: string; readonly address: Address }[];
  /** ClusterIPs that Services ask for themselves. */
  readonly asked: readonly Address[];
  /** Services by the ClusterIPs that they ask for. */
  readonly owners: Map<string, string>;
  /** Node ports in use: one number, one Service, whatever the protocol. */
  readonly nodePorts: Map<number, string>;
}

/** Complete all Services; what can not be had is added to `problems` or to the book. */
export function allocateServices(
  services: readonly Service[],
  wiring: Wiring,
  book: AddressBook,
  problems: Diagnostic[],
): readonly Service[] {
  const asked = services.flatMap((s) => s.clusterIps);
  const reserved = reservedIps(wiring);
  book.claim([...asked, ...reserved.map((r) => r.address)]);
  const a: Allocation = {
    wiring,
    book,
    problems,
    reserved,
    asked,
    owners: new Map(),
    nodePorts: new Map(),
  };
  for (const service of services) takeGivenPorts(a, service);
  return services.map((service) => withPorts(a, withClusterIps(a, withFamilies(a, service))));
}

/** ClusterIPs that AKS keeps for two Services. */
function reservedIps(wiring: Wiring): Allocation['reserved'] {
  const cidr = wiring.serviceCidrs[0];
  if (!cidr) return [];
  const first = addToAddress(maskAddress(cidr.address, cidr.length), 1);
  const dns = wiring.dnsServiceIp;
  return [
    { name: 'default/kubernetes', address: first },
    ...(dns ? [{ name: 'kube-system/kube-dns', address: dns }] : []),
  ];
}

function refuse(
  a: Allocation,
  service: Service,
  at: SourceRef,
  detail: { readonly code: string; readonly field: string; readonly message: string },
  found: string,
): void {
  const { code, field, message } = detail;
  const object = `${service.namespace}/Service/${service.name}`;
  a.problems.push({ code, ...at, object, field, message, found });
}

/** Families by what the Service says, else by its addresses, else the cluster's first. */
function withFamilies(a: Allocation, service: Service): Service {
  if (service.type === 'ExternalName') return service;
  const own = [...new Set(a.wiring.serviceCidrs.map((p) => p.address.family))];
  if (own.length === 0) return service;
  const { ipFamilies: given, ipFamilyPolicy: policy } = service;
  // Headless without selector: somebody else writes its endpoints, of whatever family.
  const selectorless = service.headless && service.selector === null;
  for (const [i, family] of given.entries()) {
    if (selectorless || own.includes(family)) continue;
    const field = `spec.ipFamilies[${i}]`;
    const message = 'not configured on this cluster';
    refuse(a, service, service.source, { code: CODE_FAMILY, field, message }, `"IPv${family}"`);
  }
  const implied = service.clusterIps.map((ip) => ip.family);
  const first = given.length > 0 ? given : implied.length > 0 ? implied : own.slice(0, 1);
  if (policy === 'RequireDualStack' && own.length < 2 && !selectorless) {
    const field = 'spec.ipFamilyPolicy';
    const message = 'this cluster is not configured for dual-stack services';
    refuse(a, service, service.source, { code: CODE_FAMILY, field, message }, `"${policy}"`);
  }
  const wantsBoth = policy !== 'SingleStack' || (selectorless && given.length === 0);
  const rest = (selectorless ? ([4, 6] as const) : own).filter((f) => !first.includes(f));
  const ipFamilies: readonly Family[] = wantsBoth ? [...first, ...rest] : first.slice(0, 1);
  return { ...service, ipFamilies };
}

function withClusterIps(a: Allocation, service: Service): Service {
  if (service.type === 'ExternalName' || service.headless) return service;
  const { serviceCidrs } = a.wiring;
  for (const ip of service.clusterIps) {
    const ranges = serviceCidrs.filter((p) => p.address.family === ip.family);
    const isOutside = ranges.length > 0 && !ranges.some((p) => contains(p, ip));
    const owner = a.owners.get(addressKey(ip));
    if (owner === undefined) a.owners.set(addressKey(ip), `${service.namespace}/${service.name}`);
    if (owner === undefined && !isOutside) continue;
    const shown = formatAddress(ip);
    const why = isOutside
      ? `the provided IP (${shown}) is not in the valid range. ` +
        `The range of valid IPs is ${ranges.map(formatPrefix).join(', ')}`
      : `provided IP is already allocated (by the Service ${owner})`;
    const message = `failed to allocate IP ${shown}: ${why}`;
    const found = JSON.stringify(service.clusterIps.map(formatAddress));
    refuse(a, service, service.source, { code: CODE_IP, field: 'spec.clusterIPs', message }, found);
  }
  const clusterIps = service.ipFamilies.flatMap((family): readonly Address[] => {
    const given = service.clusterIps.find((ip) => ip.family === family);
    if (given) return [given];
    const cidr = serviceCidrs.find((p) => p.address.family === family);
    const taken = cidr ? takeClusterIp(a, service, cidr) : null;
    return taken ? [taken] : [];
  });
  return { ...service, clusterIps };
}

function takeClusterIp(a: Allocation, service: Service, cidr: Prefix): Address | null {
  const name = `${service.namespace}/${service.name}`;
  const kept = a.reserved.find((r) => r.name === name)?.address;
  const isFree =
    kept?.family === cidr.address.family && !a.asked.some((ip) => equalAddress(ip, kept));
  if (kept && isFree) return kept;
  const upper = Math.min(Math.max(16, Math.floor(sizeOf(cidr) / 16)), 256) + 1;
  const address = a.book.take(cidr, Math.min(upper, sizeOf(cidr) >> 1), 1);
  if (!address) {
    const what = `${service.namespace}/Service/${service.name}`;
    a.book.exhausted.push({ what, range: 'serviceCidr' });
  }
  return address;
}

/** One Service may have a node port for two protocols; two Services never share a number. */
function takeGivenPorts(a: Allocation, service: Service): void {
  const id = `${service.namespace}/${service.name}`;
  const take = (port: number, at: SourceRef, field: string) => {
    const owner = a.nodePorts.get(port);
    if (owner !== undefined && owner !== id) {
      const message = `provided port is already allocated (by the Service ${owner})`;
      refuse(a, service, at, { code: CODE_PORT, field, message }, String(port));
    } else a.nodePorts.set(port, id);
  };
  service.ports.forEach((port, i) => {
    const field = `spec.ports[${i}].nodePort`;
    if (port.nodePort !== undefined) take(port.nodePort, port.source, field);
  });
  const health = service.healthCheckNodePort;
  if (health === null) return;
  const field = 'spec.healthCheckNodePort';
  // Its own node ports are given first.
  if (service.ports.some((p) => p.nodePort === health)) {
    const message = `failed to allocate requested HealthCheck NodePort ${health}: provided port is already allocated`;
    refuse(a, service, service.source, { code: CODE_PORT, field, message }, String(health));
  } else take(health, service.source, field);
}

/** Whether the API server gives the Service a port for a load balancer's health probes. */
export function needsHealthCheckPort(service: Service): boolean {
  return service.type === 'LoadBalancer' && service.externalTrafficPolicy === 'Local';
}

function withPorts(a: Allocation, service: Service): Service {
  const id = `${service.namespace}/${service.name}`;
  const isBalancer = service.type === 'LoadBalancer' && service.allocateLoadBalancerNodePorts;
  const ports =
    service.type === 'NodePort' || isBalancer ? withNodePorts(a, service) : service.ports;
  const health = needsHealthCheckPort(service)
    ? (service.healthCheckNodePort ?? freePort(a, id))
    : service.healthCheckNodePort;
  return { ...service, ports, healthCheckNodePort: health };
}

/** Two protocols of one port number share a node port (`initNodePorts`). */
function withNodePorts(a: Allocation, service: Service): readonly ServicePort[] {
  const byPort = new Map<number, number>();
  for (const { port, nodePort } of service.ports) {
    if (nodePort !== undefined && !byPort.has(port)) byPort.set(port, nodePort);
  }
  return service.ports.map((port) => {
    if (port.nodePort !== undefined) return port;
    const nodePort = byPort.get(port.port) ?? freePort(a, `${service.namespace}/${service.name}`);
    if (nodePort === null) return port;
    byPort.set(port.port, nodePort);
    return { ...port, nodePort };
  });
}

function freePort(a: Allocation, id: string): number | null {
  for (let port = UPPER_NODE_PORTS; port <= NODE_PORTS.last; port++) {
    if (a.nodePorts.has(port)) continue;
    a.nodePorts.set(port, id);
    return port;
  }
  return null;
}
