/**
 * The two chains of a pod, `cali-tw-` (to it: ingress) and `cali-fw-` (from it: egress), and the
 * groups that policies with one selector share.
 *
 * Order: established accepted, invalid dropped, bits cleared, tunnels from pods dropped, the
 * policies of tier `default` with the drop at its end, the profiles, the last drop. A direction
 * without policies has no tier rules, so the profiles decide.
 * Source: felix/rules/endpoints.go `endpointIptablesChain`, `PolicyGroupToIptablesChains`,
 * felix/dataplane/linux/endpoint_mgr.go `groupPolicies`.
 * @module
 */
import type { Provenance } from '../../../netfilter/rule.ts';
import { Protocol } from '../../../wire/protocol.ts';
import { groupChainName } from '../names.ts';
import type { FelixConfig } from '../options.ts';
import type { CalicoPolicy, Direction } from '../policy/conversion.ts';
import type { Release } from '../release.ts';
import { fromEndpointChain, toEndpointChain } from './dispatch.ts';
import type { FelixChain, FelixRule } from './felix-rule.ts';
import {
  ACCEPT,
  clearMark,
  conntrack,
  DROP,
  destinationPorts,
  jump,
  markClear,
  markNotClear,
  markSet,
  protocolNumber,
  RETURN,
  setMark,
} from './fragment.ts';
import { policyChainName, profileChainName } from './policy-chains.ts';

/** felix `VXLANPort`: dropped from pods also where Calico makes no tunnels. */
const VXLAN_PORT = 4789;
/** A group's chain returns after this many jumps when one of them decided. */
const RETURN_STRIDE = 5;

export interface EndpointChainInput {
  readonly device: string;
  readonly direction: Direction;
  /** Of the policies that select the endpoint (`policyTier`). */
  readonly tier: readonly FelixRule[];
  readonly profiles: readonly string[];
}

/** Policies in a row that have one selector; more than one have a chain of their own. */
interface Group {
  readonly policies: readonly CalicoPolicy[];
  /** Chains to jump to: the group's own, or the only policy's. */
  readonly chain: string;
}

export function endpointChain(config: FelixConfig, input: EndpointChainInput): FelixChain {
  const { direction, device } = input;
  const { marks, clearsPass } = config.release;
  const rules: FelixRule[] = [
    ...conntrackRules(config),
    { action: clearMark(clearsPass ? marks.accept | marks.pass : marks.accept) },
    ...(direction === 'egress' ? TUNNELS_FROM_PODS : []),
    ...input.tier,
    ...input.profiles.flatMap((profile): FelixRule[] => [
      { action: jump(profileChainName(profile, direction)) },
      {
        comments: ['Return if profile accepted'],
        matches: [markSet(marks.accept)],
        action: RETURN,
      },
    ]),
    { comments: ['Drop if no profiles matched'], action: DROP },
  ];
  const name = direction === 'egress' ? fromEndpointChain(device) : toEndpointChain(device);
  return { name, rules };
}

function conntrackRules({ filterAllow, release }: FelixConfig): FelixRule[] {
  const established = conntrack('RELATED', 'ESTABLISHED');
  const allowed: FelixRule[] =
    filterAllow === 'accept'
      ? [{ matches: [established], action: ACCEPT }]
      : [
          { matches: [established], action: setMark(release.marks.accept) },
          { matches: [established], action: RETURN },
        ];
  return [...allowed, { matches: [conntrack('INVALID')], action: DROP }];
}

const TUNNELS_FROM_PODS: readonly FelixRule[] = [
  {
    comments: ['Drop VXLAN encapped packets originating in workloads'],
    matches: [
      protocolNumber(Protocol.udp),
      destinationPorts([{ low: VXLAN_PORT, high: VXLAN_PORT }]),
    ],
    action: DROP,
  },
  {
    comments: ['Drop IPinIP encapped packets originating in workloads'],
    matches: [protocolNumber(Protocol.ipip)],
    action: DROP,
  },
];

