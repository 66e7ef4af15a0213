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
import type { Address, Family } from '../../../wire/address.ts';
import { formatAddress } from '../../../wire/address.ts';
import type { ProxyPort } from './service-port.ts';

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

/** Endpoints by port, of one family on one node. */
export class EndpointIndex {
  readonly #byPort = new Map<string, Map<string, ProxyEndpoint>>();

  constructor(slices: readonly EndpointSlice[], family: Family, node: string) {
    for (const slice of slices) {
      if (slice.service === '' || slice.family !== family) continue;
      for (const { name, protocol, port } of slice.ports) {
        if (port === null || port === 0) continue;
        const key = keyOf(slice.namespace, slice.service, name, protocol);
        const found = this.#byPort.get(key) ?? new Map<string, ProxyEndpoint>();
        this.#byPort.set(key, found);
        for (const endpoint of slice.endpoints) add(found, slice, endpoint, port, node);
      }
    }
  }

  of(port: ProxyPort): readonly ProxyEndpoint[] {
    const { service } = port;
    const key = keyOf(service.namespace, service.name, port.port.name, port.port.protocol);
    const found = this.#byPort.get(key);
    return found ? [...found.values()].toSorted(byText) : [];
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
  node: string,
): void {
  const [address] = endpoint.addresses;
  if (!address) return;
  const shown = formatAddress(address);
  const text = address.family === 6 ? `[${shown}]:${port}` : `${shown}:${port}`;
  const local = endpoint.node === node;
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
