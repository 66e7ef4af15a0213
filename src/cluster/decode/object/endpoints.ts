/**
 * EndpointSlices for Services that have none given, as the endpoint slice controller makes them
 * (kubernetes staging/src/k8s.io/endpointslice `reconciler.go`, `utils.go` `podToEndpoint`,
 * `ShouldPodBeInEndpoints`): pods that the selector picks and that have an address, grouped by what
 * the Service's target ports come out to on them.
 * @module
 */
import type {
  ContainerPort,
  Endpoint,
  EndpointPort,
  EndpointSlice,
  Labels,
  Node,
  Pod,
  Service,
} from '../../model.ts';
import {
  autoHints,
  wantsAutoHints,
  ZONE_LABEL,
  type ZoneShares,
  zoneShares,
} from '../../topology-hints.ts';
import { SERVICE_LABEL } from './slices.ts';

/** What the controller knows of a pod besides the pod. */
export interface PodCondition {
  /** The Ready condition, whether or not the pod is being deleted. */
  readonly ready: boolean;
  readonly terminating: boolean;
}

export interface EndpointInput {
  readonly services: readonly Service[];
  readonly pods: readonly Pod[];
  readonly nodes: readonly Node[];
  /** Slices that the user gave: their Services get none from us. */
  readonly given: readonly EndpointSlice[];
  conditionOf(pod: Pod): PodCondition;
}

interface Draft {
  readonly service: Service;
  readonly zones: ReadonlyMap<string, string>;
  readonly conditionOf: EndpointInput['conditionOf'];
}

/** Slices for every Service with a selector that `given` has none for. */
export function makeEndpointSlices(input: EndpointInput): readonly EndpointSlice[] {
  const have = new Set(input.given.map((s) => `${s.namespace}/${s.service}`));
  const byNamespace = new Map<string, Pod[]>();
  for (const pod of input.pods) {
    const list = byNamespace.get(pod.namespace);
    if (list) list.push(pod);
    else byNamespace.set(pod.namespace, [pod]);
  }
  const zones = new Map(input.nodes.map((n) => [n.name, n.labels[ZONE_LABEL] ?? '']));
  let shares: ZoneShares | null = null;
  return input.services.flatMap((service) => {
    const { selector, namespace } = service;
    if (selector === null || have.has(`${namespace}/${service.name}`)) return [];
    const draft = { service, zones, conditionOf: input.conditionOf };
    const made = slicesOf(draft, chosenPods(selector, byNamespace.get(namespace) ?? []));
    if (!wantsAutoHints(service)) return made;
    shares ??= zoneShares(input.nodes);
    return hintedByZone(made, shares);
  });
}

/** Slices with hints by the zones' CPUs, which count the ready endpoints of a whole family. */
function hintedByZone(
  slices: readonly EndpointSlice[],
  shares: ZoneShares,
): readonly EndpointSlice[] {
  return slices.map((slice) => {
    const all = slices.filter((s) => s.family === slice.family).flatMap((s) => s.endpoints);
    const zones = all.filter((e) => e.ready).map((e) => e.zone ?? '');
    const { zonesOf, outcome } = autoHints(shares, zones);
    const endpoints = slice.endpoints.map((e) => {
      return { ...e, zoneHints: e.ready ? (zonesOf.get(e.zone ?? '') ?? []) : [], nodeHints: [] };
    });
    return { ...slice, endpoints, hints: outcome };
  });
}

/** Pods that a Service's selector picks and that have a network. */
export function chosenPods(selector: Labels, pods: readonly Pod[]): readonly Pod[] {
  const wanted = Object.entries(selector);
  return pods.filter(
    (p) =>
      p.addresses.length > 0 &&
      p.phase !== 'Succeeded' &&
      p.phase !== 'Failed' &&
      wanted.every(([key, value]) => p.labels[key] === value),
  );
}

function slicesOf(draft: Draft, chosen: readonly Pod[]): readonly EndpointSlice[] {
  const { service } = draft;
  const groups = new Map<string, EndpointSlice & { endpoints: Endpoint[] }>();
  for (const pod of chosen) {
    const ports = portsOn(service, pod.ports);
    for (const family of service.ipFamilies) {
      const endpoint = endpointOf(draft, pod, family);
      if (!endpoint) continue;
      const key = `${family} ${JSON.stringify(ports)}`;
      const slice = groups.get(key) ?? {
        name: `${service.name}-${groups.size}`,
        labels: { [SERVICE_LABEL]: service.name },
        source: service.source,
        namespace: service.namespace,
        service: service.name,
        family,
        endpoints: [],
        ports,
      };
      slice.endpoints.push(endpoint);
      groups.set(key, slice);
    }
  }
  return [...groups.values()];
}

function endpointOf(draft: Draft, pod: Pod, family: 4 | 6): Endpoint | null {
  const address = pod.addresses.find((a) => a.family === family);
  if (!address) return null;
  const { ready: serving, terminating } = draft.conditionOf(pod);
  const zone = draft.zones.get(pod.node) ?? '';
  const ready = draft.service.publishNotReadyAddresses || (serving && !terminating);
  const named = pod.hostname !== undefined && pod.subdomain === draft.service.name;
  return {
    addresses: [address],
    ready,
    serving,
    terminating,
    ...(pod.node === '' ? {} : { node: pod.node }),
    ...(zone === '' ? {} : { zone }),
    ...(named && pod.hostname !== undefined ? { hostname: pod.hostname } : {}),
    ...hints(draft.service, ready ? pod.node : '', ready ? zone : ''),
    pod: pod.name,
    source: pod.source,
  };
}

/**
 * Whose traffic an endpoint should take (endpointslice `trafficdist`): its own zone's, and its own
 * node's where the Service wants that; none for endpoints that are not ready.
 */
function hints(
  service: Service,
  node: string,
  zone: string,
): Pick<Endpoint, 'zoneHints' | 'nodeHints'> {
  const spread = service.trafficDistribution;
  return {
    zoneHints: spread !== null && zone !== '' ? [zone] : [],
    nodeHints: spread === 'PreferSameNode' && node !== '' ? [node] : [],
  };
}

/** The Service's ports on one pod; a named target port that the pod lacks is left out. */
function portsOn(service: Service, containers: readonly ContainerPort[]): readonly EndpointPort[] {
  return service.ports.flatMap((port) => {
    const target = port.targetPort;
    const number =
      typeof target === 'number'
        ? target
        : containers.find((c) => !c.init && c.name === target && c.protocol === port.protocol)
            ?.containerPort;
    if (number === undefined) return [];
    const { name, protocol, appProtocol } = port;
    const rest = appProtocol === undefined ? {} : { appProtocol };
    return [{ name, protocol, port: number, ...rest }];
  });
}
