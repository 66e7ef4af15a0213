/**
 * The endpoints of every Service port as kube-proxy holds them on one node: slices merged by the
 * Service's name, ports matched by name and protocol, each `ADDRESS:PORT` once, in the order of
 * that text.
 *
 * Source: kubernetes v1.30.5 `pkg/proxy/endpointslicecache.go` `endpointInfoByServicePort`,
 * `addEndpoints`, `endpointsMapFromEndpointInfo`.
 * @module
 */
import type { Endpoint, EndpointSlice } from '../../../cluster/model.ts';
import { formatSource } from '../../../cluster/model.ts';
import type { Provenance } from '../../../netfilter/rule.ts';
import type { Address, Family } from '../../../wire/address/address.ts';
import { formatAddress } from '../../../wire/address/address.ts';
import { type ProxyPort, usesLocalEndpoints } from './service-port.ts';

/** One endpoint of one port. */
export interface ProxyEndpoint {
  /** `10.0.0.1:80`, `[fd00::1]:80`. */
  readonly text: string;
  readonly address: Address;
  readonly port: number;
  /** On this node. */
  readonly local: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
  readonly origin: Provenance;
}

/** A port's endpoints as every node sees them that has none of them. */
interface PortEndpoints {
  /** Sorted by text; none is `local`. */
  readonly sorted: readonly ProxyEndpoint[];
  /** Nodes that have some. */
  readonly nodes: ReadonlySet<string>;
  /** Slices and their port numbers, to see the port as one of these nodes does. */
  readonly parts: readonly { readonly slice: EndpointSlice; readonly number: number }[];
  /** Some `ADDRESS:PORT` is there twice: a node prefers its own. */
  readonly hasTwins: boolean;
}

type ByPort = ReadonlyMap<string, PortEndpoints>;

const memo = new WeakMap<readonly EndpointSlice[], Map<Family, ByPort>>();

function endpointsByPort(slices: readonly EndpointSlice[], family: Family): ByPort {
  const families = memo.get(slices) ?? new Map<Family, ByPort>();
  memo.set(slices, families);
  const known = families.get(family);
  if (known) return known;
  const parts = new Map<string, { slice: EndpointSlice; number: number }[]>();
  for (const slice of slices) {
    if (slice.service === '' || slice.family !== family) continue;
    for (const { name, protocol, port } of slice.ports) {
      if (port === null || port === 0) continue;
      const key = keyOf(slice.namespace, slice.service, name, protocol);
      const found = parts.get(key) ?? [];
      parts.set(key, found);
      found.push({ slice, number: port });
    }
  }
  const made = new Map([...parts].map(([key, own]) => [key, portEndpoints(own)] as const));
  families.set(family, made);
  return made;
}

function portEndpoints(parts: PortEndpoints['parts']): PortEndpoints {
  const nodes = new Set(parts.flatMap(({ slice }) => slice.endpoints.flatMap((e) => e.node ?? [])));
  const count = parts.reduce((sum, { slice }) => sum + slice.endpoints.length, 0);
  const sorted = seenFrom(parts, null);
  return { sorted, nodes, parts, hasTwins: sorted.length < count };
}

/** A port's endpoints as a node sees them; null: as one that has none of them. */
function seenFrom(parts: PortEndpoints['parts'], node: string | null): readonly ProxyEndpoint[] {
  const found = new Map<string, ProxyEndpoint>();
  for (const { slice, number } of parts) {
    for (const endpoint of slice.endpoints) add(found, slice, endpoint, number, node);
  }
  return [...found.values()].toSorted(byText);
}

const NONE: readonly ProxyEndpoint[] = [];

/** Endpoints by port, of one family on one node. What nodes see alike is one list for all. */
export class EndpointIndex {
  readonly #byPort: ByPort;
  readonly #node: string;

  constructor(slices: readonly EndpointSlice[], family: Family, node: string) {
    this.#byPort = endpointsByPort(slices, family);
    this.#node = node;
  }

  /** Which of them are `local` is told of ports that use local endpoints, and where it is asked. */
  of(port: ProxyPort, tellsLocal = usesLocalEndpoints(port)): readonly ProxyEndpoint[] {
    const { service } = port;
    const key = keyOf(service.namespace, service.name, port.port.name, port.port.protocol);
    const found = this.#byPort.get(key);
    if (!found) return NONE;
    const isOwn = found.nodes.has(this.#node) && (found.hasTwins || tellsLocal);
    return isOwn ? seenFrom(found.parts, this.#node) : found.sorted;
  }
}

function keyOf(...parts: readonly string[]): string {
  return parts.join(' ');
}

/** Go sorts strings by their bytes; addresses and ports are ASCII. */
function byText(a: ProxyEndpoint, b: ProxyEndpoint): number {
  return a.text < b.text ? -1 : Number(a.text > b.text);
}

/** Only the first address of an endpoint counts; of twins, the one on this node. */
function add(
  found: Map<string, ProxyEndpoint>,
  slice: EndpointSlice,
  endpoint: Endpoint,
  port: number,
  node: string | null,
): void {
  const [address] = endpoint.addresses;
  if (!address) return;
  const shown = formatAddress(address);
  const text = address.family === 6 ? `[${shown}]:${port}` : `${shown}:${port}`;
  const local = node !== null && endpoint.node === node;
  if (found.has(text) && !local) return;
  const { ready, serving, terminating, zoneHints, nodeHints } = endpoint;
  found.set(text, {
    text,
    address,
    port,
    local,
    ready,
    serving,
    terminating,
    zoneHints,
    nodeHints,
    origin: originOf(slice, endpoint),
  });
}

function originOf(slice: EndpointSlice, endpoint: Endpoint): Provenance {
  const object =
    endpoint.pod === undefined
      ? `${slice.namespace}/EndpointSlice/${slice.name}`
      : `${slice.namespace}/Pod/${endpoint.pod}`;
  return { object, effect: 'platform', source: formatSource(endpoint.source) };
}
