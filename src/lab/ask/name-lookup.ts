/**
 * A pod asks for a name: /etc/hosts first, then the servers of its resolv.conf, one after another,
 * by packets that policies can stop; over TCP where the answer is too long for a datagram.
 *
 * What nobody can tell is `unknown` by name: servers outside, plugins that answer otherwise, caches
 * on nodes. Whether a resolver asks again over TCP differs (glibc does, musl since 1.2.4), so where
 * TCP is refused the verdict is unknown too.
 * @module
 */
import { USUAL_DNS } from '../../cluster/decode/cluster-dns.ts';
import type { ClusterDns, Pod } from '../../cluster/model.ts';
import { AZURE_DNS } from '../../fabric/parts.ts';
import { type Address, contains, equalAddress, parsePrefix } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import { Protocol } from '../../wire/protocol.ts';
import { hostsAddresses, type NameServer, resolvConf } from '../dns/resolv-conf.ts';
import { type Resolution, resolve } from '../dns/resolver.ts';
import { ClusterZone } from '../dns/zone.ts';
import type { Place } from '../identity.ts';
import type { World } from '../world.ts';
import type { Ends, ExchangeResult } from './exchange.ts';
import { dnsServer, isEgressIsolated, type Lookup, lookupOf, queryOf } from './names.ts';

export type Flow = Ends & { readonly protocol: number };

export type Looked =
  | {
      readonly kind: 'found';
      readonly addresses: readonly Address[];
      readonly lookup: Lookup;
    }
  | { readonly kind: 'unknown'; readonly reason: UnknownReason; readonly lookup: Lookup }
  /** No server could be asked. */
  | {
      readonly kind: 'lost';
      readonly query: Flow;
      readonly result: ExchangeResult;
      readonly lookup: Lookup;
    };

/** What became of the questions to the servers, until one answered. */
type Asked =
  | { readonly kind: 'answered'; readonly server: NameServer; readonly address: Address | null }
  | Exclude<Looked, { readonly kind: 'found' }>;

const LINK_LOCAL = parsePrefix('169.254.0.0/16');
const NODE_CACHE = { label: 'k8s-app', value: 'node-local-dns' };

export class NameLookup {
  readonly #world: World;
  readonly #zone: ClusterZone;
  readonly #dns: ClusterDns;
  readonly #send: (flow: Flow) => ExchangeResult;
  readonly #hasNodeCache: boolean;

