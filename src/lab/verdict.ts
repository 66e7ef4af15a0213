/**
 * From journeys to verdicts: what a connection's two directions say together, and who decided.
 * @module
 */
import type { Decision, Journey } from '../engine/engine.ts';
import { formatRuleAddress, type Provenance } from '../netfilter/rule.ts';
import type { DecidedBy, DirectionResult, Verdict } from './result.ts';

/** A direction of which no packet was sent (or captured). */
export const NOT_CAPTURED: DirectionResult = {
  result: 'notCaptured',
  reason: null,
  decidedBy: null,
};

/** Whether a packet got where it was going: to its owner, or out of the emulation whole. */
export function arrived(journey: Journey): boolean {
  return journey.outcome === 'delivered' || journey.outcome === 'exited';
}

/** Decisions of an engine that remembers are those of thousands of packets. */
const NAMED = new WeakMap<Decision, DecidedBy>();

/** Name a deciding place and rule for a person. */
export function decidedBy(decision: Decision | null): DecidedBy | null {
  if (decision === null) return null;
  const known = NAMED.get(decision);
  if (known !== undefined) return known;
  const named = nameOf(decision);
  NAMED.set(decision, named);
  return named;
}

function nameOf(decision: Decision): DecidedBy {
  const origins = decision.origin ?? [];
  const policies = [...new Set(origins.filter(isPolicy).map((o) => o.object))];
  return {
    node: decision.host,
    hook: decision.hook ?? decision.stage,
    rule: decision.rule ? formatRuleAddress(decision.rule) : null,
    text: decision.text ?? null,
    policy: policies[0] ?? null,
    policies,
    source: origins.find((o) => o.source !== undefined)?.source ?? null,
  };
}

function isPolicy(origin: Provenance): boolean {
  return origin.effect !== 'platform';
}

/** One direction's result from the journey of its packet. */
export function directionResult(journey: Journey): DirectionResult {
  const by = decidedBy(journey.decision);
  if (arrived(journey)) return deliveredBy(by);
  const result = journey.outcome === 'dropped' ? 'dropped' : 'unknown';
  return { result, reason: journey.reason, decidedBy: by };
}

/** One for all whom the same rule lets through: many connections are open at once. */
const DELIVERED = new WeakMap<DecidedBy, DirectionResult>();
const DELIVERED_BY_NONE: DirectionResult = { result: 'delivered', reason: null, decidedBy: null };

function deliveredBy(by: DecidedBy | null): DirectionResult {
  if (by === null) return DELIVERED_BY_NONE;
  const known = DELIVERED.get(by);
  if (known !== undefined) return known;
  const made: DirectionResult = { result: 'delivered', reason: null, decidedBy: by };
  DELIVERED.set(by, made);
  return made;
}

/**
 * A delivered direction stays delivered; of undelivered ones the first tells why. Used as packets
 * of one direction come by: the opening decides, a retransmission that gets through mends it.
 */
export function mergeDirection(known: DirectionResult, next: DirectionResult): DirectionResult {
  if (known.result === 'delivered' || next.result === 'notCaptured') return known;
  if (known.result === 'notCaptured' || next.result === 'delivered') return next;
  return known;
}

/** The verdict of a connection (SEMANTICS A8): broken = opening delivered, reply not. */
export function verdictOf(forward: DirectionResult, reply: DirectionResult): Verdict {
  if (forward.result === 'dropped') return 'denied';
  if (forward.result === 'unknown' || forward.result === 'notCaptured') return 'unknown';
  if (reply.result === 'dropped') return 'broken';
  return reply.result === 'unknown' ? 'unknown' : 'allowed';
}
