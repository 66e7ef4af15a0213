/**
 * The Service of the API server: it has endpoints in every cluster, which the control plane writes
 * and manifests rarely show.
 * @module
 */
import type { Cluster, Service } from './model.ts';

/**
 * Whether a Service has endpoints that nobody told: `default/kubernetes` without an EndpointSlice.
 * No rules can be written for it, and what is sent there has no verdict.
 */
export function hasUnknownEndpoints(
  cluster: Pick<Cluster, 'endpointSlices'>,
  service: Pick<Service, 'namespace' | 'name' | 'selector'>,
): boolean {
  if (service.namespace !== 'default' || service.name !== 'kubernetes') return false;
  if (service.selector !== null) return false;
  return !cluster.endpointSlices.some(
    (s) => s.namespace === service.namespace && s.service === service.name,
  );
}