  constructor(world: World, send: (flow: Flow) => ExchangeResult) {
    const { cluster } = world;
    this.#world = world;
    this.#send = send;
    this.#zone = new ClusterZone(cluster);
    this.#dns = cluster.dns ?? USUAL_DNS;
    this.#hasNodeCache = cluster.pods.some(
      (p) => p.namespace === 'kube-system' && p.labels[NODE_CACHE.label] === NODE_CACHE.value,
    );
  }

  /** Look `host` up as `pod`, which is at `from`, does. */
  ask(pod: Pod, from: Place, host: string): Looked {
    const listed = hostsAddresses(pod, host);
    if (listed.length > 0) {
      const found: Resolution = { asked: [], addresses: listed, end: 'found', bytes: 0 };
      return { kind: 'found', addresses: listed, lookup: lookupOf(host, null, 'allowed', found) };
    }
    const node = this.#world.addresses.findNode(pod.node);
    const conf = resolvConf(pod, this.#dns, node?.os);
    const protocol = conf.overTcp ? Protocol.tcp : Protocol.udp;
    const asked = this.#servers(pod, from, host, conf.servers, protocol);
    if (asked.kind !== 'answered') return asked;
    const { address } = asked;
    const unknown = (reason: UnknownReason, found: Resolution | null): Looked => {
      return { kind: 'unknown', reason, lookup: lookupOf(host, address, 'allowed', found) };
    };
    if (!this.#isOfCluster(asked.server)) return unknown('nameElsewhere', null);
    if (this.#hasNodeCache) return unknown('dnsOnNode', null);
    if (this.#dns.altered !== null) return unknown('dnsAltered', null);
    const [first, second] = new Set(pod.addresses.map((a) => a.family));
    let found = resolve(this.#zone, host, conf, first === undefined ? [] : [first]);
    if (found.end !== 'found' && second !== undefined) {
      found = resolve(this.#zone, host, conf, [second]);
    }
    if (found.end !== 'found') {
      return unknown(found.end === 'noName' ? 'noSuchName' : 'nameElsewhere', found);
    }
    if (found.bytes > conf.datagram && !conf.overTcp) {
      const again = this.#query(pod, from, asked.server, Protocol.tcp);
      if (again !== null && this.#send(again).verdict !== 'allowed') {
        return unknown('dnsTruncated', found);
      }
    }
    const lookup = lookupOf(host, address, 'allowed', found);
    return { kind: 'found', addresses: found.addresses, lookup };
  }

  /** Ask the servers in order until one answers. */
  #servers(
    pod: Pod,
    from: Place,
    host: string,
    servers: readonly NameServer[],
    protocol: number,
  ): Asked {
    let lost: Asked | null = null;
    const unknown = (reason: UnknownReason): Asked => {
      return { kind: 'unknown', reason, lookup: lookupOf(host, null, 'unknown', null) };
    };
    for (const server of this.#expanded(servers)) {
      const address = this.#addressOf(server);
      if (address !== null && LINK_LOCAL !== null && contains(LINK_LOCAL, address)) {
        return unknown('dnsOnNode');
      }
      const query = this.#query(pod, from, server, protocol);
      if (query === null) {
        if (!pod.hostNetwork && isEgressIsolated(this.#world, pod)) {
          return unknown('dnsNotDescribed');
        }
        return { kind: 'answered', server, address };
      }
      const result = this.#send(query);
      if (result.verdict === 'allowed') return { kind: 'answered', server, address: query.dst };
      const lookup = lookupOf(host, query.dst, result.verdict, null);
      const failed: Asked = { kind: 'lost', query, result, lookup };
      // Whether the next one is asked is as open as whether this one answers.
      if (result.verdict === 'unknown' || result.verdict === 'depends') return failed;
      lost ??= failed;
    }
    return lost ?? unknown('nameElsewhere');
  }

  /** The servers that kubelet was told of stand for the cluster's. */
  #expanded(servers: readonly NameServer[]): readonly NameServer[] {
    const { servers: told } = this.#dns;
    const whole = (s: NameServer): readonly NameServer[] =>
      s === 'cluster' && told.length > 0 ? told : [s];
    return servers.flatMap(whole);
  }

  #addressOf(server: NameServer): Address | null {
    if (server === 'cluster') return dnsServer(this.#world)?.address ?? null;
    if (server !== 'node') return server;
    // A cache on the node answers all of the node's pods.
    const onNode = this.#dns.servers.find((a) => LINK_LOCAL !== null && contains(LINK_LOCAL, a));
    return onNode ?? nodesServer(this.#world);
  }

  #query(pod: Pod, from: Place, server: NameServer, protocol: number): Flow | null {
    const address = this.#addressOf(server);
    if (address === null) return null;
    const place = this.#world.identities.placeOf(address);
    const query = queryOf(pod, from, { address, place });
    // Of ends outside the cluster nobody can tell more.
    const isJudged = query !== null && place.kind !== 'unplaced';
    return isJudged ? { ...query, protocol } : null;
  }

  /** Whether a server answers for the cluster's domain: its Service, or one of its endpoints. */
  #isOfCluster(server: NameServer): boolean {
    if (server === 'cluster') return true;
    if (server === 'node') return false;
    const known = dnsServer(this.#world);
    if (known === null) return this.#dns.servers.some((s) => equalAddress(s, server));
    const { service, address } = known;
    if (equalAddress(address, server)) return true;
    if (service.clusterIps.some((a) => equalAddress(a, server))) return true;
    return this.#world.cluster.endpointSlices.some(
      (s) =>
        s.namespace === service.namespace &&
        s.service === service.name &&
        s.endpoints.some((e) => e.addresses.some((a) => equalAddress(a, server))),
    );
  }
}

/** What Azure tells virtual machines by DHCP; elsewhere nobody knows the nodes' server. */
function nodesServer({ stack, identities }: World): Address | null {
  const isAzure = stack.network !== 'byo' && stack.network !== 'docker' && !identities.isDumped;
  return isAzure ? AZURE_DNS : null;
}
