/**
 * Reachability: asked flows, each a request and its answer sent as real packets (SEMANTICS A8).
 *
 * `allowed` means that both arrived; whether a process listens at the far end is not judged.
 * `ingress` and `egress` are a second, diagnostic walk that goes on past drops that policies
 * caused: what each direction's rules would say on this stack. They never decide the verdict.
 * @module
 */
import type { Pod } from '../../cluster/model.ts';
import { nearest } from '../../cluster/nearest.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { Decision, Journey } from '../../engine/engine.ts';
import { selects } from '../../policy/select.ts';
import { type Address, equalAddress, formatAddress, parseAddress } from '../../wire/address.ts';
import type { UnknownReason } from '../../wire/drop-reason.ts';
import { Protocol } from '../../wire/protocol.ts';
import { packetOf as packetOfBytes } from '../datagram/headers.ts';
import { type SyntheticPacket, syntheticPacket } from '../datagram/synthetic.ts';
import type { Place } from '../identity.ts';
import type { DecidedBy, DirectionResult, Verdict } from '../result.ts';
import { arrived, directionResult, NOT_CAPTURED, verdictOf } from '../verdict.ts';
import type { World } from '../world.ts';

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

export type PolicyDiagnosis = 'allowed' | 'denied' | 'notEvaluated' | 'bypassed';

export interface ProbeResult extends ProbeRequest {
  readonly verdict: Verdict;
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
  readonly forward: DirectionResult;
  readonly reply: DirectionResult;
  readonly ingress: PolicyDiagnosis;
  readonly egress: PolicyDiagnosis;
}

/** A probe's ends, found in the cluster. */
interface Ends {
  readonly src: Address;
  readonly dst: Address;
  readonly from: Place;
  readonly to: Place;
  readonly dport: number;
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
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Ask one flow. Throws a `UserError` when an end or a port name does not exist. */
  ask(request: ProbeRequest): ProbeResult {
    const ends = this.#resolve(request);
    if (typeof ends === 'string') return unknownResult(request, ends);
    const nowNs = this.#count * REUSE_GAP_NS;
    const sport = FIRST_SPORT + (this.#count++ % SPORTS);
    const exchange = { ...ends, protocol: PROTOCOLS[request.protocol], sport };
    const forward = this.#send(exchange, 'request', nowNs);
    const answer = arrived(forward) ? this.#answer(exchange, forward, nowNs + 1e6) : null;
    const there = directionResult(forward);
    const back = answer ? directionResult(answer) : NOT_CAPTURED;
    const verdict = verdictOf(there, back);
    const deciding = verdict === 'broken' ? back : there;
    return {
      ...request,
      verdict,
      reason: deciding.reason,
      decidedBy: deciding.decidedBy,
      forward: there,
      reply: back,
      ...this.#diagnose(exchange, forward, nowNs + 2e6),
    };
  }

  /** The request packet of a probe, for explain. */
  request(request: ProbeRequest): { readonly packet: Uint8Array; readonly from: Place } | string {
    const ends = this.#resolve(request);
    if (typeof ends === 'string') return ends;
    const { src, dst, dport, from } = ends;
    const protocol = PROTOCOLS[request.protocol];
    const sport = FIRST_SPORT;
    const packet = syntheticPacket({ src, dst, protocol, sport, dport, step: 'request' });
    return { packet, from };
  }

  #send(exchange: Exchange, step: 'request' | 'answer', nowNs: number): Journey {
    const from = step === 'request' ? exchange.from : exchange.to;
    const packet = syntheticPacket(packetOf(exchange, step));
    return this.#world.engine.inject(this.#world.injectAt(from, packet, { frame: 0, nowNs }));
  }

