/**
 * What a Service's author should know although every product takes the object: nobody answers.
 * @module
 */
import { hasUnknownEndpoints } from '../../cluster/api-server.ts';
import type { Cluster, Service } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';

/** Services whose selector no pod has, or whose endpoints are all out of service. */
export function serviceWarnings(
  cluster: Pick<Cluster, 'services' | 'endpointSlices' | 'pods'>,
): readonly Diagnostic[] {
  return cluster.services.flatMap((service) => {
    if (service.type === 'ExternalName' || hasUnknownEndpoints(cluster, service)) return [];
    const message = whyNobody(cluster, service);
    if (message === null) return [];
    return [
      {
        code: 'SERVICE_NO_ENDPOINTS',
        file: service.source.file,
        line: service.source.line,
        object: `${service.namespace}/Service/${service.name}`,
        ...(service.selector ? { field: 'spec.selector' } : {}),
        message,
      },
    ];
  });
}

function whyNobody(
  cluster: Pick<Cluster, 'endpointSlices' | 'pods'>,
  service: Service,
): string | null {
  const endpoints = cluster.endpointSlices
    .filter((s) => s.namespace === service.namespace && s.service === service.name)
    .flatMap((s) => s.endpoints);
  if (endpoints.some((e) => e.ready || (e.serving && e.terminating))) return null;
  const so = service.headless ? 'its name has no addresses' : 'connections are refused';
  if (endpoints.length > 0) return `none of its endpoints is ready: ${so}`;
  if (service.selector === null) return `it has no selector and no EndpointSlice: ${so}`;
  const wanted = Object.entries(service.selector);
  const matches = cluster.pods.some(
    (p) => p.namespace === service.namespace && wanted.every(([k, v]) => p.labels[k] === v),
  );
  return matches
    ? `the pods that its selector matches have no address: ${so}`
    : `its selector matches no pod: ${so}`;
}
