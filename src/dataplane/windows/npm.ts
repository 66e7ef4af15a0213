/**
 * Azure NPM on Windows: each NetworkPolicy as access rules of the endpoints that it selects.
 *
 *   201   Allow  In   from the node's address (readiness probes; once a policy)
 *   222   Allow  what the policy allows
 *   3000  Block  the rest of each of its directions
 *
 * A rule stands on the pods of this node only, so a packet is judged where it leaves and where it
 * arrives, and nowhere between. What Windows can not do is refused policy by policy, in NPM's own
 * words: what it isolates is open there, what it allows not allowed by it. Between a Linux and a
 * Windows pod it holds all the same: NPM on Linux knows the pods of all nodes and judges both ends.
 *
 * Source: azure-container-networking `npm/pkg/dataplane/policies/policy_windows.go`
 * (`convertToAclSettings`), `policymanager_windows.go` (`getSettingsFromACL`), errors of
 * `npm/pkg/controlplane/translation/translatePolicy.go` and `parseSelector.go`, commit cbd7560cf.
 * @module
 */
import { formatSource, type Node, type Pod } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { AclTerm, HnsAcl } from '../../plan/hns/model.ts';
import { type NetworkPolicy, policyId } from '../../policy/model.ts';
import { selects } from '../../policy/select.ts';
import { hostPrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { podsOf } from '../azure-cni/neighbors.ts';
import type { RenderInput } from '../dataplane.ts';
import type { SetUse } from '../npm/set.ts';
import { SetTable } from '../npm/set-table.ts';
import { type Acl, type Direction, translatePolicy } from '../npm/translate.ts';
import { npmBehavior } from '../npm/version.ts';

const ALLOW = 222;
const BLOCK = 3000;
const PROBES = 201;

const PROTOCOLS = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp } as const;

/** A policy as NPM keeps it for Windows endpoints. */
interface WindowsPolicy {
  readonly policy: NetworkPolicy;
  readonly id: string;
  readonly acls: readonly HnsAcl[];
}

interface Program {
  readonly policies: readonly WindowsPolicy[];
  readonly sets: ReadonlyMap<string, IpSet>;
  readonly warnings: readonly Diagnostic[];
}

const memo = new WeakMap<RenderInput, Program>();

function programOf(input: RenderInput): Program {
  const known = memo.get(input);
  if (known) return known;
  const made = makeProgram(input);
  memo.set(input, made);
  return made;
}

/** The access rules of one pod, and the sets that they name. */
export function npmAcls(
  input: RenderInput,
  node: Node,
  pod: Pod,
): { readonly acls: readonly HnsAcl[]; readonly sets: readonly IpSet[] } {
  const { policies, sets } = programOf(input);
  const own = policies.filter(({ policy }) => chooses(policy, pod));
  const acls = own.flatMap((one) => [...one.acls, ...probes(one, node)]);
  const named = acls.flatMap(({ source, destination }) => [
    ...setsOf(source),
    ...setsOf(destination),
  ]);
  return { acls, sets: named.flatMap((set) => withMembers(set, sets)) };
}

/** What NPM does otherwise on Windows, for policies that select pods there. */
export function npmWarnings(input: RenderInput): readonly Diagnostic[] {
  return programOf(input).warnings;
}

function makeProgram(input: RenderInput): Program {
  const behavior = npmBehavior(input.stack);
  const table = new SetTable(behavior);
  table.addCluster(input.cluster);
  const pods = input.cluster.nodes
    .filter((node) => node.os === 'windows')
    .flatMap((node) => podsOf(input.cluster, node.name));
  const warnings: Diagnostic[] = [];
  const translated = input.policies
    .filter((policy) => pods.some((pod) => chooses(policy, pod)))
    .flatMap((policy) => {
      const made = translatePolicy(policy, behavior);
      if (!('key' in made)) return [];
      const lists = { ingress: made.ingress ?? [], egress: made.egress ?? [] };
      const reason = refusal(made.selector, [...lists.ingress, ...lists.egress], lists.ingress);
      if (reason !== null) {
        warnings.push(refused(policy, reason));
        return [];
      }
      if (lists.egress.some((acl) => acl.peers.some((peer) => !peer.included))) {
        warnings.push(negationLost(policy));
      }
      for (const { peers } of [...lists.ingress, ...lists.egress]) {
        for (const { set } of peers) table.ensure(set);
      }
      return [{ policy, lists }];
    });
  const sets = new Map(table.build().map((set) => [set.name, set]));
  const setOf = (use: SetUse) => sets.get(table.nameOf(use.set));
  const policies = translated.map(({ policy, lists }): WindowsPolicy => {
    const id = `azure-acl-${policy.namespace}-${policy.name}`;
    const list = (direction: Direction) =>
      lists[direction].map((acl) => hnsAcl(id, direction, acl, setOf));
    return { policy, id, acls: [...list('ingress'), ...list('egress')] };
  });
  return { policies, sets, warnings };
}

