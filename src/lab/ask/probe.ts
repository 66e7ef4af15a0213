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
import type { Place } from '../identity.ts';
import type { DirectionResult, Verdict } from '../result.ts';
import { type Prospect, Prospects } from '../run/prospects.ts';
import { NOT_CAPTURED } from '../verdict.ts';
import type { World } from '../world.ts';
import { findEnd, findPort, splitPort } from './ends.ts';
import { type Ends, type ExchangeResult, requestOf, sendExchange, waysOf } from './exchange.ts';

export const PROBE_PROTOCOLS = ['TCP', 'UDP', 'SCTP', 'ICMP'] as const;
export type ProbeProtocol = (typeof PROBE_PROTOCOLS)[number];

/** One asked flow, as a user writes it. */
export interface ProbeRequest {
  readonly from: string;
  readonly to: string;
  /** A number, or the name of a port that the destination pod declares; absent for ICMP. */
  readonly port?: number | string;
  readonly protocol: ProbeProtocol;
  readonly expect?: 'allowed' | 'denied';
}

export type ProbeResult = ProbeRequest & ExchangeResult;

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
  #count = 0;

  constructor(world: World) {
    this.#world = world;
    this.#prospects = new Prospects(world);
  }

  /** Ask one flow. Throws a `UserError` when an end or a port name does not exist. */
  ask(request: ProbeRequest): ProbeResult {
    const ends = this.#resolve(request);
    if (typeof ends === 'string') return { ...request, ...unjudged(ends) };
    const results = ends.map((one) => this.#send(one, PROTOCOLS[request.protocol]));
    return { ...request, ...together(results) };
  }

  /** The request packet of a probe, for explain. */
  request(request: ProbeRequest): { readonly packet: Uint8Array; readonly from: Place } | string {
    const ends = this.#resolve(request);
    if (typeof ends === 'string') return ends;
    const [first] = ends;
    if (first === undefined) return 'noSender';
    const exchange = { ...first, protocol: PROTOCOLS[request.protocol], sport: FIRST_SPORT };
    return { packet: requestOf(exchange), from: first.from };
  }

  /** Every way that an asked flow can take, by what is drawn; one where nothing is. */
  ways(request: ProbeRequest): readonly Prospect[] {
    const ends = this.#resolve(request);
    if (typeof ends === 'string') return [];
    return ends.flatMap((one) => {
      const exchange = { ...one, protocol: PROTOCOLS[request.protocol], sport: FIRST_SPORT };
      return waysOf(this.#prospects, exchange, 0).all;
    });
  }

  #send(ends: Ends, protocol: number): ExchangeResult {
    const nowNs = this.#count * REUSE_GAP_NS;
    const sport = FIRST_SPORT + (this.#count++ % SPORTS);
    return sendExchange(this.#world, this.#prospects, { ...ends, protocol, sport }, nowNs);
  }

  #resolve(request: ProbeRequest): readonly Ends[] | UnknownReason {
    const mistakes: Diagnostic[] = [];
    const { identities, cluster } = this.#world;
    const { protocol } = request;
    const asked = splitPort(request.to);
    const from = findEnd(this.#world, request.from, (a) => identities.openerOf(a), mistakes);
    const to = findEnd(this.#world, asked.end, (a) => identities.placeOf(a), mistakes);
    const port = asked.port === undefined ? request.port : (digits(asked.port) ?? asked.port);
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
    if (from.place.kind === 'unplaced') return from.place.reason;
    if (to.place.kind === 'unplaced') return to.place.reason;
    if (from.place.kind === 'edge' && to.place.kind === 'edge') return 'notInCluster';
    // Of other ends the first address is asked; a headless Service's endpoints are all it.
    const chosen = to.headless === true ? targets : targets.slice(0, 1);
    return chosen.flatMap((dst) => {
      const src = from.addresses.find((a) => a.family === dst.family);
      const place = to.headless === true ? identities.placeOf(dst) : to.place;
      return src ? [{ src, dst, from: from.place, to: place, dport }] : [];
    });
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
