/**
 * The ends of an asked flow as a user writes them, found in the cluster: pods, nodes, Services and
 * addresses; ports by number or by name.
 * @module
 */
import type { Cluster, Pod, Service, TransportProtocol } from '../../cluster/model.ts';
import { nearest } from '../../cluster/nearest.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import { type Address, parseAddress } from '../../wire/address/address.ts';
import type { Place } from '../identity.ts';
import type { World } from '../world.ts';

/** One end: addresses that stand for it, any of which will do, and where they are. */
export interface End {
  readonly addresses: readonly Address[];
  readonly place: Place;
  /** A Service that has no address of its own: its endpoints' addresses stand for it. */
  readonly headless?: true;
  /** A proxy outside the cluster, whose own connections come in. */
  readonly isProxy?: true;
  /** The pod that was named: on the host network its place is its node. */
  readonly pod?: Pod;
}

/** What is asked of `svc/NAMESPACE/NAME:PORT`, taken apart. */
export interface EndText {
  readonly end: string;
  readonly port: string | undefined;
}

/** `svc/ns/name:port` and `ADDRESS:port` have their port behind a colon. */
export function splitPort(text: string): EndText {
  const svc = /^(svc\/[^/:]+\/[^/:]+):([^:]+)$/.exec(text);
  if (svc?.[1] && svc[2]) return { end: svc[1], port: svc[2] };
  return { end: text, port: undefined };
}

/** Find an end; a mistake is noted and undefined returned. */
export function findEnd(
  world: World,
  text: string,
  placeOf: (address: Address) => Place,
  mistakes: Diagnostic[],
): End | undefined {
  const literal = parseAddress(text);
  if (literal) return { addresses: [literal], place: placeOf(literal) };
  const { addresses: plan } = world;
  const [kind, first = '', second = '', ...more] = text.split('/');
  const isNamed = more.length === 0;
  if (kind === 'svc' && isNamed) {
    const service = plan.findService(first, second);
    if (service) return serviceEnd(world, service, mistakes);
  }
  const pod = kind === 'pod' && isNamed ? plan.findPod(first, second) : undefined;
  const found =
    pod ?? (kind === 'node' && second === '' && isNamed ? plan.findNode(first) : undefined);
  const [address] = found?.addresses ?? [];
  if (found && address) {
    return { addresses: found.addresses, place: placeOf(address), ...(pod ? { pod } : {}) };
  }
  const near = meant(text, namesOf(world.cluster));
  mistakes.push({
    code: 'PROBE_END_UNKNOWN',
    message: found ? 'it has no address' : 'no such end in the cluster',
    found: text,
    accepted: near
      ? `did you mean ${near}?`
      : 'pod/NAMESPACE/NAME, svc/NAMESPACE/NAME, node/NAME or an address',
  });
  return undefined;
}

/** The end that was meant: nearly written so, or the only one whose name ends so. */
function meant(text: string, names: readonly string[]): string | null {
  const ending = names.filter((name) => name.endsWith(`/${text}`));
  return nearest(text, names) ?? (ending.length === 1 ? (ending[0] ?? null) : null);
}

function namesOf({ pods, nodes, services }: Cluster): readonly string[] {
  return [
    ...pods.map(({ namespace, name }) => `pod/${namespace}/${name}`),
    ...services.map(({ namespace, name }) => `svc/${namespace}/${name}`),
    ...nodes.map(({ name }) => `node/${name}`),
  ];
}

function serviceEnd(world: World, service: Service, mistakes: Diagnostic[]): End | undefined {
  const name = `svc/${service.namespace}/${service.name}`;
  const place = world.identities.placeOfService(service);
  if (service.clusterIps.length > 0) return { addresses: service.clusterIps, place };
  if (service.headless) {
    const addresses = readyAddresses(world.cluster, service);
    if (addresses.length > 0) return { addresses, place, headless: true };
  }
  mistakes.push({
    code: 'PROBE_SERVICE_ADDRESS',
    message:
      service.type === 'ExternalName'
        ? `an ExternalName Service is another name of ${service.externalName ?? 'something outside'}`
        : 'the Service has no address, and no endpoint that is ready',
    found: name,
    accepted: 'a Service with a cluster address or ready endpoints',
  });
  return undefined;
}

/** What the name of a headless Service resolves to: every endpoint that is ready. */
export function readyAddresses(cluster: Cluster, service: Service): readonly Address[] {
  return cluster.endpointSlices
    .filter((s) => s.namespace === service.namespace && s.service === service.name)
    .flatMap((s) => s.endpoints)
    .flatMap((e) => (e.ready ? e.addresses : []));
}

/** The port asked for at an end; 0 and a mistake when there is no such port. */
export function findPort(
  cluster: Cluster,
  port: number | string | undefined,
  protocol: TransportProtocol,
  to: End | undefined,
  mistakes: Diagnostic[],
): number {
  if (typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65536) return port;
  const named = typeof port === 'string' ? namedPort(cluster, port, protocol, to) : undefined;
  if (named !== undefined) return named;
  mistakes.push({
    code: 'PROBE_PORT',
    message: 'the port is neither a number nor a name that the destination declares',
    found: to?.place.name ? `${port} of ${to.place.name}` : String(port),
    accepted: '1..65535, or the name of a port of the pod or the Service, of the same protocol',
  });
  return 0;
}

function namedPort(
  cluster: Cluster,
  name: string,
  protocol: TransportProtocol,
  to: End | undefined,
): number | undefined {
  if (to?.place.kind === 'pod') {
    const { ports } = to.place.pod;
    return ports.find((p) => p.name === name && p.protocol === protocol)?.containerPort;
  }
  if (to?.place.kind !== 'service') return undefined;
  const { service } = to.place;
  const own = service.ports.find((p) => p.name === name && p.protocol === protocol);
  if (own === undefined || to.headless !== true) return own?.port;
  const slices = cluster.endpointSlices.filter(
    (s) => s.namespace === service.namespace && s.service === service.name,
  );
  const ports = slices.flatMap((s) => s.ports);
  return ports.find((p) => p.name === name && p.protocol === protocol)?.port ?? own.port;
}