function chooses(policy: NetworkPolicy, pod: Pod): boolean {
  return pod.namespace === policy.namespace && selects(policy.podSelector, pod.labels);
}

/** Why NPM leaves the policy out on Windows, in its words; null when it does not. */
function refusal(
  selector: readonly SetUse[],
  acls: readonly Acl[],
  ingress: readonly Acl[],
): string | null {
  const uses = [...selector, ...acls.flatMap((acl) => acl.peers)];
  const isOfPods = ({ set }: SetUse) => set.kind === 'pods' || set.kind === 'nested';
  if (uses.some((use) => !use.included && isOfPods(use))) {
    return 'unsupported NotExist operator translation features used on windows';
  }
  if (uses.some(({ set }) => set.kind === 'cidr' && set.members.some((m) => m.nomatch))) {
    return 'unsupported Except CIDR block translation features used on windows';
  }
  if (acls.some((acl) => acl.namedPort !== null)) {
    return 'unsupported namedport translation features used on windows';
  }
  if (acls.some((acl) => acl.protocol === 'SCTP')) {
    return 'unsupported SCTP protocol used on windows';
  }
  // Asked of the source only: in egress rules the negation is lost instead (`negationLost`).
  return ingress.some((acl) => acl.peers.some((peer) => !peer.included))
    ? 'Negative match types is not supported in windows dataplane'
    : null;
}

function refused(policy: NetworkPolicy, reason: string): Diagnostic {
  const message =
    `Azure NPM does not apply this policy on Windows nodes ("${reason}"): only what passes a ` +
    'Linux node is judged by it';
  return warningOf(policy, 'NPM_WINDOWS_REFUSED', message);
}

function negationLost(policy: NetworkPolicy): Diagnostic {
  const message =
    'Azure NPM on Windows drops the negation of a namespaceSelector in egress rules: it allows ' +
    'exactly the namespaces that the policy excludes';
  return warningOf(policy, 'NPM_WINDOWS_NEGATION', message);
}

function warningOf(policy: NetworkPolicy, code: string, message: string): Diagnostic {
  const { file, line, column } = policy.source;
  return { code, file, line, column, object: policyId(policy), message };
}

function hnsAcl(
  id: string,
  direction: Direction,
  acl: Acl,
  setOf: (use: SetUse) => IpSet | undefined,
): HnsAcl {
  const sets = acl.peers.flatMap((use) => setOf(use) ?? []);
  const peer: AclTerm | null = sets.length === 0 ? null : { kind: 'sets', sets };
  const isAllow = acl.effect === 'allow';
  return {
    id,
    action: isAllow ? 'Allow' : 'Block',
    direction: direction === 'ingress' ? 'In' : 'Out',
    priority: isAllow ? ALLOW : BLOCK,
    ruleType: 'Switch',
    protocol: acl.protocol === null ? null : PROTOCOLS[acl.protocol],
    source: direction === 'ingress' ? peer : null,
    destination: direction === 'egress' ? peer : null,
    ports: acl.ports === null ? [] : [acl.ports],
    origin: [acl.origin],
  };
}

/** The node may always ask its pods, whatever the policy says. */
function probes({ policy, id }: WindowsPolicy, node: Node): readonly HnsAcl[] {
  const [address] = node.addresses.filter((a) => a.family === 4);
  if (address === undefined) return [];
  return [
    {
      id,
      action: 'Allow',
      direction: 'In',
      priority: PROBES,
      ruleType: 'Switch',
      protocol: null,
      source: { kind: 'nets', nets: [hostPrefix(address)] },
      destination: null,
      ports: [],
      origin: [
        {
          object: policyId(policy),
          direction: 'ingress',
          effect: 'platform',
          field: "the node's readiness probes",
          source: formatSource(policy.source),
        },
      ],
    },
  ];
}

function setsOf(term: AclTerm | null): readonly IpSet[] {
  return term?.kind === 'sets' ? term.sets : [];
}

/** A set and, of a list, the sets inside it: those first. */
function withMembers(set: IpSet, all: ReadonlyMap<string, IpSet>): readonly IpSet[] {
  const inner = set.members.flatMap((member) =>
    member.kind === 'set' ? (all.get(member.set) ?? []) : [],
  );
  return [...inner, set];
}
