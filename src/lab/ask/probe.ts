/**
 * Reachability: asked flows, each a request and its answer sent as real packets (SEMANTICS A8).
 *
 * `allowed` means that both arrived; whether a process listens at the far end is not judged.
 * @module
 */
import type { Pod } from '../../cluster/model.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import { type Address, formatAddress } from '../../wire/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import { Protocol } from '../../wire/protocol.ts';
import { resolve } from '../dns/resolver.ts';
import { ClusterZone } from '../dns/zone.ts';
import type { Place } from '../identity.ts';
import type { DirectionResult, Verdict } from '../result.ts';
import { type Prospect, Prospects } from '../run/prospects.ts';
import { NOT_CAPTURED } from '../verdict.ts';
import type { World } from '../world.ts';
import { type End, findEnd, findPort, splitPort } from './ends.ts';
import { type Ends, type ExchangeResult, requestOf, sendExchange, waysOf } from './exchange.ts';
import {
  dnsServer,
  isEgressIsolated,
  type Lookup,
  literalHost,
  lookupOf,
  type NamedEnd,
  queryOf,
  readUrl,
} from './names.ts';

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
}

export type ProbeResult = ProbeRequest &
  ExchangeResult & {
    /** What became of the name that was asked for; null when an end was. */
    readonly lookup: Lookup | null;
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

/** Ends with the protocol between them, as IP numbers it. */
type Flow = Ends & { readonly protocol: number };

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
  readonly #zone: ClusterZone;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
    this.#prospects = new Prospects(world);
    this.#zone = new ClusterZone(world.cluster);
  }

  /** Ask one flow. Throws a `UserError` when an end or a port name does not exist. */
  ask(request: ProbeRequest): ProbeResult {
    const resolved = this.#resolve(request);
    const { lookup } = resolved;
    if (resolved.kind === 'unknown') {
      return { ...request, ...unjudged(resolved.reason), lookup };
    }
    if (resolved.kind === 'unresolved') {
      const { result } = resolved;
      // Without an answer nothing is opened, whichever way the query was lost.
      const verdict = result.verdict === 'broken' ? 'denied' : result.verdict;
      return { ...request, ...result, verdict, lookup };
    }
    const { flows } = resolved;
    const port = request.port ?? (request.protocol === 'ICMP' ? undefined : flows[0]?.dport);
    const results = flows.map((flow) => this.#send(flow));
    const asked = port === undefined ? request : { ...request, port };
    return { ...asked, ...together(results), lookup };
  }

  /** The request packet of a probe, for explain; that of its name's query when that is lost. */
  request(request: ProbeRequest): { readonly packet: Uint8Array; readonly from: Place } | string {
    const resolved = this.#resolve(request);
    if (resolved.kind === 'unknown') return resolved.reason;
    const [flow] = resolved.kind === 'unresolved' ? [resolved.query] : resolved.flows;
    if (flow === undefined) return 'noSender';
    return { packet: requestOf({ ...flow, sport: FIRST_SPORT }), from: flow.from };
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
    return sendExchange(this.#world, this.#prospects, { ...flow, sport }, nowNs);
  }

  #resolve(request: ProbeRequest): Resolved {
    const mistakes: Diagnostic[] = [];
    const { identities } = this.#world;
    const from = findEnd(this.#world, request.from, (a) => identities.openerOf(a), mistakes);
    const url = readUrl(request.to);
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
    const asked = { ...request, protocol, port: url.port ?? request.port };
    const literal = literalHost(url);
    if (literal !== null) {
      const to = { addresses: [literal], place: world.identities.placeOf(literal) };
      return this.#flows(asked, from, to, mistakes, null);
    }
    const unknown = (reason: UnknownReason, lookup: Lookup | null): Resolved => {
      return { kind: 'unknown', reason, lookup };
    };
    if (from?.place.kind !== 'pod') {
      if (mistakes.length > 0) throw new UserError(mistakes);
      return unknown('nameElsewhere', lookupOf(host, null, 'unknown', null));
    }
    const { pod } = from.place;
    const server = dnsServer(world);
    const query = server === null ? null : queryOf(pod, from.place, server);
    if (query === null && isEgressIsolated(world, pod)) {
      return unknown('dnsNotDescribed', lookupOf(host, null, 'unknown', null));
    }
    const result = query === null ? null : this.#send(query);
    const verdict = result?.verdict ?? 'allowed';
    if (query !== null && result !== null && verdict !== 'allowed') {
      const lookup = lookupOf(host, query.dst, verdict, null);
      return { kind: 'unresolved', query, result, lookup };
    }
    const [first, second] = new Set(pod.addresses.map((a) => a.family));
    let found = resolve(this.#zone, host, pod.namespace, first === undefined ? [] : [first]);
    if (found.end !== 'found' && second !== undefined) {
      found = resolve(this.#zone, host, pod.namespace, [second]);
    }
    const lookup = lookupOf(host, query?.dst ?? null, verdict, found);
    const [address] = found.addresses;
    if (address === undefined) return unknown('nameElsewhere', lookup);
    const place = world.identities.placeOf(address);
    const to: End = { addresses: found.addresses, place, headless: true };
    return this.#flows(asked, from, to, mistakes, lookup);
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
          : place.kind === 'edge' && to.place.kind === 'edge'
            ? 'notInCluster'
            : null;
    if (reason !== null) return { kind: 'unknown', reason, lookup };
    // Of other ends the first address is asked; a headless Service's endpoints are all it.
    const chosen = to.headless === true ? targets : targets.slice(0, 1);
    const flows = chosen.flatMap((dst) => {
      const src = from.addresses.find((a) => a.family === dst.family);
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

/** Several addresses of one name: whichever the client takes, each as likely as the others. */
function together(results: readonly ExchangeResult[]): ExchangeResult {
  const [first] = results;
  if (first === undefined) return unjudged('noSender');
  const verdicts = new Set<Verdict>(results.map((r) => r.verdict));
  const allowed = results.filter((r) => r.verdict === 'allowed').length;
  if (results.length === 1) return first;
  const of = results.length;
  const probability = Math.round((allowed / of) * 1e6) / 1e6;
  const choice = { of, allowed, probability, by: 'drawn', complete: true } as const;
  if (verdicts.size === 1 || allowed === 0) return { ...first, choice };
  const refused = results.find((r) => r.verdict !== 'allowed') ?? first;
  return { ...refused, verdict: 'depends', choice };
}

function unjudged(reason: UnknownReason): ExchangeResult {
  const unknown: DirectionResult = { result: 'unknown', reason, decidedBy: null };
  return {
    verdict: 'unknown',
    reason,
    decidedBy: null,
    forward: unknown,
    reply: NOT_CAPTURED,
    ingress: 'notEvaluated',
    egress: 'notEvaluated',
    translated: null,
    choice: null,
  };
}

/** Every ordered pair of different pods that have addresses of their own. */
export function allPairs(
  world: World,
  port: number | string,
  protocol: ProbeProtocol,
): readonly ProbeRequest[] {
  const pods = world.cluster.pods.filter((p) => !p.hostNetwork && p.addresses.length > 0);
  const name = (p: Pod) => `pod/${p.namespace}/${p.name}`;
  return pods.flatMap((from) =>
    pods
      .filter((to) => to !== from)
      .map((to) => ({ from: name(from), to: name(to), port, protocol })),
  );
}

/** `10.1.2.3 (pod/shop/web)`: an end as explanations print it. */
export function describeEnd(address: Address, place: Place): string {
  const text = formatAddress(address);
  return place.name === null ? text : `${text} (${place.name})`;
}
