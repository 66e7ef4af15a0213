/**
 * Cuts of iptables rules: what heads, matches and translations ask of addresses and ports. Only
 * chains that a built-in chain reaches ask anything.
 * @module
 */
import { type Cut, PORT_PROTOCOLS, type PortAnswer, SIDES } from '../../image/classes/cut.ts';
import type { HeadNetwork } from '../../netfilter/further-match.ts';
import type { AddressRange, Match, PortRange } from '../../netfilter/match.ts';
import type { Chain, Rule, Table } from '../../netfilter/rule.ts';
import type { NatRange, Target } from '../../netfilter/target.ts';
import type { Plan } from '../../plan/model.ts';
import { prefixesOfRange } from '../../wire/address/address-range.ts';
import { prefixCut } from './prefix-cut.ts';
import { type Sets, setCuts } from './set-cuts.ts';

/** All that the rules of a plan ask; questions that repeat within it are left out. */
export function* ruleCuts(plan: Plan): Generator<Cut> {
  const sets: Sets = new Map(plan.ipsets.map((set) => [set.name, set]));
  const asked = new Set<string>();
  for (const table of plan.tables) {
    for (const chain of reachedChains(table)) {
      for (const rule of chain.rules) {
        for (const cut of cutsOf(rule, sets)) {
          const { key } = cut;
          if (typeof key === 'string' && asked.size === asked.add(key).size) continue;
          yield cut;
        }
      }
    }
  }
}

function reachedChains(table: Table): Iterable<Chain> {
  const byName = new Map(table.chains.map((chain) => [chain.name, chain]));
  const reached = new Set(table.chains.filter((chain) => chain.policy !== undefined));
  // A set's iterator comes to what is added meanwhile.
  for (const chain of reached) {
    for (const { target } of chain.rules) {
      const next = 'chain' in target ? byName.get(target.chain) : undefined;
      if (next !== undefined) reached.add(next);
    }
  }
  return reached;
}

function* cutsOf({ ip, matches, target }: Rule, sets: Sets): Generator<Cut> {
  if (ip.source && isPrefix(ip.source.value)) {
    yield prefixCut(ip.source.value, ['source'], 'rules by source');
  }
  if (ip.destination && isPrefix(ip.destination.value)) {
    yield prefixCut(ip.destination.value, ['destination'], 'rules by destination');
  }
  for (const match of matches) yield* matchCuts(match, sets);
  yield* targetCuts(target);
}

/** Masks with holes are no prefixes: packets that meet them are told apart by exact addresses. */
function isPrefix({ mask }: HeadNetwork): boolean {
  return mask === undefined;
}

function* matchCuts(match: Match, sets: Sets): Generator<Cut> {
  switch (match.kind) {
    case 'tcp':
    case 'udp':
      if (match.sport) yield portCut([match.kind], ['source'], [match.sport.value]);
      if (match.dport) yield portCut([match.kind], ['destination'], [match.dport.value]);
      return;
    case 'multiport':
      yield portCut(PORT_PROTOCOLS, MULTIPORT_SIDES[match.which], match.ports);
      return;
    case 'iprange':
      if (match.source) yield rangeCut(match.source.value, ['source']);
      if (match.destination) yield rangeCut(match.destination.value, ['destination']);
      return;
    case 'set':
      yield* setCuts(sets, match.set, match.directions);
      return;
    default:
      // Others ask for no address or port, ask the routes, or make their packets opaque.
      return;
  }
}

const MULTIPORT_SIDES = { sports: ['source'], dports: ['destination'], ports: SIDES } as const;

/** The new ends of translated connections are what later rules and routes see. */
function* targetCuts(target: Target): Generator<Cut> {
  switch (target.kind) {
    case 'snat':
    case 'dnat': {
      const { low, high = low }: NatRange = target.range;
      if (low !== undefined && high !== undefined) yield rangeCut({ low, high }, SIDES);
      return;
    }
    case 'netmap':
      yield prefixCut(target.to, SIDES, 'translations');
      return;
    default:
      return;
  }
}

function rangeCut(range: AddressRange, sides: Cut['sides']): Cut {
  const prefixes = prefixesOfRange(range.low, range.high);
  const [only] = prefixes;
  if (only !== undefined && prefixes.length === 1) return prefixCut(only, sides, 'address ranges');
  const answers = () => prefixes.map((prefix) => ({ prefix, answer: 'in' }));
  const { family } = range.low;
  return { kind: 'address', family, sides, what: 'address ranges', answers, chained: false };
}

/** Is the port in one of the ranges? Overlaps are joined. */
function portCut(
  protocols: Extract<Cut, { kind: 'port' }>['protocols'],
  sides: Cut['sides'],
  ranges: readonly PortRange[],
): Cut {
  const answers: PortAnswer[] = [];
  for (const { low, high } of ranges.toSorted((a, b) => a.low - b.low)) {
    const last = answers.at(-1);
    const from = last === undefined ? low : Math.max(low, last.high + 1);
    if (from <= high) answers.push({ low: from, high, answer: 'in' });
  }
  const text = answers
    .map(({ low, high }) => (low === high ? `${low}` : `${low}-${high}`))
    .join(', ');
  const key = `ports ${protocols.join()} ${sides.join()} ${text}`;
  return { kind: 'port', protocols, sides, what: `ports ${text}`, key, answers: () => answers };
}