  /** Whoever the request reached answers what it saw: after translation that is another packet. */
  #answer(exchange: Exchange, forward: Journey, nowNs: number): Journey {
    const seen = packetOfBytes(forward.packet);
    if (seen === null) return this.#send(exchange, 'answer', nowNs);
    const { src, dst } = seen;
    const sport = seen.sport ?? exchange.sport;
    const dport = seen.dport ?? exchange.dport;
    const place = this.#world.identities.placeOf(dst);
    const { host } = forward.end;
    const itself: Place = { kind: 'endpoint', name: host, entry: { as: 'local', host } };
    const isMoved = !equalAddress(dst, exchange.dst);
    const known = place.kind === 'unplaced' && forward.outcome === 'delivered' ? itself : place;
    const to = isMoved ? known : exchange.to;
    return this.#send({ ...exchange, src, dst, to, sport, dport }, 'answer', nowNs);
  }

  #diagnose(
    exchange: Exchange,
    forward: Journey,
    nowNs: number,
  ): Pick<ProbeResult, 'ingress' | 'egress'> {
    if (forward.outcome === 'unknown') return { ingress: 'notEvaluated', egress: 'notEvaluated' };
    const isClean = arrived(forward);
    const journey = isClean ? forward : this.#walkPast(exchange, nowNs);
    const diagnosis = (direction: 'ingress' | 'egress', place: Place) => {
      if (journey.forgiven.some((d) => isOf(d, direction))) return 'denied';
      if (place.kind !== 'pod' || !this.#isIsolated(place.pod, direction)) return 'allowed';
      if (journey.steps.some((s) => s.rules.some((look) => isOf(look, direction)))) {
        return 'allowed';
      }
      return arrived(journey) ? 'bypassed' : 'notEvaluated';
    };
    return {
      ingress: diagnosis('ingress', exchange.to),
      egress: diagnosis('egress', exchange.from),
    };
  }

  #walkPast(exchange: Exchange, nowNs: number): Journey {
    const packet = syntheticPacket(packetOf(exchange, 'request'));
    const options = { frame: 0, nowNs, walkPastPolicyDrops: true };
    return this.#world.engine.inject(this.#world.injectAt(exchange.from, packet, options));
  }

  #isIsolated(pod: Pod, direction: 'ingress' | 'egress'): boolean {
    const type = direction === 'ingress' ? 'Ingress' : 'Egress';
    return this.#world.policies.some(
      (p) =>
        p.namespace === pod.namespace &&
        p.policyTypes.includes(type) &&
        selects(p.podSelector, pod.labels),
    );
  }

  #resolve(request: ProbeRequest): Ends | UnknownReason {
    const mistakes: Diagnostic[] = [];
    if (request.to.startsWith('svc/')) return 'servicesNotEmulated';
    const { identities } = this.#world;
    const from = this.#end(request.from, (a) => identities.openerOf(a), mistakes);
    const to = this.#end(request.to, (a) => identities.placeOf(a), mistakes);
    const dport = this.#port(request, to?.place ?? null, mistakes);
    if (!from || !to || mistakes.length > 0) throw new UserError(mistakes);
    const dst = to.addresses.find((a) => from.addresses.some((b) => b.family === a.family));
    const src = from.addresses.find((a) => a.family === dst?.family);
    if (!src || !dst) {
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
    const isNodePort =
      to.place.kind === 'node' && identities.isNodePort(request.protocol.toLowerCase(), dport);
    if (isNodePort) return 'servicesNotEmulated';
    return { src, dst, from: from.place, to: to.place, dport };
  }

  #end(
    text: string,
    placeOf: (address: Address) => Place,
    mistakes: Diagnostic[],
  ): { addresses: readonly Address[]; place: Place } | undefined {
    const { addresses: plan } = this.#world;
    const literal = parseAddress(text);
    if (literal) return { addresses: [literal], place: placeOf(literal) };
    const [kind, first = '', second = ''] = text.split('/');
    const found =
      kind === 'pod'
        ? plan.findPod(first, second)
        : kind === 'node'
          ? plan.findNode(first)
          : undefined;
    const [address] = found?.addresses ?? [];
    if (found && address) {
      return { addresses: found.addresses, place: placeOf(address) };
    }
    const names = [
      ...[...plan.podsByName.keys()].map((name) => `pod/${name}`),
      ...this.#world.cluster.nodes.map((node) => `node/${node.name}`),
    ];
    const near = nearest(text, names);
    mistakes.push({
      code: 'PROBE_END_UNKNOWN',
      message: found ? 'it has no address' : 'no such end in the cluster',
      found: text,
      accepted: near ? `did you mean ${near}?` : 'pod/NAMESPACE/NAME, node/NAME or an address',
    });
    return undefined;
  }

  #port(request: ProbeRequest, to: Place | null, mistakes: Diagnostic[]): number {
    const { port, protocol } = request;
    if (protocol === 'ICMP') return 0;
    if (typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65536) return port;
    if (typeof port === 'string' && to?.kind === 'pod') {
      const declared = to.pod.ports.find((p) => p.name === port && p.protocol === protocol);
      if (declared) return declared.containerPort;
    }
    mistakes.push({
      code: 'PROBE_PORT',
      message: 'the port is neither a number nor a name that the destination pod declares',
      found: String(port),
      accepted: '1..65535, or a container port name of the same protocol',
    });
    return 0;
  }
}

type Exchange = Ends & { readonly protocol: number; readonly sport: number };

function packetOf(e: Exchange, step: 'request' | 'answer'): SyntheticPacket {
  const isEcho = e.protocol === Protocol.icmp;
  const dport = isEcho ? e.sport : e.dport;
  return step === 'request'
    ? { src: e.src, dst: e.dst, protocol: e.protocol, sport: e.sport, dport, step }
    : { src: e.dst, dst: e.src, protocol: e.protocol, sport: dport, dport: e.sport, step };
}

function isOf(decision: Pick<Decision, 'origin'>, direction: 'ingress' | 'egress'): boolean {
  return (decision.origin ?? []).some((o) => o.direction === direction);
}

function unknownResult(request: ProbeRequest, reason: UnknownReason): ProbeResult {
  const unknown: DirectionResult = { result: 'unknown', reason, decidedBy: null };
  return {
    ...request,
    verdict: 'unknown',
    reason,
    decidedBy: null,
    forward: unknown,
    reply: NOT_CAPTURED,
    ingress: 'notEvaluated',
    egress: 'notEvaluated',
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
