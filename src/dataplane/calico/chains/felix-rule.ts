/**
 * A rule as Felix keeps it: its text, which is hashed into the `cali:` label, beside what the
 * kernel will make of that text.
 *
 * Felix labels every rule with the first 16 characters of base64url SHA-224, chained over
 * `-A CHAIN HASH COMMENTS MATCHES ACTION` in its own long option names, starting from the hash of
 * the chain's name. Source: felix/generictables/rules.go `RuleHashes`, felix/iptables/renderer.go
 * `renderInner`. The label is proved against real nodes in test/dataplane/calico/labels.test.ts.
 * @module
 */
import { createHash } from 'node:crypto';
import type { IpMatch, Match } from '../../../netfilter/match.ts';
import type { Provenance, Rule } from '../../../netfilter/rule.ts';
import type { Target } from '../../../netfilter/target.ts';
import { makeRule } from '../../../plan/builder.ts';

/** One match: Felix's words, and what it adds to the rule's head or to its list of matches. */
export interface Fragment {
  readonly text: string;
  readonly ip?: IpMatch;
  readonly match?: Match;
}

export interface Action {
  readonly text: string;
  readonly target: Target;
}

export interface FelixRule {
  readonly comments?: readonly string[];
  readonly matches?: readonly Fragment[];
  /** Absent: the rule only carries a comment. */
  readonly action?: Action;
  /** Absent: the rule is Felix's own. Empty: its effect goes back to who set the mark it tests. */
  readonly origin?: readonly Provenance[];
}

export interface FelixChain {
  readonly name: string;
  readonly rules: readonly FelixRule[];
}

/** Rules that no policy caused. */
const FELIX: readonly Provenance[] = [{ object: 'felix', effect: 'platform' }];

const LABEL_LENGTH = 16;
/** XT_MAX_COMMENT_LEN. */
const COMMENT_LENGTH = 256;

/** The comment as iptables-restore takes it: unsafe characters become `_`, the rest is cut. */
function safeComment(comment: string): string {
  return comment.replace(/[^\w @%+=:,./-]/g, '_').slice(0, COMMENT_LENGTH);
}

/** The text of a rule that its label is made of. */
function hashedText(chain: string, rule: FelixRule): string {
  const comments = (rule.comments ?? []).map((c) => `-m comment --comment "${safeComment(c)}"`);
  const matches = (rule.matches ?? []).map((m) => m.text);
  const action = rule.action === undefined ? [] : [rule.action.text];
  return ['-A', chain, 'HASH', ...comments, ...matches, ...action].join(' ');
}

/**
 * Under which name Felix hashes what it appends to a built-in chain: each of the two lists is
 * hashed as a chain of its own (felix/iptables/table.go `expectedHashesForInsertAppendChain`).
 */
export function appendedName(chain: string): string {
  return `${chain}*appends*`;
}

/** The label of each rule of a chain, without `cali:`. */
export function ruleLabels(chain: FelixChain): string[] {
  let digest = createHash('sha224').update(chain.name).digest();
  return chain.rules.map((rule) => {
    digest = createHash('sha224').update(digest).update(hashedText(chain.name, rule)).digest();
    return digest.toString('base64url').slice(0, LABEL_LENGTH);
  });
}

const memo = new WeakMap<FelixChain, readonly Rule[]>();

/**
 * The chain's rules for a plan: label first, then comments, then matches, as Felix writes them.
 * Made once for a chain that nodes share.
 */
export function planRules(chain: FelixChain): readonly Rule[] {
  const known = memo.get(chain);
  if (known) return known;
  const made = makeRules(chain);
  memo.set(chain, made);
  return made;
}

function makeRules(chain: FelixChain): readonly Rule[] {
  const labels = ruleLabels(chain);
  return chain.rules.map((rule, i) => {
    const comments = [`cali:${labels[i]}`, ...(rule.comments ?? []).map(safeComment)];
    const fragments = rule.matches ?? [];
    let ip: IpMatch = {};
    for (const fragment of fragments) ip = { ...ip, ...fragment.ip };
    return makeRule({
      ip,
      matches: [
        ...comments.map((text): Match => ({ kind: 'comment', text })),
        ...fragments.flatMap((f) => (f.match === undefined ? [] : [f.match])),
      ],
      target: rule.action?.target ?? { kind: 'none' },
      origin: rule.origin ?? FELIX,
    });
  });
}

/** The chain that this rule sends packets to, if any. */
export function targetChain(rule: FelixRule): string | undefined {
  const target = rule.action?.target;
  return target?.kind === 'jump' || target?.kind === 'goto' ? target.chain : undefined;
}
