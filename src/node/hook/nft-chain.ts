/**
 * One base chain of nft at a hook: the walk, and what its verdict does to the packet.
 * @module
 */
import type { NftLinkedChain, NftLinkedRule } from '../../image/nft/program.ts';
import type { NftVerdict } from '../nft/walk.ts';
import { runChain } from '../nft/walk.ts';
import type { Decision } from '../trail.ts';
import { end, noteStep } from './settle.ts';
import type { Visit } from './visit.ts';
import type { Origins } from './walk-context.ts';

/** Walk a chain that translates nothing; false when the packet ended there. */
export function filterChain(visit: Visit, chain: NftLinkedChain): boolean {
  const verdict = walkChain(visit, chain);
  if (verdict.kind === 'accept') noteJudgement(visit, verdict);
  return settleNft(visit, verdict);
}

/** The verdict of a chain; diagnoses go on as if its policy drops had not been. */
export function walkChain(visit: Visit, chain: NftLinkedChain): NftVerdict {
  const { ctx, hook, looks, passage } = visit;
  const verdict = runChain(ctx, { chain, hook, recorder: looks }, passage.packet);
  const isRefused = verdict.kind === 'drop' || verdict.kind === 'reject';
  if (!isRefused || !visit.run.forgiving || verdict.reason !== 'policyDenied') return verdict;
  passage.trail.forgiven.push(nftDecision(visit, verdict.rule, verdict.origin));
  return { kind: 'accept', rule: null, origin: [] };
}

function noteJudgement(visit: Visit, verdict: NftVerdict & { kind: 'accept' }): void {
  const { trail } = visit.passage;
  const isKnown = trail.decision !== null;
  if (verdict.rule === null && isKnown) return;
  if (trail.decision?.origin !== undefined && verdict.origin.length === 0) return;
  trail.decision = nftDecision(visit, verdict.rule, verdict.origin);
}

/** The decision that a rule, or its chain's policy when there is none, stands for. */
export function nftDecision(
  { passage, hook }: Visit,
  rule: NftLinkedRule | null,
  origin: Origins,
): Decision {
  const { image } = passage.host;
  const place = { host: image.host, stage: hook, hook };
  if (rule === null) return place;
  const text = image.nft?.texts.rule(rule.id) ?? '';
  const by = { ...place, rule: rule.address, text };
  return origin.length === 0 ? by : { ...by, origin };
}

/** What a verdict does to the packet; true when it goes on. */
export function settleNft(visit: Visit, verdict: NftVerdict): boolean {
  if (verdict.kind === 'accept' || verdict.kind === 'nat') return true;
  noteStep(visit);
  end(visit, nftDecision(visit, verdict.rule, verdict.origin), verdict);
  return false;
}
