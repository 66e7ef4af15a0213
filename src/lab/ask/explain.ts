/**
 * Why: one packet's journey with every rule looked at, read back in the words of the policies that
 * caused the rules.
 *
 * An implicit deny has no rule of its own to show. What explains it is who isolated the pod (the
 * policies that select it in that direction) and what each of their allow rules missed.
 * @module
 */
import type { Journey, RuleLook } from '../../engine/engine.ts';
import { formatRuleAddress, type Provenance } from '../../netfilter/rule.ts';
import type { Network } from '../../plan/model.ts';
import type { DecidedBy } from '../result.ts';
import { decidedBy } from '../verdict.ts';

/** A policy that had a say. */
export interface PolicyMention {
  readonly policy: string;
  readonly direction: string | null;
  readonly source: string | null;
}

/** An allow rule that was looked at, and why it did not hold. */
export interface TriedRule {
  readonly policy: string;
  readonly field: string | null;
  readonly source: string | null;
  readonly node: string;
  readonly rule: string;
  readonly matched: boolean;
  /** The condition that failed, as iptables writes it. */
  readonly missed: string | null;
  /** What the failed set stands for (`pods labelled app=web`), when the condition asks a set. */
  readonly wanted: string | null;
  /** What the packet had instead. */
  readonly found: string | null;
}

/** What a set of a host stands for, in words; undefined when nobody said. */
export type SetMeanings = (host: string, set: string) => string | undefined;

/** Meanings of the sets of a network's nodes. */
export function setMeanings(network: Network): SetMeanings {
  const known = new Map<string, string>();
  for (const plan of network.nodes) {
    for (const set of plan.ipsets) {
      if (set.describes !== undefined) known.set(`${plan.host} ${set.name}`, set.describes);
    }
  }
  return (host, set) => known.get(`${host} ${set}`);
}

export interface Explanation {
  readonly outcome: Journey['outcome'];
  readonly reason: string | null;
  readonly decidedBy: DecidedBy | null;
  /** Policies that isolate the pod in the direction that decided. */
  readonly isolatedBy: readonly PolicyMention[];
  readonly tried: readonly TriedRule[];
  readonly journey: Journey;
}

/** Read a traced journey; `sets` says in words what a host's set stands for. */
export function explain(journey: Journey, sets: SetMeanings): Explanation {
  const looks = journey.steps.flatMap((step) =>
    step.rules.map((look) => ({ host: step.host, look })),
  );
  return {
    outcome: journey.outcome,
    reason: journey.reason,
    decidedBy: decidedBy(journey.decision),
    isolatedBy: isolators(journey),
    tried: firstOfEach(looks.flatMap(({ host, look }) => triedRules(host, look, sets))),
    journey,
  };
}

function isolators(journey: Journey): readonly PolicyMention[] {
  const origins = (journey.decision?.origin ?? []).filter((o) => o.effect === 'isolate');
  const seen = new Map<string, PolicyMention>();
  for (const o of origins) {
    seen.set(o.object, {
      policy: o.object,
      direction: o.direction ?? null,
      source: o.source ?? null,
    });
  }
  return [...seen.values()];
}

function triedRules(node: string, look: RuleLook, sets: SetMeanings): readonly TriedRule[] {
  const set = /--match-set (\S+)/.exec(look.missed ?? '')?.[1];
  return (look.origin ?? []).filter(isAllow).map((o) => ({
    policy: o.object,
    field: o.field ?? null,
    source: o.source ?? null,
    node,
    rule: formatRuleAddress(look.rule),
    matched: look.matched,
    missed: look.missed ?? null,
    wanted: set === undefined ? null : (sets(node, set) ?? null),
    found: look.found ?? null,
  }));
}

/**
 * One look a part of a policy and node: a part can stand behind several rules (Calico marks, then
 * returns), and the first that was asked says why.
 */
function firstOfEach(rules: readonly TriedRule[]): readonly TriedRule[] {
  const seen = new Set<string>();
  return rules.filter((rule) => {
    const key = `${rule.node} ${rule.policy} ${rule.field} ${rule.matched}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function isAllow(origin: Provenance): boolean {
  return origin.effect === 'allow';
}
