/**
 * What CoreDNS answers for the cluster's own domain: Services, their endpoints, pods, and the way
 * back from addresses to names.
 *
 * Truth: Kubernetes DNS-based service discovery, version 1.1.0 (kubernetes/dns
 * docs/specification.md); coredns plugin/kubernetes `findServices`, `findPods` (`pods insecure` is
 * what AKS and kubeadm configure), `serviceRecordForIP`, `endpointHostname`.
 * Names outside the domain are forwarded to servers that nobody emulates.
 * @module
 */
import { USUAL_DNS } from '../../cluster/decode/cluster-dns.ts';
import type { Cluster, ClusterDns, Endpoint, EndpointSlice, Service } from '../../cluster/model.ts';
import {
  type Address,
  addressKey,
  formatAddress,
  parseAddress,
} from '../../wire/address/address.ts';
import { reversedAddress } from './reverse.ts';

export type RecordType = 'A' | 'AAAA' | 'SRV' | 'PTR';

/** One SRV record. */
export interface ServiceRecord {
  readonly port: number;
  readonly target: string;
}

export type Answer =
  | { readonly kind: 'addresses'; readonly addresses: readonly Address[] }
  /** CNAME: ask for that name. */
  | { readonly kind: 'alias'; readonly name: string }
  | { readonly kind: 'services'; readonly records: readonly ServiceRecord[] }
  | { readonly kind: 'pointers'; readonly names: readonly string[] }
  /** The name exists, and has no record of the type. */
  | { readonly kind: 'noData' }
  /** NXDOMAIN. */
  | { readonly kind: 'noName' }
  /** Somebody else's domain. */
  | { readonly kind: 'elsewhere' };

const NO_DATA: Answer = { kind: 'noData' };
const NO_NAME: Answer = { kind: 'noName' };
const ELSEWHERE: Answer = { kind: 'elsewhere' };

/** An endpoint with the ports of its slice. */
interface Member {
  readonly endpoint: Endpoint;
  readonly slice: EndpointSlice;
}

/** Which of a Service's ports a name asks for: `_http._tcp`. */
interface PortName {
  readonly name: string;
  readonly protocol: string;
}

export class ClusterZone {
  readonly #zones: readonly string[];
  /** Of which names for addresses are. */
  readonly #primary: string;
  readonly #podNames: ClusterDns['podNames'];
  readonly #podAddresses: ReadonlySet<string>;
  readonly #namespaces: ReadonlySet<string>;
  readonly #services = new Map<string, Service>();
  readonly #members = new Map<string, Member[]>();