/** What endpoints with the same policies have in common. */
export interface PolicyTier {
  /** Rules of tier `default`; none when it has no policy in this direction. */
  readonly rules: readonly FelixRule[];
  /** The chains of those groups of the policies that have one. */
  readonly groups: readonly FelixChain[];
}

export function policyTier(
  release: Release,
  policies: readonly CalicoPolicy[],
  direction: Direction,
): PolicyTier {
  const applied = policies.filter((policy) => policy.applies[direction]);
  return {
    rules: tierRules(release, applied, direction),
    groups: groupChains(release, applied, direction),
  };
}

function tierRules(
  release: Release,
  policies: readonly CalicoPolicy[],
  direction: Direction,
): FelixRule[] {
  if (policies.length === 0) return [];
  const { accept, pass } = release.marks;
  const select = origins(policies, direction, 'select');
  const startComment =
    release.tierStart === 'named' ? 'Start of tier default' : 'Start of policies';
  const start: FelixRule[] =
    release.tierStart === 'none'
      ? []
      : [{ comments: [startComment], action: clearMark(pass), origin: select }];
  const jumps = policyGroups(release, policies, direction).flatMap((group): FelixRule[] => {
    const origin = origins(group.policies, direction, 'select');
    return [
      { matches: [markClear(pass)], action: jump(group.chain), origin },
      {
        comments: ['Return if policy accepted'],
        matches: [markSet(accept)],
        action: RETURN,
        origin,
      },
    ];
  });
  const end = release.namedTierEnd ? 'End of tier default. ' : '';
  return [
    ...start,
    ...jumps,
    {
      comments: [`${end}Drop if no policies passed packet`],
      matches: [markClear(pass)],
      action: DROP,
      origin: origins(policies, direction, 'isolate'),
    },
  ];
}

function origins(
  policies: readonly CalicoPolicy[],
  direction: Direction,
  effect: 'select' | 'isolate',
): Provenance[] {
  return policies.map((p) => p.origin(direction, effect));
}

function policyGroups(
  release: Release,
  policies: readonly CalicoPolicy[],
  direction: Direction,
): Group[] {
  const runs: CalicoPolicy[][] = [];
  for (const policy of policies) {
    const run = runs.at(-1);
    if (release.groups && run?.[0]?.selectorText === policy.selectorText) run.push(policy);
    else runs.push([policy]);
  }
  return runs.map((run) => ({ policies: run, chain: groupChain(release, run, direction) }));
}

function groupChain(release: Release, run: readonly CalicoPolicy[], direction: Direction): string {
  const [first] = run;
  if (first !== undefined && run.length === 1) return policyChainName(first, direction);
  return groupChainName(release, {
    direction: direction === 'ingress' ? 'inbound' : 'outbound',
    selector: first?.selectorText ?? '',
    policies: run.map((p) => p.names.group),
  });
}

function groupChains(
  release: Release,
  policies: readonly CalicoPolicy[],
  direction: Direction,
): FelixChain[] {
  const groups = policyGroups(release, policies, direction).filter((g) => g.policies.length > 1);
  return groups.map(({ chain, policies: run }) => {
    const { accept, pass } = release.marks;
    const rules = run.flatMap((policy, i): FelixRule[] => {
      const origin = origins([policy], direction, 'select');
      const first = i % RETURN_STRIDE === 0;
      const jumpRule: FelixRule = {
        matches: first ? [] : [markClear(pass | accept)],
        action: jump(policyChainName(policy, direction)),
        origin,
      };
      if (!first || i === 0) return [jumpRule];
      const decided: FelixRule = {
        comments: ['Return on verdict'],
        matches: [markNotClear(pass | accept)],
        action: RETURN,
        // Those before have had a rule like this of their own.
        origin: origins(run.slice(i - RETURN_STRIDE, i), direction, 'select'),
      };
      return [decided, jumpRule];
    });
    return { name: chain, rules };
  });
}
