/**
 * Reachability: asked flows, each a request and its answer sent as real packets (SEMANTICS A8).
 *
 * `allowed` means that both arrived; whether a process listens at the far end is not judged.
 * @module
 */
import type { Pod } from '../../cluster/model.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { type Address, formatAddress } from '../../wire/address/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import { Protocol } from '../../wire/protocol.ts';
import type { Place } from '../identity.ts';
import { type Prospect, Prospects } from '../run/prospects.ts';
import type { World } from '../world.ts';
import { type End, findEnd, findPort, splitPort } from './ends.ts';
import { type ExchangeResult, requestOf, sendExchange, waysOf } from './exchange.ts';
import { Fronts } from './ingress/fronts.ts';
import { askThrough, type ProxyReport } from './ingress/proxied.ts';
import { publishedAt, redirectPort } from './ingress/published.ts';
import { type Flow, NameLookup } from './name-lookup.ts';
import { type Lookup, literalHost, lookupOf, type NamedEnd, portSaid, readUrl } from './names.ts';
import { together, unjudged } from './together.ts';

export const PROBE_PROTOCOLS = ['TCP', 'UDP', 'SCTP', 'ICMP'] as const;
export type ProbeProtocol = (typeof PROBE_PROTOCOLS)[number];

/** One asked flow, as a user writes it. */
export interface ProbeRequest {
  readonly from: string;
  readonly to: string;
  /**
   * A number, or the name of a port that the destination declares; absent for ICMP, and where the
   * destination says it (`svc/NAMESPACE/NAME:PORT`, `http://NAME`).
   */
  readonly port?: number | string;
  readonly protocol: ProbeProtocol;
  readonly expect?: 'allowed' | 'denied';
  /** The host that an HTTP request names, where its address does not say it. */
  readonly host?: string;
}

export type ProbeResult = ProbeRequest &
  ExchangeResult & {
    /** What became of the name that was asked for; null when an end was. */
    readonly lookup: Lookup | null;
    /** The proxy that serves the host, and its own connection; null when there is none. */
    readonly proxy: ProxyReport | null;
  };

/** What a request comes to: flows to send, or why there are none. */
type Resolved =
  | {
      readonly kind: 'flows';
      readonly flows: readonly Flow[];
      readonly lookup: Lookup | null;
    }
  | {
      readonly kind: 'unknown';
      readonly reason: UnknownReason;
      readonly lookup: Lookup | null;
    }
  /** The name's query did not get through: nobody was asked anything else. */
  | {
      readonly kind: 'unresolved';
      readonly query: Flow;
      readonly result: ExchangeResult;
      readonly lookup: Lookup;
    };

/** One flow's result, with the proxy in its path and the flow that explains it. */
interface AskedFlow {
  readonly result: ExchangeResult;
  readonly report: ProxyReport | null;
  readonly shown: Flow | null;
}

/** A packet to explain, and what a proxy in the path has to do with it. */
export interface ShownPacket {
  readonly packet: Uint8Array;
  readonly from: Place;
  readonly proxy: ProxyReport | null;
}

const PROTOCOLS: Readonly<Record<ProbeProtocol, number>> = {
  TCP: Protocol.tcp,
  UDP: Protocol.udp,
  SCTP: Protocol.sctp,
  ICMP: Protocol.icmp,
};

/** Source ports of probes: the middle of Linux's ephemeral range, one a probe. */
const FIRST_SPORT = 40_000;
const SPORTS = 20_000;
/** Virtual time between uses of one source port: longer than any timeout a lone probe leaves. */
const REUSE_GAP_NS = 432_100e9 / SPORTS;

export class Prober {
  readonly #world: World;
  readonly #prospects: Prospects;
  readonly #names: NameLookup;
  readonly #fronts: Fronts;
  readonly #diagnoses: boolean;
  #count = 0;

