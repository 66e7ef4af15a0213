/**
 * One asked flow as real packets: the request, the answer of whomever it reached, and how both
 * fare under every choice that translation could make (SEMANTICS A7, A8).
 *
 * `ingress` and `egress` are a second, diagnostic walk that goes on past drops that policies
 * caused: what each direction's rules would say on this stack. They never decide the verdict.
 * @module
 */
import type { Pod } from '../../cluster/model.ts';
import type { Decision, Journey } from '../../engine/engine.ts';
import { selects } from '../../policy/select.ts';
import type { Address } from '../../wire/address/address.ts';
import { Protocol, protocolName } from '../../wire/protocol.ts';
import { packetOf as packetOfBytes } from '../datagram/headers.ts';
import { type SyntheticPacket, syntheticPacket } from '../datagram/synthetic.ts';
import type { Place } from '../identity.ts';
import type { Choice, DecidedBy, DirectionResult, HeaderEnds, Verdict } from '../result.ts';
import {
  choiceOf,
  firstRefusal,
  isOpen,
  type ProspectList,
  type Prospects,
} from '../run/prospects.ts';
import { endsAt, reachedBy, translationOf } from '../run/reached.ts';
import { arrived, directionResult, NOT_CAPTURED, verdictOf } from '../verdict.ts';
import type { World } from '../world.ts';

export type PolicyDiagnosis = 'allowed' | 'denied' | 'notEvaluated' | 'bypassed';

/** A flow's ends, found in the cluster. */
export interface Ends {
  readonly src: Address;
  readonly dst: Address;
  readonly from: Place;
  readonly to: Place;
  readonly dport: number;
}

/** A flow to send; `protocol` as IP numbers it. */
export type Exchange = Ends & { readonly protocol: number; readonly sport: number };

export interface ExchangeResult {
  readonly verdict: Verdict;
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
  readonly forward: DirectionResult;
  readonly reply: DirectionResult;
  readonly ingress: PolicyDiagnosis;
  readonly egress: PolicyDiagnosis;
  readonly translated: HeaderEnds | null;
  readonly choice: Choice | null;
}

/** The request packet of an exchange. */
export function requestOf(exchange: Exchange): Uint8Array {
  return syntheticPacket(packetOf(exchange, 'request'));
}

const NOT_DIAGNOSED = { ingress: 'notEvaluated', egress: 'notEvaluated' } as const;

/**
 * Send the request and, when it arrives, its answer. Without `diagnoses` what each direction's
 * rules say is left out, which costs another walk of all that is refused.
 */
export function sendExchange(
  world: World,
  prospects: Prospects,
  exchange: Exchange,
  nowNs: number,
  diagnoses = true,
): ExchangeResult {
  const send = (e: Exchange, step: 'request' | 'answer', atNs: number) => {
    const from = step === 'request' ? e.from : e.to;
    const packet = syntheticPacket(packetOf(e, step));
    return world.engine.inject(world.injectAt(from, packet, { frame: 0, nowNs: atNs }));
  };
  const forward = send(exchange, 'request', nowNs);
  const answer = arrived(forward)
    ? send(answering(world, exchange, forward), 'answer', nowNs + 1e6)
    : null;
  const there = directionResult(forward);
  const back = answer ? directionResult(answer) : NOT_CAPTURED;
  const judged = verdictOf(there, back);
  const asked = { ...exchange, protocol: nameOf(exchange) };
  const list = prospects.ofSent(asked, forward, { frame: 0, nowNs });
  const choice = list && choiceOf(list, 'drawn');
  const depends = list !== null && choice !== null && isOpen(choice) && judged !== 'unknown';
  const refusal = depends ? firstRefusal(list) : undefined;
  const { reason, decidedBy } = refusal ?? (judged === 'broken' ? back : there);
  return {
    verdict: depends ? 'depends' : judged,
    reason,
    decidedBy,
    forward: there,
    reply: back,
    translated: translationOf(asSeen(exchange), endsAt(forward)),
    choice,
    ...(diagnoses ? diagnose(world, exchange, forward, nowNs + 2e6) : NOT_DIAGNOSED),
  };
}

/** Every way that the flow can take. */
export function waysOf(prospects: Prospects, exchange: Exchange, nowNs: number): ProspectList {
  return prospects.of({ ...exchange, protocol: nameOf(exchange) }, { frame: 0, nowNs });
}

function nameOf({ protocol, src }: Exchange): string {
  const isIcmp6 = protocol === Protocol.icmp && src.family === 6;
  return protocolName(isIcmp6 ? Protocol.icmpv6 : protocol);
}

/** The ends of the exchange as a packet has them: echoes have their identifier on both sides. */
function asSeen(e: Exchange) {
  const { src, dst, sport } = e;
  return { src, dst, sport, dport: e.protocol === Protocol.icmp ? sport : e.dport };
}

/** Whoever the request reached answers what it saw: after translation that is another packet. */
function answering(world: World, exchange: Exchange, forward: Journey): Exchange {
  const reached = reachedBy(world, forward, exchange);
  if (reached === null) return exchange;
  const { ends, place } = reached;
  const { src, dst } = ends;
  const sport = ends.sport ?? exchange.sport;
  const dport = ends.dport ?? exchange.dport;
  return { ...exchange, src, dst, sport, dport, to: place };
}

function diagnose(
  world: World,
  exchange: Exchange,
  forward: Journey,
  nowNs: number,
): Pick<ExchangeResult, 'ingress' | 'egress'> {
  if (forward.outcome === 'unknown') return NOT_DIAGNOSED;
  const journey = arrived(forward) ? forward : walkPast(world, exchange, nowNs);
  const diagnosis = (direction: 'ingress' | 'egress', place: Place) => {
    if (journey.forgiven.some((d) => isOf(d, direction))) return 'denied';
    if (place.kind !== 'pod' || !isIsolated(world, place.pod, direction)) return 'allowed';
    if (journey.steps.some((s) => s.rules.some((look) => isOf(look, direction)))) {
      return 'allowed';
    }
    return arrived(journey) ? 'bypassed' : 'notEvaluated';
  };
  const last = packetOfBytes(journey.packet);
  const target = last === null ? exchange.to : world.identities.placeOf(last.dst);
  return {
    ingress: diagnosis('ingress', target.kind === 'pod' ? target : exchange.to),
    egress: diagnosis('egress', exchange.from),
  };
}

function walkPast(world: World, exchange: Exchange, nowNs: number): Journey {
  const options = { frame: 0, nowNs, walkPastPolicyDrops: true };
  return world.engine.inject(world.injectAt(exchange.from, requestOf(exchange), options));
}

function isIsolated(world: World, pod: Pod, direction: 'ingress' | 'egress'): boolean {
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  return world.policies.some(
    (p) =>
      p.namespace === pod.namespace &&
      p.policyTypes.includes(type) &&
      selects(p.podSelector, pod.labels),
  );
}

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
