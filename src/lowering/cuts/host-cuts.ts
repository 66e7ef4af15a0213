/**
 * Every constant of a plan that can tell two packets apart by an address or a port, as cuts.
 *
 * What a host asks of an address beyond these is no constant, and whoever asks says so while
 * packets pass (`RuleObserver.exact` of node/counters.ts): masks with holes, neighbours that no
 * plan lists, groups, whose MAC is made of the address. Rules that keep accounts make their packets
 * opaque (engine/compiled/decision/rule-facts.ts), so their constants are not cut either; nor are
 * those of nft's own rules, whose packets are told apart by exact values.
 * @module
 */

import type { Cut, PrefixAnswer } from '../../image/classes/cut.ts';
import { SIDES } from '../../image/classes/cut.ts';
import { type FibRoute, LOCAL_TABLE } from '../../image/route/fib.ts';
import type { Plan } from '../../plan/model.ts';
import {
  type Family,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskAddress,
  type Prefix,
} from '../../wire/address/address.ts';
import { prefixCut } from './prefix-cut.ts';
import { ruleCuts } from './rule-cuts.ts';

const FAMILIES = [4, 6] as const;
/** Tables of so many routes are remembered whole, so that equal ones are asked once. */
const MOST_REMEMBERED = 64;

/** All cuts of one host. `routes` are all that its tables hold, in their order. */
export function* hostCuts(plan: Plan, routes: readonly FibRoute[]): Generator<Cut> {
  yield* routeCuts(routes);
  for (const { from, to } of plan.routingRules) {
    // The way back is looked up with the ends turned round.
    if (from !== undefined) yield prefixCut(from, SIDES, 'routing rules');
    if (to !== undefined) yield prefixCut(to, SIDES, 'routing rules');
  }
  for (const { name, addresses } of plan.interfaces) {
    for (const { address, length } of addresses) {
      yield prefixCut({ address, length }, SIDES, `subnet of ${name}`);
      yield prefixCut(hostPrefix(address), SIDES, `address of ${name}`);
    }
  }
  yield* neighborCuts(plan);
  yield* ruleCuts(plan);
  yield* bridgeRuleCuts(plan);
}

/** Which route of a table? Longer ones may be unusable, so all that hold an address count. */
function* routeCuts(routes: readonly FibRoute[]): Generator<Cut> {
  for (const family of FAMILIES) {
    const own = routes.filter((route) => route.family === family);
    for (const table of new Set(own.map((route) => route.table))) {
      const answers = routeAnswers(own.filter((route) => route.table === table));
      const what = table === LOCAL_TABLE ? 'local addresses' : `routes of table ${table}`;
      yield {
        ...{ kind: 'address', family, sides: SIDES, what, chained: true, answers: () => answers },
        ...(answers.length <= MOST_REMEMBERED ? { key: textOf(answers) } : {}),
      };
    }
  }
}

function routeAnswers(routes: readonly FibRoute[]): readonly PrefixAnswer[] {
  const byPrefix = new Map<string, { readonly prefix: Prefix; readonly texts: string[] }>();
  for (const route of routes) {
    const { destination } = route;
    const prefix = {
      ...destination,
      address: maskAddress(destination.address, destination.length),
    };
    const key = formatPrefix(prefix);
    const known = byPrefix.get(key) ?? { prefix, texts: [] };
    byPrefix.set(key, known);
    known.texts.push(routeText(route));
  }
  return [...byPrefix.values()].map(({ prefix, texts }) => ({
    prefix,
    answer: `/${prefix.length} ${texts.join(', ')}`,
  }));
}

function routeText(route: FibRoute): string {
  const { type, device = '', via, source, metric, scope, assumed = false } = route;
  const ends = [via, source].map((end) => (end === undefined ? '-' : formatAddress(end)));
  return [type, device, ...ends, metric, scope, assumed ? 'assumed' : ''].join(' ');
}

/** Which MAC? Asked of the next hop, which is the destination where a route has no gateway. */
function* neighborCuts(plan: Plan): Generator<Cut> {
  const byDevice = new Map<string, PrefixAnswer[]>();
  for (const { device, address, mac, state } of plan.neighbors) {
    const key = `${address.family} ${device}`;
    const answers = byDevice.get(key) ?? [];
    byDevice.set(key, answers);
    answers.push({ prefix: hostPrefix(address), answer: `${mac} ${state}` });
  }
  for (const [key, answers] of byDevice) {
    const family: Family = key.startsWith('4') ? 4 : 6;
    const what = `neighbours on ${key.slice(2)}`;
    const sides = ['destination'] as const;
    yield {
      ...{ kind: 'address', family, sides, what, chained: false, answers: () => answers },
      ...(answers.length <= MOST_REMEMBERED ? { key: `neighbours ${textOf(answers)}` } : {}),
    };
  }
}

function* bridgeRuleCuts(plan: Plan): Generator<Cut> {
  const rules = plan.ebtables.flatMap((table) => table.chains.flatMap((chain) => chain.rules));
  for (const match of rules.flatMap((rule) => rule.matches)) {
    if (match.kind === 'ipSource') yield prefixCut(match.net, ['source'], 'ebtables');
    if (match.kind === 'ipDestination') yield prefixCut(match.net, ['destination'], 'ebtables');
  }
}

function textOf(answers: readonly PrefixAnswer[]): string {
  return answers.map(({ prefix, answer }) => `${formatPrefix(prefix)} ${answer}`).join('\n');
}
