/**
 * Ends that are asked for by name, as programs in pods are: `http://backend.development`. The name
 * is looked up as the pod's resolver would, and the query is a packet like any other: where
 * policies keep the pod from its DNS server, it reaches nobody by name.
 * @module
 */
import type { Pod, Service } from '../../cluster/model.ts';
import { selects } from '../../policy/select.ts';
import { type Address, formatAddress, parseAddress } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Resolution } from '../dns/resolver.ts';
import type { Place } from '../identity.ts';
import type { Verdict } from '../result.ts';
import type { World } from '../world.ts';
import type { Ends } from './exchange.ts';

/** An end given as `SCHEME://HOST[:PORT]`, what follows left out. */
export interface NamedEnd {
  readonly host: string;
  readonly port: number | undefined;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** `/` where none is given; null where the scheme has none. */
  readonly path: string | null;
}

/** What became of a name. */
export interface Lookup {
  readonly name: string;
  /** Names tried, by the search list. */
  readonly asked: readonly string[];
  readonly addresses: readonly string[];
  /** The DNS Service's address; null when the cluster's objects do not show one. */
  readonly server: string | null;
  /** Whether the pod reaches it. */
  readonly verdict: Verdict;
}

const SCHEMES: Readonly<Record<string, Omit<NamedEnd, 'host' | 'path'>>> = {
  http: { protocol: 'TCP', port: 80 },
  https: { protocol: 'TCP', port: 443 },
  tcp: { protocol: 'TCP', port: undefined },
  udp: { protocol: 'UDP', port: undefined },
  sctp: { protocol: 'SCTP', port: undefined },
};

/** Read a URL; null when the text is none. */
export function readUrl(text: string): NamedEnd | null {
  const m = /^([a-z]+):\/\/(\[[^\]]+\]|[^/:?#]+)(?::(\d{1,5}))?([/?#].*)?$/i.exec(text);
  const scheme = SCHEMES[(m?.[1] ?? '').toLowerCase()];
  if (!m?.[2] || scheme === undefined) return null;
  const host = m[2].replace(/^\[|\]$/g, '');
  const port = m[3] === undefined ? scheme.port : Number(m[3]);
  const path = scheme.port === undefined ? null : pathOf(m[4] ?? '');
  return { ...scheme, host, port, path };
}

/** What a server routes by: the path without query and fragment. */
function pathOf(rest: string): string {
  const path = rest.replace(/[?#].*$/, '');
  return path === '' ? '/' : path;
}

/** Whether an end says its own port, so that none has to be given beside it. */
export function saysPort(to: string): boolean {
  return portSaid(to) !== undefined;
}

/** The port, or its name, that an end says itself. */
export function portSaid(to: string): string | undefined {
  const ofUrl = readUrl(to)?.port;
  return ofUrl === undefined ? /^svc\/[^/:]+\/[^/:]+:([^:]+)$/.exec(to)?.[1] : String(ofUrl);
}

/** The Service that answers for names, and its address. */
export interface DnsServer {
  readonly address: Address;
  readonly service: Service;
}

/** The cluster's DNS Service; null when the objects do not show it. */
export function dnsServer({ cluster }: World): DnsServer | null {
  const { dnsServiceIp } = cluster.wiring;
  const found =
    cluster.services.find((s) =>
      s.clusterIps.some((a) => dnsServiceIp !== null && isSame(a, dnsServiceIp)),
    ) ?? cluster.services.find((s) => s.namespace === 'kube-system' && s.name === 'kube-dns');
  const [address] = found?.clusterIps ?? [];
  if (found === undefined || address === undefined) return null;
  return { address, service: found };
}

function isSame(a: Address, b: Address): boolean {
  return formatAddress(a) === formatAddress(b);
}

/** The query that a pod sends to its DNS server; null when they have no family in common. */
export function queryOf(
  pod: Pod,
  from: Place,
  server: { readonly address: Address; readonly place: Place },
): (Ends & { readonly protocol: number }) | null {
  const src = pod.addresses.find((a) => a.family === server.address.family);
  if (src === undefined) return null;
  const { address: dst, place: to } = server;
  return { src, dst, from, to, dport: 53, protocol: Protocol.udp };
}

/** Whether a policy could keep the pod from a DNS server that nobody described. */
export function isEgressIsolated(world: World, pod: Pod): boolean {
  return world.policies.some(
    (p) =>
      p.namespace === pod.namespace &&
      p.policyTypes.includes('Egress') &&
      selects(p.podSelector, pod.labels),
  );
}

/** What is known of a name once it was looked up. */
export function lookupOf(
  name: string,
  server: Address | null,
  verdict: Verdict,
  resolution: Resolution | null,
): Lookup {
  return {
    name,
    asked: resolution?.asked ?? [],
    addresses: (resolution?.addresses ?? []).map(formatAddress),
    server: server === null ? null : formatAddress(server),
    verdict,
  };
}

/** The host as an address, when it is one. */
export function literalHost({ host }: NamedEnd): Address | null {
  return parseAddress(host);
}
