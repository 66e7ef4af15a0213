/**
 * Calico's policy on an AKS node: what Felix programs with the iptables dataplane.
 *
 * Felix writes only chains that something refers to, only policies that select one of the node's
 * pods, and only sets that those policies name. README.md in this folder says what is covered.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { TableName } from '../../netfilter/hook.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import type { Family } from '../../wire/address/address.ts';
import type { NetworkRenderer, PolicyRenderer, RenderInput, Stack } from '../dataplane.ts';
import { dispatchChains } from './chains/dispatch.ts';
import { endpointChain } from './chains/endpoint-chains.ts';
import { type FelixChain, planRules, targetChain } from './chains/felix-rule.ts';
import { type Hooked, SharedChains } from './chains/shared-chains.ts';
import { type Endpoint, EndpointIndex, workloadEndpoints } from './endpoints.ts';
import { workloadInterface } from './names.ts';
import { CALICO_OPTIONS, type FelixConfig, felixConfig } from './options.ts';
import {
  type CalicoPolicy,
  conversionWarnings,
  convertPolicies,
  type Direction,
} from './policy/conversion.ts';
import { matches } from './policy/selector.ts';
import { baseSets, FAMILIES, SetCatalog } from './sets.ts';

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
const FELIX_TABLES: readonly TableName[] = ['raw', 'mangle', 'nat', 'filter'];

export const calico: PolicyRenderer = {
  name: 'calico',
  options: CALICO_OPTIONS,
  node: renderNode,
  warnings: (input) => conversionWarnings(input.policies),
};

/** What all nodes of a cluster share. */
interface Converted {
  readonly config: FelixConfig;
  readonly endpointsOf: ReadonlyMap<string, readonly Endpoint[]>;
  readonly policiesOf: ReadonlyMap<string, readonly CalicoPolicy[]>;
  readonly sets: SetCatalog;
  readonly chains: SharedChains;
}

/** Inputs are immutable, so what was worked out for one node serves the others. */
const converted = new WeakMap<RenderInput, Converted>();

function convert(input: RenderInput): Converted {
  const known = converted.get(input);
  if (known) return known;
  const config = felixConfig(input.stack);
  const endpoints = workloadEndpoints(input.cluster);
  const policies = convertPolicies(input.policies, config.release);
  const made: Converted = {
    config,
    endpointsOf: groupBy(endpoints, (e) => e.pod.node),
    policiesOf: groupBy(policies, (p) => p.namespace),
    sets: new SetCatalog(new EndpointIndex(endpoints)),
    chains: new SharedChains(config, input.cluster.ipPools ?? []),
  };
  converted.set(input, made);
  return made;
}

function groupBy<T>(list: readonly T[], key: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) {
    const group = groups.get(key(one));
    if (group) group.push(one);
    else groups.set(key(one), [one]);
  }
  return groups;
}

/** A pod of this node with its interface and the policies that select it. */
export interface LocalEndpoint {
  readonly device: string;
  readonly profiles: readonly string[];
  readonly policies: readonly CalicoPolicy[];
}

function renderNode(
  input: RenderInput,
  node: Node,
  network: NetworkRenderer,
  builder: PlanBuilder,
): void {
  const { config, endpointsOf, policiesOf, sets, chains } = convert(input);
  const endpoints = endpointsOf.get(node.name) ?? [];
  refuseForeignDevices(config, endpoints, network, input.stack);
  const local = endpoints.map(({ pod, profiles, labels }): LocalEndpoint => {
    const policies = policiesOf.get(pod.namespace) ?? [];
    return {
      device: network.hostDevice(pod, input.stack),
      profiles,
      policies: policies.filter((p) => matches(p.selector, labels)),
    };
  });
  const pools = input.cluster.ipPools ?? [];
  writeFelix(config, local, builder, chains);
  const rules = activePolicies(local).flatMap((policy) =>
    DIRECTIONS.flatMap((direction) => policy.rules[direction].map((rule) => ({ rule, direction }))),
  );
  const foreign = builder.interfaces.filter((i) => !i.name.startsWith(config.interfacePrefix));
  builder.ipsets.push(...baseSets(config.release, foreign, pools), ...sets.forRules(rules));
}

