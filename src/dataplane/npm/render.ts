/**
 * Azure Network Policy Manager, version 2, on Linux: what it programs on every node.
 *
 * Every node has all policies and all sets of the cluster, so the rules are worked out once and
 * written to each node; IPv4 only. The product's README says what this does to a packet.
 * @module
 */
import type { Node } from '../../cluster/model.ts';
import { type Diagnostic, UserError } from '../../diagnostic/diagnostic.ts';
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { PlanBuilder } from '../../plan/builder.ts';
import { policyId } from '../../policy/model.ts';
import type { NetworkRenderer, PolicyRenderer, RenderInput } from '../dataplane.ts';
import { type NpmChain, npmChains, placeJump, policyChainName } from './chains.ts';
import { SetTable } from './set-table.ts';
import { isRejected, type NpmPolicy, translatePolicy } from './translate.ts';
import { type NpmBehavior, npmBehavior, PLACE_FIRST_OPTION, VERSION_OPTION } from './version.ts';

/** What NPM programs, the same on all nodes. */
interface NpmProgram {
  readonly chains: readonly NpmChain[];
  readonly sets: readonly IpSet[];
  readonly warnings: readonly Diagnostic[];
}

export const npm: PolicyRenderer = {
  name: 'npm',
  options: [VERSION_OPTION, PLACE_FIRST_OPTION],
  node: renderNode,
  warnings: (input) => npmProgram(input).warnings,
};

function renderNode(
  input: RenderInput,
  _node: Node,
  _network: NetworkRenderer,
  builder: PlanBuilder,
): void {
  const program = npmProgram(input);
  builder.ipsets.push(...program.sets);
  for (const { name, rules } of program.chains) {
    builder.ensureChain(4, 'filter', name);
    builder.append(4, 'filter', name, ...rules);
  }
  const first = input.stack.options[PLACE_FIRST_OPTION.name] === 'true';
  placeJump(builder, first ? 'first' : 'after-kube-services');
}

const memo = new WeakMap<RenderInput, NpmProgram>();

function npmProgram(input: RenderInput): NpmProgram {
  const known = memo.get(input);
  if (known) return known;
  const made = makeProgram(input, npmBehavior(input.stack));
  memo.set(input, made);
  return made;
}

function makeProgram(input: RenderInput, behavior: NpmBehavior): NpmProgram {
  const table = new SetTable(behavior);
  table.addCluster(input.cluster);
  const warnings: Diagnostic[] = [];
  const policies: NpmPolicy[] = [];
  const owners = new Map<string, string>();
  for (const policy of input.policies) {
    const translated = translatePolicy(policy, behavior);
    warnings.push(...translated.warnings);
    if (isRejected(translated)) continue;
    if (!claimChains(translated, behavior, owners, warnings)) continue;
    policies.push(translated);
  }
  for (const policy of policies) {
    for (const { set } of policy.selector) table.ensure(set);
    for (const acl of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
      for (const { set } of acl.peers) table.ensure(set);
      if (acl.namedPort) table.ensure(acl.namedPort);
    }
  }
  const chains = npmChains(policies, behavior, (set) => table.nameOf(set));
  const sets = table.build();
  return { chains, sets, warnings: [...warnings, ...table.warnings] };
}

/**
 * Give a policy its chain names. Since 1.6.46 NPM leaves out a policy whose chain another owns;
 * before, both wrote into one chain in an order that chance decides, which is refused here.
 */
function claimChains(
  policy: NpmPolicy,
  behavior: NpmBehavior,
  owners: Map<string, string>,
  warnings: Diagnostic[],
): boolean {
  const chain = policyChainName(policy.key, 'ingress', behavior);
  const owner = owners.get(chain);
  if (owner === undefined) {
    owners.set(chain, policy.key);
    return true;
  }
  const { source } = policy.policy;
  const problem: Diagnostic = {
    code: 'NPM_CHAINS_COLLIDE',
    file: source.file,
    line: source.line,
    object: policyId(policy.policy),
    message: `its chain name is the one of policy ${owner}`,
    found: chain,
  };
  if (behavior.names === 'fnv') {
    throw new UserError([
      {
        ...problem,
        message: `${problem.message}: what this version of NPM then does depends on chance`,
        accepted: 'another policy name, or version=1.6.46 and later',
      },
    ]);
  }
  warnings.push({ ...problem, message: `${problem.message}, so NPM does not apply it` });
  return false;
}
