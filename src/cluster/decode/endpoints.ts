/**
 * EndpointSlices for Services that have none given, as the endpoint slice controller makes them
 * (kubernetes staging endpointslice/reconciler.go): pods that the selector picks and that have an
 * address, grouped by what the Service's target ports come out to on them.
 * @module
 */
import type { Family } from '../../wire/address.ts';
import type { ContainerPort, EndpointSlice, Labels, Pod, Service } from '../model.ts';

type Ports = EndpointSlice['ports'];

/** Slices for every Service with a selector that `given` has none for. */
export function makeEndpointSlices(
  services: readonly Service[],
  pods: readonly Pod[],
  isReady: (pod: Pod) => boolean,
  given: readonly EndpointSlice[],
): readonly EndpointSlice[] {
  const have = new Set(given.map((s) => `${s.namespace}/${s.service}`));
  const byNamespace = new Map<string, Pod[]>();
  for (const pod of pods) {
    const list = byNamespace.get(pod.namespace);
    if (list) list.push(pod);
    else byNamespace.set(pod.namespace, [pod]);
  }
  return services.flatMap((service) => {
    if (service.selector === null || have.has(`${service.namespace}/${service.name}`)) return [];
    return slicesOf(service, service.selector, byNamespace.get(service.namespace) ?? [], isReady);
  });
}

function slicesOf(
  service: Service,
  selector: Labels,
  pods: readonly Pod[],
  isReady: (pod: Pod) => boolean,
): readonly EndpointSlice[] {
  const wanted = Object.entries(selector);
  const chosen = pods.filter(
    (p) =>
      p.addresses.length > 0 &&
      p.phase !== 'Succeeded' &&
      p.phase !== 'Failed' &&
      wanted.every(([key, value]) => p.labels[key] === value),
  );
  const families = new Set<Family>(
    service.clusterIps.length > 0
      ? service.clusterIps.map((a) => a.family)
      : chosen.flatMap((p) => p.addresses.map((a) => a.family)),
  );
  const groups = new Map<
    string,
    EndpointSlice & { endpoints: EndpointSlice['endpoints'][number][] }
  >();
  for (const pod of chosen) {
    const ports = portsOn(service, pod.ports);
    for (const address of pod.addresses.filter((a) => families.has(a.family)).slice(0, 2)) {
      const key = `${address.family} ${JSON.stringify(ports)}`;
      const slice = groups.get(key) ?? {
        name: `${service.name}-${groups.size}`,
        labels: { 'kubernetes.io/service-name': service.name },
        source: service.source,
        namespace: service.namespace,
        service: service.name,
        endpoints: [],
        ports,
      };
      slice.endpoints.push({ address, ready: isReady(pod), pod: pod.name });
      groups.set(key, slice);
    }
  }
  return [...groups.values()];
}

/** The Service's ports on one pod; a named target port that the pod lacks is left out. */
function portsOn(service: Service, containers: readonly ContainerPort[]): Ports {
  return service.ports.flatMap((port) => {
    const target = port.targetPort;
    const number =
      typeof target === 'number'
        ? target
        : containers.find((c) => !c.init && c.name === target && c.protocol === port.protocol)
            ?.containerPort;
    if (number === undefined) return [];
    return [{ name: port.name, protocol: port.protocol, port: number }];
  });
}
