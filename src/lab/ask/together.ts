/**
 * Several results that stand for one asked flow, and the result of a flow that nobody can judge.
 * @module
 */
import type { UnknownReason } from '../../wire/drop-reason.ts';
import type { DirectionResult, Verdict } from '../result.ts';
import { NOT_CAPTURED } from '../verdict.ts';
import type { ExchangeResult } from './exchange.ts';

/** Several addresses of one name: whichever the client takes, each as likely as the others. */
export function together(results: readonly ExchangeResult[]): ExchangeResult {
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

export function unjudged(reason: UnknownReason): ExchangeResult {
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
