/**
 * What a table's verdict does to a packet, and how it is written down.
 * @module
 */
import type { HostImage } from '../../image/image.ts';
import type { LinkedRule } from '../../image/program.ts';
import type { Hook } from '../../netfilter/hook.ts';
import type { RejectWith } from '../../netfilter/target.ts';
import type { Packet } from '../../packet/packet.ts';
import type { DropReason, UnknownReason } from '../../wire/drop-reason.ts';
import { sendReject } from '../ip/reject.ts';
import type { Passage } from '../passage.ts';
import { dropBy, unknown } from '../run.ts';
import type { Decision } from '../trail.ts';
import type { Visit } from './visit.ts';
import type { Origins, WalkVerdict } from './walk-context.ts';

/** The decision that a rule, or its chain's policy when there is none, stands for. */
export function decision(
  passage: Passage,
  at: Hook,
  rule: LinkedRule | null,
  origin: Origins,
): Decision {
  const { image, decisions } = passage.host;
  const id = rule === null ? NO_RULE : rule.id;
  const known = decisions[at].get(id);
  if (known !== undefined && known.origin === origin) return known.decision;
  // The text is the dear part, and the same whoever the verdict goes back to.
  const plain = known?.plain ?? plainDecision(image, at, rule);
  const decision = origin.length === 0 ? plain : { ...plain, origin };
  decisions[at].set(id, { plain, origin, decision });
  return decision;
}

function plainDecision(image: HostImage, at: Hook, rule: LinkedRule | null): Decision {
  const place = { host: image.host, stage: at, hook: at };
  return rule === null ? place : { ...place, rule: rule.address, text: image.texts.rule(rule.id) };
}

/** A decision that was made, as it is without origins and as it last was. */
export interface KnownDecision {
  readonly plain: Decision;
  readonly origin: Origins;
  readonly decision: Decision;
}

const NO_RULE = -1;

/** What a verdict does to the packet; true when it goes on. */
export function settle(visit: Visit, verdict: WalkVerdict): boolean {
  if (verdict.kind === 'accept') return true;
  const by = decision(visit.passage, visit.hook, verdict.rule, verdict.origin);
  const goesOn = 'range' in verdict;
  noteStep(visit, goesOn ? PASSED : STOPPED);
  if (goesOn) return true;
  end(visit, by, verdict);
  return false;
}

/** A verdict, of either rule language, after which a packet does not go on. */
type LastVerdict =
  | { readonly kind: 'drop'; readonly reason: DropReason }
  | { readonly kind: 'reject'; readonly reason: DropReason; readonly with: RejectWith }
  | { readonly kind: 'unknown'; readonly reason: UnknownReason };

/** End a packet as its last verdict says. */
export function end({ passage, run }: Visit, by: Decision, verdict: LastVerdict): void {
  switch (verdict.kind) {
    case 'drop':
      dropBy(passage, verdict.reason, by);
      return;
    case 'reject':
      dropBy(passage, verdict.reason, by);
      sendReject(run, passage, verdict.with);
      return;
    case 'unknown':
      unknown(passage, by, verdict.reason);
  }
}

const PASSED = 'passed';
const STOPPED = 'stopped';

/** Write down that the packet met this hook; `fact` is what is said where nobody tracks it. */
export function noteStep({ passage, hook, looks }: Visit, fact = PASSED): void {
  const { ctState } = passage.packet;
  const said = ctState === 'none' ? fact : FACTS[ctState];
  passage.trail.hookStep(passage.host.name, hook, said, looks.take());
}

const FACTS: Readonly<Record<Exclude<Packet['ctState'], 'none'>, string>> = {
  new: 'conntrack: new',
  established: 'conntrack: established',
  related: 'conntrack: related',
  invalid: 'conntrack: invalid',
  untracked: 'conntrack: untracked',
};
