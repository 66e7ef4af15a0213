/**
 * What a Service's author should know although every product takes the object: that nobody answers,
 * or that near endpoints are not told from far ones.
 * @module
 */
import { hasUnknownEndpoints } from '../../cluster/api-server.ts';
import type { Cluster, Service } from '../../cluster/model.ts';
import { type Diagnostic, unreachable } from '../../diagnostic/diagnostic.ts';

/** What the authors of Services should know. */
export function serviceWarnings(
  cluster: Pick<Cluster, 'services' | 'endpointSlices' | 'pods'>,
): readonly Diagnostic[] {
  return cluster.services.flatMap((service) => {
    if (service.type === 'ExternalName' || hasUnknownEndpoints(cluster, service)) return [];
    const nobody = whyNobody(cluster, service);
    return [
      ...(nobody === null ? [] : [warning(service, 'SERVICE_NO_ENDPOINTS', nobody)]),
      ...portWarnings(cluster, service),
      ...hintWarnings(cluster, service),
    ];
  });
}

function warning(service: Service, code: string, message: string): Diagnostic {
  const { file, line } = service.source;
  const object = `${service.namespace}/Service/${service.name}`;
  return { code, file, line, object, message };
}

/** Ports by name that no endpoint has: kube-proxy knows nobody for them. */
function portWarnings(
  { endpointSlices }: Pick<Cluster, 'endpointSlices'>,
  service: Service,
): readonly Diagnostic[] {
  const own = endpointSlices.filter(
    (s) =>
      s.namespace === service.namespace && s.service === service.name && s.endpoints.length > 0,
  );
  if (own.length === 0) return [];
  return service.ports.flatMap(({ name, protocol, targetPort, port }) => {
    const isThere = own.some((s) =>
      s.ports.some((p) => p.name === name && p.protocol === protocol),
    );
    if (isThere) return [];
    const target = typeof targetPort === 'string' ? `"${targetPort}"` : String(targetPort);
    const message = `no endpoint has a port for ${protocol} ${port} (targetPort ${target}): connections are refused`;
    return [warning(service, 'SERVICE_NO_ENDPOINTS', message)];
  });
}

/** Hints of `topology-mode: Auto` that there are not, or that are chance. */
function hintWarnings(
  { endpointSlices }: Pick<Cluster, 'endpointSlices'>,
  service: Service,
): readonly Diagnostic[] {
  const said = endpointSlices.flatMap(({ namespace, service: name, hints }) => {
    if (!hints || namespace !== service.namespace || name !== service.name) return [];
    switch (hints.kind) {
      case 'own':
        return [];
      case 'none':
        return [`topology-mode Auto makes no hints, so all endpoints count: ${hints.why}`];
      case 'shared': {
        const [from, to] = [hints.giving.join(', '), hints.receiving.join(', ')];
        return [
          `some endpoints of zone ${from} take traffic of zone ${to} (topology-mode Auto); which ` +
            'ones is chance, so each of them counts in both zones: give the EndpointSlices to settle it',
        ];
      }
      default:
        return unreachable(hints);
    }
  });
  return [...new Set(said)].map((message) => warning(service, 'SERVICE_HINTS', message));
}

/** Why nobody answers: the selector chooses no pod, or no endpoint is in service. */
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