  constructor(cluster: Cluster) {
    const { zones, podNames } = cluster.dns ?? USUAL_DNS;
    this.#zones = [...zones].sort((a, b) => b.length - a.length);
    this.#primary = zones[0] ?? '';
    this.#podNames = podNames;
    const isVerified = podNames === 'verified';
    this.#podAddresses = new Set(
      isVerified ? cluster.pods.flatMap((p) => p.addresses.map((a) => podKey(p.namespace, a))) : [],
    );
    this.#namespaces = new Set(cluster.namespaces.map((n) => n.name));
    for (const s of cluster.services) this.#services.set(`${s.name}.${s.namespace}`, s);
    for (const slice of cluster.endpointSlices) {
      const key = `${slice.service}.${slice.namespace}`;
      const members = this.#members.get(key) ?? [];
      for (const endpoint of slice.endpoints) {
        if (endpoint.ready) members.push({ endpoint, slice });
      }
      this.#members.set(key, members);
    }
  }

  /** Answer one question; `name` with or without its final dot. */
  answer(name: string, type: RecordType): Answer {
    const asked = name.toLowerCase().replace(/\.$/, '');
    if (asked.endsWith('.arpa')) return this.#pointers(asked, type);
    const zone = this.#zones.find((z) => z === '' || asked === z || asked.endsWith(`.${z}`));
    if (zone === undefined) return ELSEWHERE;
    if (asked === zone) return NO_DATA;
    const labels = (zone === '' ? asked : asked.slice(0, -zone.length - 1)).split('.');
    const kind = labels.pop();
    if (kind === 'svc') return this.#service(labels, type, zone);
    if (kind === 'pod') return this.#pod(labels, type);
    return NO_NAME;
  }

  #service(labels: readonly string[], type: RecordType, zone: string): Answer {
    const [namespace = '', name, ...before] = [...labels].reverse();
    if (labels.length === 0) return NO_DATA;
    if (name === undefined) return this.#namespaces.has(namespace) ? NO_DATA : NO_NAME;
    const key = `${name}.${namespace}`;
    const service = this.#services.get(key);
    if (service === undefined) return NO_NAME;
    if (service.externalName !== null && before.length === 0) {
      return { kind: 'alias', name: service.externalName };
    }
    const members = this.#members.get(key) ?? [];
    if (before.length === 0) return this.#records(service, members, null, type, zone);
    const [first = '', second = ''] = [...before].reverse();
    if (before.length === 2 && first.startsWith('_') && second.startsWith('_')) {
      const port = { name: first.slice(1), protocol: second.slice(1) };
      return this.#records(service, members, port, type, zone);
    }
    const [host = '', ...deeper] = before;
    if (deeper.length > 0) return NO_NAME;
    const named = members.filter((m) => hostNames(m.endpoint).includes(host));
    return named.length === 0 ? NO_NAME : addresses(endpointAddresses(named), type);
  }

  /** Records of a whole Service, or of one of its ports. */
  #records(
    service: Service,
    members: readonly Member[],
    port: PortName | null,
    type: RecordType,
    zone: string,
  ): Answer {
    const isAsked = (p: { readonly name: string; readonly protocol: string }) =>
      port === null || (p.name === port.name && p.protocol.toLowerCase() === port.protocol);
    const ports = service.ports.filter(isAsked);
    if (port !== null && ports.length === 0) return NO_NAME;
    // A headless Service without endpoints has no name at all.
    if (service.headless && members.length === 0) return NO_NAME;
    if (type === 'SRV') {
      const own = `${service.name}.${service.namespace}.svc.${zone}`;
      const records = service.headless
        ? members.flatMap((m) => endpointRecords(m, own, isAsked))
        : ports.map((p) => ({ port: p.port, target: own }));
      return records.length === 0 ? NO_DATA : { kind: 'services', records };
    }
    return addresses(service.headless ? endpointAddresses(members) : service.clusterIps, type);
  }

  /** `10-1-2-3.default.pod.cluster.local`: the address that the name spells. */
  #pod(labels: readonly string[], type: RecordType): Answer {
    const [dashed = '', namespace] = labels;
    if (this.#podNames === 'disabled') return NO_NAME;
    if (labels.length === 0) return NO_DATA;
    if (namespace === undefined) return this.#namespaces.has(dashed) ? NO_DATA : NO_NAME;
    if (labels.length > 2 || !this.#namespaces.has(namespace)) return NO_NAME;
    const isFour = /^\d+-\d+-\d+-\d+$/.test(dashed);
    const found = parseAddress(dashed.replaceAll('-', isFour ? '.' : ':'));
    const isKnown =
      this.#podNames === 'insecure' ||
      (found !== null && this.#podAddresses.has(podKey(namespace, found)));
    return found === null || !isKnown ? NO_NAME : addresses([found], type);
  }

  #pointers(name: string, type: RecordType): Answer {
    const address = reversedAddress(name);
    if (address === null) return ELSEWHERE;
    const key = addressKey(address);
    const names = [...this.#services.values()]
      .filter((s) => s.clusterIps.some((a) => addressKey(a) === key))
      .map((s) => `${s.name}.${s.namespace}.svc.${this.#primary}`);
    for (const [service, members] of this.#members) {
      if (names.length > 0) break;
      for (const { endpoint } of members) {
        if (!endpoint.addresses.some((a) => addressKey(a) === key)) continue;
        names.push(`${hostNames(endpoint)[0]}.${service}.svc.${this.#primary}`);
      }
    }
    if (names.length === 0) return ELSEWHERE;
    return type === 'PTR' ? { kind: 'pointers', names } : NO_DATA;
  }
}

function podKey(namespace: string, address: Address): string {
  return `${namespace}/${addressKey(address)}`;
}

/** An endpoint's own label: its host name, else its address with dashes. */
function hostNames(endpoint: Endpoint): readonly string[] {
  if (endpoint.hostname !== undefined) return [endpoint.hostname];
  return endpoint.addresses.map((a) => formatAddress(a).replaceAll(/[.:]/g, '-'));
}

function endpointAddresses(members: readonly Member[]): readonly Address[] {
  const all = members.flatMap((m) => m.endpoint.addresses);
  return [...new Map(all.map((a) => [addressKey(a), a])).values()];
}

function endpointRecords(
  { endpoint, slice }: Member,
  service: string,
  isAsked: (port: { readonly name: string; readonly protocol: string }) => boolean,
): readonly ServiceRecord[] {
  const target = `${hostNames(endpoint)[0]}.${service}`;
  return slice.ports.flatMap((p) =>
    p.port !== null && isAsked(p) ? [{ port: p.port, target }] : [],
  );
}

function addresses(all: readonly Address[], type: RecordType): Answer {
  const family = type === 'A' ? 4 : type === 'AAAA' ? 6 : 0;
  const found = all.filter((a) => a.family === family);
  return found.length === 0 ? NO_DATA : { kind: 'addresses', addresses: found };
}
