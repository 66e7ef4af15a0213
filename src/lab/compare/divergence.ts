/**
 * Where two stacks part: the first place at which the same packet's fate differs.
 *
 * Journeys through different networks are not comparable stage by stage (one crosses a bridge, the
 * other is routed). What they share are judgements: on each host the hooks at which rules let the
 * packet pass or stopped it. These are aligned in order, and the first pair that differs is where
 * the stacks part.
 * @module
 */
import type { Journey, RuleLook, Step } from '../../engine/engine.ts';
import { arrived } from '../verdict.ts';

/** What one stack did with a packet at one hook of one host. */
export interface Judgement {
  readonly host: string;
  readonly hook: string;
  readonly passed: boolean;
  /** `CHAIN#INDEX` of the last rule that matched with a verdict, or what stood there instead. */
  readonly rule: string;
}

/** The judgements of a journey, in order. */
export function judgements(journey: Journey): readonly Judgement[] {
  const found: Judgement[] = [];
  for (const step of journey.steps) {
    if (step.hook === undefined) continue;
    found.push({
      host: step.host,
      hook: step.hook,
      passed: true,
      rule: lastVerdict(step) ?? '(no rule)',
    });
  }
  if (arrived(journey)) return found;
  const { decision, end } = journey;
  const host = decision?.host ?? end.host;
  const hook = decision?.hook ?? decision?.stage ?? 'end';
  const rule = decision?.rule
    ? `${decision.rule.chain}#${decision.rule.index}`
    : `(${journey.reason ?? journey.outcome})`;
  const last = found.at(-1);
  if (last && last.host === host && last.hook === hook) found.pop();
  found.push({ host, hook, passed: false, rule });
  return found;
}

function lastVerdict(step: Step): string | undefined {
  const verdicts = step.rules.filter((look) => look.matched && isVerdict(look));
  const last = verdicts.at(-1);
  return last && `${last.rule.chain}#${last.rule.index}`;
}

/** Targets that end a table, as iptables names them. */
function isVerdict(look: RuleLook): boolean {
  return /^(ACCEPT|DROP|REJECT)\b/.test(look.target);
}

export interface Divergence {
  /** From 1, counted over judgements. */
  readonly step: number;
  /** By stack: `node/hook/chain#rule`. */
  readonly at: Readonly<Record<string, string>>;
}

/** The first judgement at which the journeys differ; null when all fates are equal throughout. */
export function firstDivergence(
  journeys: readonly { readonly stack: string; readonly journey: Journey }[],
): Divergence | null {
  const rows = journeys.map(({ stack, journey }) => ({ stack, list: policyPoints(journey) }));
  const longest = Math.max(...rows.map((row) => row.list.length));
  for (let i = 0; i < longest; i++) {
    const points = rows.map((row) => row.list[i]);
    const fates = new Set(points.map((p) => (p ? `${p.host} ${p.passed}` : 'ended')));
    if (fates.size < 2) continue;
    const at = rows.map((row, n) => [row.stack, formatPoint(points[n])] as const);
    return { step: i + 1, at: Object.fromEntries(at) };
  }
  return null;
}

/** Judgements where policies can speak: filter hooks of nodes, not translation or the fabric's. */
function policyPoints(journey: Journey): readonly Judgement[] {
  return judgements(journey).filter(
    (j) => !j.passed || j.hook === 'forward' || j.hook === 'input' || j.hook === 'output',
  );
}

function formatPoint(point: Judgement | undefined): string {
  return point ? `${point.host}/${point.hook}/${point.rule}` : '(already ended)';
}
