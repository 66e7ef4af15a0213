/**
 * Why a network's packets can only be judged in order, all of them by one: rules that remember
 * packets of whatever connection, and translations whose ends nobody can tell beforehand
 * (SEMANTICS B1, B2). What a Service's session affinity remembers is not meant: its connections are
 * in the ordered shard (shards.ts).
 * @module
 */
import type { Match } from '../netfilter/match.ts';
import type { NftRuleset } from '../netfilter/nft/ruleset.ts';
import type { NftStatement, StatefulStatement } from '../netfilter/nft/statement.ts';
import type { Rule } from '../netfilter/rule.ts';
import type { NatRange, Target } from '../netfilter/target.ts';
import type { Network, Plan } from '../plan/model.ts';

const REMEMBERING: ReadonlySet<Match['kind']> = new Set([
  'limit',
  'hashlimit',
  'nth',
  'connlimit',
  'quota',
] as const);
/** `redirect` and `netmap` translate into addresses that the rule does not name. */
const ENTANGLING: ReadonlySet<Target['kind']> = new Set(['set', 'redirect', 'netmap'] as const);

/** What it is, and where; null when there is nothing of the kind. */
export function orderedRule(network: Network, hasAffinity: boolean): string | null {
  const { nodes, fabric, appliances = [], pods } = network;
  const [pod] = pods;
  const plans = [
    ...nodes,
    fabric,
    ...appliances,
    ...(pod === undefined ? [] : [network.podPlan(pod)]),
  ];
  for (const plan of plans) {
    const found = ofPlan(plan, hasAffinity);
    if (found !== null) return `${found} on ${plan.host}`;
  }
  return null;
}

function ofPlan(plan: Plan, hasAffinity: boolean): string | null {
  const { tables, nft, connections = [], virtualServers } = plan;
  // Their schedulers take turns among all clients, and count them.
  if (virtualServers !== undefined) return 'a table of virtual servers';
  if (connections.length > 0) return 'connections that were listed';
  for (const { chains } of tables) {
    for (const { rules } of chains) {
      for (const rule of rules) {
        const found = ofRule(rule, hasAffinity);
        if (found !== null) return found;
      }
    }
  }
  return nft === undefined ? null : ofNft(nft, hasAffinity);
}

function ofRule({ matches, target }: Rule, hasAffinity: boolean): string | null {
  if (ENTANGLING.has(target.kind)) return `a rule with target ${target.kind}`;
  if (target.kind === 'dnat' && !isOneEnd(target.range)) return 'a rule with target dnat';
  const match = matches.find(
    ({ kind }) => REMEMBERING.has(kind) || (kind === 'recent' && !hasAffinity),
  );
  return match === undefined ? null : `a rule with match ${match.kind}`;
}

/** Whether it names one address and one port. */
function isOneEnd({ low, high, ports }: NatRange): boolean {
  const isOneAddress = low !== undefined && (high === undefined || same(low, high));
  return isOneAddress && ports !== undefined && ports.low === ports.high;
}

function same(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function ofNft({ tables }: NftRuleset, hasAffinity: boolean): string | null {
  for (const { objects, sets, chains } of tables) {
    const isMetered = sets.some(({ state = [] }) => state.some(remembers));
    if (isMetered || objects.some(({ kind }) => kind !== 'counter')) return 'an nft limit or quota';
    const statements = chains.flatMap(({ rules }) => rules).flatMap((rule) => rule.statements);
    const found = statements.find((statement) => isOrdered(statement, hasAffinity));
    if (found !== undefined) return `an nft statement ${found.kind}`;
  }
  return null;
}

function remembers({ kind }: StatefulStatement): boolean {
  return kind !== 'counter';
}

function isOrdered(statement: NftStatement, hasAffinity: boolean): boolean {
  switch (statement.kind) {
    case 'limit':
    case 'quota':
    case 'redirect':
      return true;
    case 'update':
      return !hasAffinity;
    case 'dnat':
      return statement.prefix === true;
    default:
      return JSON.stringify(statement, plainly).includes('"mode":"inc"');
  }
}

function plainly(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
