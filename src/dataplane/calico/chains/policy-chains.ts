/**
 * Policies and profiles as chains: `cali-pi-`/`cali-po-`, `cali-pri-`/`cali-pro-`.
 *
 * A matching rule sets the accept bit, the next returns on it. What one iptables rule can not hold
 * (an or of ports, several networks on one side) is worked out before in match blocks with two
 * scratch bits. Source: felix/rules/policy.go `ProtoRuleToIptablesRules`, `matchBlockBuilder`.
 * @module
 */
import { assert } from '../../../diagnostic/diagnostic.ts';
import type { Provenance } from '../../../netfilter/rule.ts';
import type { Family } from '../../../wire/address/address.ts';
import { chainName, setName } from '../names.ts';
import type { CalicoPolicy, CalicoRule, Direction } from '../policy/conversion.ts';
import { splitPorts } from '../policy/ports.ts';
import type { Release } from '../release.ts';
import { ruleSets } from '../sets.ts';
import type { FelixChain, FelixRule, Fragment } from './felix-rule.ts';
import {
  clearMark,
  destinationPorts,
  type End,
  inPortSet,
  inSet,
  markSet,
  net,
  protocolName,
  RETURN,
  setMark,
  setMaskedMark,
} from './fragment.ts';

const POLICY_PREFIX = { ingress: 'cali-pi-', egress: 'cali-po-' } as const;
const PROFILE_PREFIX = { ingress: 'cali-pri-', egress: 'cali-pro-' } as const;

export function policyChainName(policy: CalicoPolicy, direction: Direction): string {
  return chainName(POLICY_PREFIX[direction], policy.names.chain);
}

export function profileChainName(profile: string, direction: Direction): string {
  return chainName(PROFILE_PREFIX[direction], profile);
}

export function policyChain(
  release: Release,
  policy: CalicoPolicy,
  direction: Direction,
  family: Family,
): FelixChain {
  const rules = policy.rules[direction].flatMap((r) => renderRule(release, r, direction, family));
  const comment = `${policy.names.comment} ${direction}`;
  return { name: policyChainName(policy, direction), rules: finish(release, rules, comment) };
}

/** `kns.NAMESPACE` allows everything both ways, `ksa.…` has no rules. */
export function profileChain(release: Release, profile: string, direction: Direction): FelixChain {
  const origin: Provenance = {
    object: `Profile/${profile}`,
    direction,
    effect: 'platform',
  };
  const { accept } = release.marks;
  const allow: FelixRule[] = [
    { action: setMark(accept), origin: [origin] },
    { matches: [markSet(accept)], action: RETURN, origin: [origin] },
  ];
  const rules = profile.startsWith('kns.') ? allow : [];
  const comment = `Profile ${profile} ${direction}`;
  return { name: profileChainName(profile, direction), rules: finish(release, rules, comment) };
}

/** The comment on the first rule; without rules there is one that does nothing but say so. */
function finish(release: Release, rules: readonly FelixRule[], comment: string): FelixRule[] {
  const kept = [...rules];
  while (release.stripsReturns && kept.at(-1)?.action === RETURN) kept.pop();
  const [first = {}, ...rest] = kept;
  return [{ ...first, comments: [...(first.comments ?? []), comment] }, ...rest];
}

/** One Calico rule for one family; nothing when its network is of the other one. */
function renderRule(
  release: Release,
  rule: CalicoRule,
  direction: Direction,
  family: Family,
): FelixRule[] {
  const { block } = rule;
  if (block !== null && block.net.address.family !== family) return [];
  const except = block?.except ?? [];
  if (release.dropsNegatedCatchAll && except.some((n) => n.length === 0)) return [];
  const end: End = direction === 'ingress' ? 'source' : 'destination';
  const blocks = new MatchBlocks(release);
  const ports = portFragments(rule, direction, family, blocks);
  // One rule holds one network a side, so exceptions never fit beside the network.
  if (except.length > 0) blocks.none(except.map((n) => [net(end, n)]));

  const sets = ruleSets(rule, direction);
  const main = [
    ...protocolFragment(rule),
    ...(block === null ? [] : [net(end, block.net)]),
    ...(sets.peer === null ? [] : [inSet(end, setName(family, sets.peer))]),
    ...ports,
    ...blocks.passed(),
  ];
  const { accept } = release.marks;
  const rules: FelixRule[] = [
    ...blocks.rules,
    { matches: main, action: setMark(accept) },
    { matches: [markSet(accept)], action: RETURN },
  ];
  return rules.map((r) => ({ ...r, origin: [rule.origin] }));
}

function protocolFragment(rule: CalicoRule): Fragment[] {
  if (rule.protocol === null) return [];
  return [protocolName(({ TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const)[rule.protocol])];
}

/** The ports' match for the main rule, or nothing after writing a block for them. */
function portFragments(
  rule: CalicoRule,
  direction: Direction,
  family: Family,
  blocks: MatchBlocks,
): Fragment[] {
  const splits = splitPorts(rule.ports).map((s) => destinationPorts(s));
  const named = ruleSets(rule, direction).namedPorts.map((id) => inPortSet(setName(family, id)));
  if (splits.length + named.length <= 1) return [...splits, ...named];
  blocks.any([...splits.map((s) => [...protocolFragment(rule), s]), ...named.map((n) => [n])]);
  return [];
}

/**
 * Match blocks: scratch bit 0 says that all blocks so far hold. Scratch bit 1 is for a second
 * positive block, which a NetworkPolicy never needs (one network per rule), but is cleared as well.
 */
class MatchBlocks {
  readonly rules: FelixRule[] = [];
  readonly #all: number;
  readonly #both: number;

  constructor(release: Release) {
    this.#all = release.marks.scratch0;
    this.#both = release.marks.scratch0 | release.marks.scratch1;
  }

  /** The first block: at least one of the alternatives must match. */
  any(alternatives: readonly Fragment[][]): void {
    assert(this.rules.length === 0, 'a positive match block is the first');
    this.rules.push({ action: setMaskedMark(0, this.#both) });
    for (const matches of alternatives) this.rules.push({ matches, action: setMark(this.#all) });
  }

  /** None of the alternatives may match. */
  none(alternatives: readonly Fragment[][]): void {
    if (this.rules.length === 0) this.rules.push({ action: setMaskedMark(this.#all, this.#both) });
    for (const matches of alternatives) this.rules.push({ matches, action: clearMark(this.#all) });
  }

  /** What the main rule asks; nothing when there is no block. */
  passed(): Fragment[] {
    return this.rules.length === 0 ? [] : [markSet(this.#all)];
  }
}
