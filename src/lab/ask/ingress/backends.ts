/**
 * Where a proxy opens its own connection to: the endpoints behind an Ingress backend, by their own
 * addresses (ingress-nginx and AGIC write endpoints, not the Service's address, into their
 * configuration; ingress-nginx internal/ingress/controller/endpointslices.go takes those that are
 * ready).
 * @module
 */
import type { Ingress, IngressBackend } from '../../../cluster/ingress/model.ts';
import type { Cluster, Service } from '../../../cluster/model.ts';
import { type Address, formatAddress } from '../../../wire/address/address.ts';
import { nginxAnnotation } from './nginx-paths.ts';
import type { ProxyKind } from './route.ts';

export interface Target {
  readonly address: Address;
  readonly port: number;
}

export interface Backends {
  /** `svc/shop/web:80`. */
  readonly name: string;
  /** Null: only somebody outside the cluster can say them. */
  readonly targets: readonly Target[] | null;
}

/** The targets of a backend; none where the Service, its port or its endpoints are missing. */
export function backendsOf(
  cluster: Cluster,
  ingress: Ingress,
  backend: IngressBackend,
  kind: ProxyKind,
): Backends {
  if (backend === null) return { name: 'a resource that is no Service', targets: null };
  const named = namedBackends(cluster, ingress, backend, kind);
  if (kind !== 'nginx' || named.targets?.length !== 0) return named;
  return fallbackBackends(cluster, ingress) ?? named;
}

/** Of `default-backend`, a Service whose first port answers where the backend has no endpoints. */
function fallbackBackends(cluster: Cluster, ingress: Ingress): Backends | null {
  const { namespace } = ingress;
  const own = nginxAnnotation(ingress, 'default-backend');
  const service = cluster.services.find((s) => s.namespace === namespace && s.name === own);
  const [port] = service?.ports ?? [];
  if (service === undefined || port === undefined) return null;
  const name = `svc/${namespace}/${own}:${port.port}`;
  return { name, targets: endpointsOf(cluster, service, port.name) };
}

function namedBackends(
  cluster: Cluster,
  ingress: Ingress,
  backend: NonNullable<IngressBackend>,
  kind: ProxyKind,
): Backends {
  const { namespace } = ingress;
  const name = `svc/${namespace}/${backend.service}:${backend.port}`;
  const service = cluster.services.find(
    (s) => s.namespace === namespace && s.name === backend.service,
  );
  if (service === undefined) return { name, targets: [] };
  if (service.type === 'ExternalName') return { name, targets: null };
  const port = service.ports.find((p) =>
    typeof backend.port === 'number' ? p.port === backend.port : p.name === backend.port,
  );
  if (port === undefined || port.protocol !== 'TCP') return { name, targets: [] };
  const isByService = kind === 'nginx' && nginxAnnotation(ingress, 'service-upstream') === 'true';
  if (isByService && service.clusterIps.length > 0) {
    return { name, targets: service.clusterIps.map((address) => ({ address, port: port.port })) };
  }
  return { name, targets: endpointsOf(cluster, service, port.name) };
}

function endpointsOf(cluster: Cluster, service: Service, portName: string): readonly Target[] {
  const found = cluster.endpointSlices
    .filter((s) => s.namespace === service.namespace && s.service === service.name)
    .flatMap((slice) => {
      const port = slice.ports.find((p) => p.name === portName && p.protocol === 'TCP')?.port;
      if (port == null) return [];
      const ready = slice.endpoints.filter((e) => e.ready).flatMap((e) => e.addresses);
      return ready.map((address) => ({ address, port }));
    });
  return [...new Map(found.map((t) => [`${formatAddress(t.address)} ${t.port}`, t])).values()];
}
