/**
 * What kube-proxy makes of a Service: one entry a port, in one address family.
 *
 * Left out as kube-proxy leaves them out: headless and ExternalName Services, addresses of the
 * other family, load balancer addresses that are rewritten before they come (`ipMode: Proxy`).
 * Source: kubernetes v1.30.5 `pkg/proxy/serviceport.go` `newBaseServiceInfo`,
 * `pkg/proxy/util/utils.go` `ShouldSkipService`, `pkg/api/v1/service/util.go`
 * `ExternalPolicyLocal`, `NeedsHealthCheck`.
 * @module
 */
import { formatSource, type Service, type ServicePort } from '../../../cluster/model.ts';
import type { Provenance } from '../../../netfilter/rule.ts';
import type { Address, Family, Prefix } from '../../../wire/address/address.ts';
import { maskAddress } from '../../../wire/address/address.ts';
import { type PortChains, portChains, servicePortName } from '../names.ts';

/** One port of one Service in one family. */
export interface ProxyPort {
  /** `NAMESPACE/NAME:PORT`. */
  readonly name: string;
  readonly service: Service;
  readonly port: ServicePort;
  readonly family: Family;
  readonly clusterIp: Address;
  readonly externalIps: readonly Address[];
  /** Load balancer addresses that arrive at nodes as they are. */
  readonly vips: readonly Address[];
  readonly sourceRanges: readonly Prefix[];
  readonly nodePort: number | null;
  readonly healthCheckNodePort: number | null;
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  readonly affinitySeconds: number | null;
  readonly chains: PortChains;
  readonly origin: readonly Provenance[];
}

const memo = new WeakMap<readonly Service[], Map<Family, readonly ProxyPort[]>>();

/** All ports that have rules in a family, in the order of the Services; the same for every node. */
export function proxyPorts(services: readonly Service[], family: Family): readonly ProxyPort[] {
  const families = memo.get(services) ?? new Map<Family, readonly ProxyPort[]>();
  memo.set(services, families);
  const known = families.get(family);
  if (known) return known;
  const made = makePorts(services, family);
  families.set(family, made);
  return made;
}

function makePorts(services: readonly Service[], family: Family): readonly ProxyPort[] {
  return services.flatMap((service) => {
    const clusterIp = service.clusterIps.find((a) => a.family === family);
    if (service.headless || service.type === 'ExternalName' || !clusterIp) return [];
    return service.ports.map((port, i) => proxyPort(service, port, i, clusterIp));
  });
}

function proxyPort(
  service: Service,
  port: ServicePort,
  index: number,
  clusterIp: Address,
): ProxyPort {
  const { family } = clusterIp;
  const name = servicePortName(service.namespace, service.name, port.name);
  const own = (a: Address) => a.family === family;
  return {
    name,
    service,
    port,
    family,
    clusterIp,
    externalIps: service.externalIps.filter(own),
    vips: vips(service).filter(own),
    sourceRanges: service.loadBalancerSourceRanges
      .filter((p) => own(p.address))
      .map(({ address, length }) => ({ address: maskAddress(address, length), length })),
    nodePort: port.nodePort ?? null,
    healthCheckNodePort: needsHealthCheck(service) ? service.healthCheckNodePort : null,
    externalLocal: externalPolicyLocal(service),
    internalLocal: service.internalTrafficPolicy === 'Local',
    affinitySeconds: service.sessionAffinitySeconds,
    chains: portChains(name, port.protocol),
    origin: [
      {
        object: `${service.namespace}/Service/${service.name}`,
        effect: 'platform',
        field: port.name === '' ? `spec.ports[${index}]` : `spec.ports[${index}] (${port.name})`,
        source: formatSource(port.source),
      },
    ],
  };
}

/** The status' VIPs; while there is no status, the addresses that the cloud was asked for. */
function vips(service: Service): readonly Address[] {
  if (service.loadBalancerIngress.length === 0) return service.loadBalancerIps;
  return service.loadBalancerIngress.flatMap(({ address, ipMode }) =>
    address && ipMode === 'VIP' ? [address] : [],
  );
}

function externalPolicyLocal(service: Service): boolean {
  if (service.externalTrafficPolicy !== 'Local') return false;
  return service.type !== 'ClusterIP' || service.externalIps.length > 0;
}

function needsHealthCheck(service: Service): boolean {
  return service.type === 'LoadBalancer' && externalPolicyLocal(service);
}

/** Whether something besides the ClusterIP leads here. */
export function isExternallyAccessible(port: ProxyPort): boolean {
  return port.nodePort !== null || port.vips.length > 0 || port.externalIps.length > 0;
}

/** Whether any traffic is sent by policy Cluster: traffic policy Local short-circuits to it. */
export function usesClusterEndpoints(port: ProxyPort): boolean {
  return !port.internalLocal || isExternallyAccessible(port);
}

export function usesLocalEndpoints(port: ProxyPort): boolean {
  return port.internalLocal || (port.externalLocal && isExternallyAccessible(port));
}