  /** `diagnoses: false` leaves `ingress` and `egress` out, where only verdicts are wanted. */
  constructor(world: World, { diagnoses = true }: { readonly diagnoses?: boolean } = {}) {
    this.#diagnoses = diagnoses;
    this.#world = world;
    this.#prospects = new Prospects(world);
    this.#names = new NameLookup(world, (flow) => this.#send(flow));
    this.#fronts = new Fronts(world.cluster);
  }

  /** Ask one flow. Throws a `UserError` when an end or a port name does not exist. */
  ask(given: ProbeRequest): ProbeResult {
    // A URL's own protocol is asked for, and so it is what the answer names.
    const request = { ...given, protocol: readUrl(given.to)?.protocol ?? given.protocol };
    const resolved = this.#resolve(request);
    const { lookup } = resolved;
    if (resolved.kind === 'unknown') {
      return { ...request, ...unjudged(resolved.reason), lookup, proxy: null };
    }
    if (resolved.kind === 'unresolved') {
      const { result } = resolved;
      // Without an answer nothing is opened, whichever way the query was lost.
      const verdict = result.verdict === 'broken' ? 'denied' : result.verdict;
      return { ...request, ...result, verdict, lookup, proxy: null };
    }
    const { flows } = resolved;
    const port = request.port ?? (request.protocol === 'ICMP' ? undefined : flows[0]?.dport);
    const results = flows.map((flow) => this.#askFlow(request, flow));
    const asked = port === undefined ? request : { ...request, port };
    const told = results.find((r) => r.result.verdict !== 'allowed') ?? results[0];
    const proxy = told?.report ?? null;
    return { ...asked, ...together(results.map((r) => r.result)), lookup, proxy };
  }

  /** The packet of a probe that explains it: a request, or that of its name's lost query. */
  request(request: ProbeRequest): ShownPacket | string {
    const resolved = this.#resolve(request);
    if (resolved.kind === 'unknown') return resolved.reason;
    const packet = (flow: Flow, sport: number, proxy: ProxyReport | null): ShownPacket => {
      return { packet: requestOf({ ...flow, sport }), from: flow.from, proxy };
    };
    if (resolved.kind === 'unresolved') return packet(resolved.query, FIRST_SPORT, null);
    const [flow] = resolved.flows;
    if (flow === undefined) return 'noSender';
    // What is explained is a connection's first packet: nothing of it may have been sent before.
    if (this.#pageOf(request) === null) return packet(flow, FIRST_SPORT, null);
    if (this.#fronts.at(flow.to, flow.dst, flow.dport) === undefined) {
      return request.host === undefined ? packet(flow, FIRST_SPORT, null) : 'proxyUnknown';
    }
    const { shown, report, result } = this.#askFlow(request, flow);
    if (shown === null) return result.reason ?? 'notInCluster';
    return packet(shown, FIRST_SPORT - 1, report);
  }

  /** What an HTTP request asks for; null for any other flow. */
  #pageOf(request: ProbeRequest): { readonly host: string; readonly path: string } | null {
    const url = readUrl(request.to);
    const path = url?.path ?? null;
    if (path === null && request.host === undefined) return null;
    return { host: request.host ?? url?.host ?? '', path: path ?? '/' };
  }

  /** One flow, by way of the proxy that it is addressed to. */
  #askFlow(request: ProbeRequest, flow: Flow): AskedFlow {
    const plain = () => ({ result: this.#send(flow), report: null, shown: flow });
    const page = this.#pageOf(request);
    if (page === null) return plain();
    const front = this.#fronts.at(flow.to, flow.dst, flow.dport);
    if (front === undefined) {
      if (request.host === undefined) return plain();
      return { result: unjudged('proxyUnknown'), report: null, shown: flow };
    }
    const isTls = /^https:/i.test(request.to);
    const dport = isTls ? null : redirectPort(front, page.host, flow);
    const redirect = dport === null ? null : { ...flow, dport };
    const sender = {
      send: (f: Flow) => this.#send(f),
      ways: (f: Flow) => waysOf(this.#prospects, { ...f, sport: FIRST_SPORT }, 0),
    };
    return askThrough(this.#world, sender, front, flow, { ...page, redirect });
  }

  /** Every way that an asked flow can take, by what is drawn; one where nothing is. */
  ways(request: ProbeRequest): readonly Prospect[] {
    const resolved = this.#resolve(request);
    if (resolved.kind !== 'flows') return [];
    return resolved.flows.flatMap(
      (flow) => waysOf(this.#prospects, { ...flow, sport: FIRST_SPORT }, 0).all,
    );
  }

  #send(flow: Flow): ExchangeResult {
    const nowNs = this.#count * REUSE_GAP_NS;
    const sport = FIRST_SPORT + (this.#count++ % SPORTS);
    const exchange = { ...flow, sport };
    return sendExchange(this.#world, this.#prospects, exchange, nowNs, this.#diagnoses);
  }

  #resolve(request: ProbeRequest): Resolved {
    const mistakes: Diagnostic[] = [];
    const { identities } = this.#world;
    mistakes.push(...portTwice(request));
    const from = findEnd(this.#world, request.from, (a) => identities.openerOf(a), mistakes);
    const url = readUrl(request.to);
    if (url !== null && mistakes.length > 0) throw new UserError(mistakes);
    if (url !== null) return this.#named(request, url, from, mistakes);
    const asked = splitPort(request.to);
    const to = findEnd(this.#world, asked.end, (a) => identities.placeOf(a), mistakes);
    const port = asked.port === undefined ? request.port : (digits(asked.port) ?? asked.port);
    return this.#flows({ ...request, port }, from, to, mistakes, null);
  }

  /** An end by name: found as the pod's resolver finds it. */
  #named(
    request: ProbeRequest,
    url: NamedEnd,
    from: End | undefined,
    mistakes: Diagnostic[],
  ): Resolved {
    const { protocol, host } = url;
    const world = this.#world;
    const port = url.port ?? request.port;
    const asked = { ...request, protocol, ...(port === undefined ? {} : { port }) };
    const literal = literalHost(url);
    if (literal !== null) {
      const to: End = {
        addresses: [literal],
        place: world.identities.placeOf(literal),
        ...(this.#fronts.isGateway(literal) ? { isProxy: true as const } : {}),
      };
      return this.#flows(asked, from, to, mistakes, null);
    }
    const unknown = (reason: UnknownReason, lookup: Lookup | null): Resolved => {
      return { kind: 'unknown', reason, lookup };
    };
    const pod = from?.pod ?? (from?.place.kind === 'pod' ? from.place.pod : undefined);
    if (from === undefined || pod === undefined) {
      if (mistakes.length > 0) throw new UserError(mistakes);
      const found = this.#published(asked, url, from, (all) =>
        lookupOf(host, null, 'allowed', { asked: [host], addresses: all, end: 'found', bytes: 0 }),
      );
      return found ?? unknown('nameElsewhere', lookupOf(host, null, 'unknown', null));
    }
    const found = this.#names.ask(pod, from.place, host);
    if (found.kind === 'lost') return { ...found, kind: 'unresolved' };
    if (found.kind === 'unknown') {
      const { lookup, reason } = found;
      // Hosts of Ingresses are published outside.
      const published =
        reason === 'nameElsewhere'
          ? this.#published(asked, url, from, (all) => {
              return { ...lookup, addresses: all.map(formatAddress) };
            })
          : null;
      return published ?? unknown(reason, lookup);
    }
    const { lookup } = found;
    const [address] = found.addresses;
    if (address === undefined) return unknown('nameElsewhere', lookup);
    const place = world.identities.placeOf(address);
    const to: End = { addresses: found.addresses, place, headless: true };
    return this.#flows(asked, from, to, mistakes, lookup);
  }

  /** A host that an Ingress names, found as name servers outside publish it; null: none does. */
  #published(
    asked: ProbeRequest,
    { host, port }: NamedEnd,
    from: End | undefined,
    lookup: (addresses: readonly Address[]) => Lookup,
  ): Resolved | null {
    const unknown = (reason: UnknownReason): Resolved => {
      return { kind: 'unknown', reason, lookup: lookup([]) };
    };
    const fronts = this.#fronts.of(host);
    if (fronts === 'orphan') return unknown('proxyUnknown');
    const [front, ...others] = fronts;
    if (front === undefined) return null;
    if (others.length > 0) return unknown('proxyUnknown');
    const { cluster, identities } = this.#world;
    const found = publishedAt(cluster, front, port);
    const [first] = found?.addresses ?? [];
    if (found === null || first === undefined) return unknown('proxyAddressUnknown');
    const place = identities.placeOf(first);
    const to: End = {
      addresses: found.addresses,
      place,
      ...(found.any ? { headless: true as const } : {}),
      ...(front.kind === 'gateway' ? { isProxy: true as const } : {}),
    };
    return this.#flows({ ...asked, port: found.port }, from, to, [], lookup(found.addresses));
  }

  #flows(
    request: Omit<ProbeRequest, 'port'> & { readonly port?: number | string | undefined },
    from: End | undefined,
    to: End | undefined,
    mistakes: Diagnostic[],
    lookup: Lookup | null,
  ): Resolved {
    const { identities, cluster } = this.#world;
    const { protocol, port } = request;
    const dport = protocol === 'ICMP' ? 0 : findPort(cluster, port, protocol, to, mistakes);
    if (!from || !to || mistakes.length > 0) throw new UserError(mistakes);
    const targets = to.addresses.filter((a) => from.addresses.some((b) => b.family === a.family));
    if (targets.length === 0) {
      throw new UserError([
        {
          code: 'PROBE_FAMILY',
          message: `${request.from} and ${request.to} have no address family in common`,
        },
      ]);
    }
    const { place } = from;
    const reason =
      place.kind === 'unplaced'
        ? place.reason
        : to.place.kind === 'unplaced'
          ? to.place.reason
          : place.kind === 'edge' && to.place.kind === 'edge' && to.isProxy !== true
            ? 'notInCluster'
            : null;
    if (reason !== null) return { kind: 'unknown', reason, lookup };
    // Of other ends the first address is asked; a headless Service's endpoints are all it.
    const chosen = to.headless === true ? targets : targets.slice(0, 1);
    const flows = chosen.flatMap((dst) => {
      const own = request.from.startsWith('node/') && this.#world.isOwn(place, dst);
      // A host that asks at an address of its own, a virtual server's too, asks from there.
      const src = own ? dst : from.addresses.find((a) => a.family === dst.family);
      const target = to.headless === true ? identities.placeOf(dst) : to.place;
      const ends = { dst, from: place, to: target, dport, protocol: PROTOCOLS[protocol] };
      return src ? [{ src, ...ends }] : [];
    });
    return { kind: 'flows', flows, lookup };
  }
}

/** A port written in digits. */
function digits(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Every ordered pair of different pods that have addresses of their own. */
export function allPairs(
  world: World,
  port: number | string | undefined,
  protocol: ProbeProtocol,
): readonly ProbeRequest[] {
  const pods = world.cluster.pods.filter((p) => !p.hostNetwork && p.addresses.length > 0);
  const name = (p: Pod) => `pod/${p.namespace}/${p.name}`;
  const asked = port === undefined ? {} : { port };
  return pods.flatMap((from) =>
    pods
      .filter((to) => to !== from)
      .map((to) => ({ from: name(from), to: name(to), protocol, ...asked })),
  );
}

/** A destination that says one port, asked for at another. */
function portTwice({ to, port }: ProbeRequest): readonly Diagnostic[] {
  const said = portSaid(to);
  if (said === undefined || port === undefined || said === String(port)) return [];
  return [
    {
      code: 'PROBE_PORT_TWICE',
      field: '--port',
      message: `the destination says port ${said} itself`,
      found: `${port} beside ${to}`,
      accepted: 'one of them',
    },
  ];
}