/**
 * Felix works out a pod's interface from its name. Where the network calls it otherwise, Felix
 * would drop all of the pod's packets as 'Unknown interface' or not see them at all: no user means
 * that, so it is refused.
 */
function refuseForeignDevices(
  config: FelixConfig,
  endpoints: readonly Endpoint[],
  network: NetworkRenderer,
  stack: Stack,
): void {
  const problems = endpoints.flatMap(({ pod }): Diagnostic[] => {
    const expected = workloadInterface(config.interfacePrefix, pod.namespace, pod.name);
    const found = network.hostDevice(pod, stack);
    if (found === expected) return [];
    return [
      {
        code: 'CALICO_INTERFACE',
        object: `${pod.namespace}/Pod/${pod.name}`,
        message: `network ${network.name} names the pod's interface otherwise than Calico does`,
        found,
        accepted: `${expected}, or another interfacePrefix`,
      },
    ];
  });
  if (problems.length > 0) throw new UserError(problems);
}

function activePolicies(local: readonly LocalEndpoint[]): CalicoPolicy[] {
  return [...new Set(local.flatMap((e) => e.policies))];
}

/** Felix's chains of all tables and both families, hooked into the built-in chains. */
export function writeFelix(
  config: FelixConfig,
  local: readonly LocalEndpoint[],
  builder: PlanBuilder,
  shared: SharedChains = new SharedChains(config, []),
): void {
  for (const family of FAMILIES) {
    for (const table of FELIX_TABLES) {
      const chains = felixChains(config, { table, family, local, shared });
      writeTable(shared.hooks, table, family, chains, builder);
    }
  }
}

/** Every chain that Felix could write into a table. */
function felixChains(
  config: FelixConfig,
  what: {
    readonly table: TableName;
    readonly family: Family;
    readonly local: readonly LocalEndpoint[];
    readonly shared: SharedChains;
  },
): readonly FelixChain[] {
  const { table, family, local, shared } = what;
  const fixed = shared.fixed(table, family);
  if (table !== 'filter') return fixed;
  const perEndpoint = local.flatMap(({ device, profiles, policies }) =>
    DIRECTIONS.flatMap((direction) => {
      const { rules, groups } = shared.tier(policies, direction);
      return [endpointChain(config, { device, direction, tier: rules, profiles }), ...groups];
    }),
  );
  const profiles = [...new Set(local.flatMap((e) => e.profiles))];
  return [
    ...fixed,
    ...dispatchChains(local.map((e) => e.device)),
    ...perEndpoint,
    ...activePolicies(local).flatMap((policy) =>
      DIRECTIONS.map((direction) => shared.policy(policy, direction, family)),
    ),
    ...profiles.flatMap((profile) =>
      DIRECTIONS.map((direction) => shared.profile(profile, direction)),
    ),
  ];
}

/** Hook the table's built-in chains and write what is reachable from them, sorted by name. */
function writeTable(
  hooks: readonly Hooked[],
  table: TableName,
  family: Family,
  chains: readonly FelixChain[],
  builder: PlanBuilder,
): void {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const own = hooks.filter((hook) => hook.table === table);
  const reached = new Set<string>();
  const queue: FelixChain[] = own.flatMap(({ inserted, appended }) => [
    { name: inserted.name, rules: [...inserted.rules, ...appended.rules] },
  ]);
  for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
    for (const rule of chain.rules) {
      const next = byName.get(targetChain(rule) ?? '');
      if (next === undefined || reached.has(next.name)) continue;
      reached.add(next.name);
      queue.push(next);
    }
  }
  for (const name of [...reached].sort()) {
    builder.ensureChain(family, table, name);
    const chain = byName.get(name);
    if (chain) builder.extend(family, table, name, planRules(chain));
  }
  for (const { chain, inserted, appended } of own) {
    for (const rule of planRules(inserted).toReversed()) {
      builder.insert(family, table, chain, rule);
    }
    builder.extend(family, table, chain, planRules(appended));
  }
}
