/**
 * Calico for Windows: what Felix gives the endpoints of a Windows node.
 *
 *   900     Allow  In   from the node's addresses
 *   1000 …  the rules of the policies that apply, one priority more where the action changes
 *   then    Block  the rest of each direction that a policy applies to
 *
 * A direction without a policy has the namespace's profile, which allows. IPv4 only. Rules that
 * Windows can not express are left out one by one and the rest stays, so such a rule fails closed.
 *
 * Source: projectcalico/calico `felix/dataplane/windows/policysets/policysets.go`
 * (`protoRuleToHnsRules`, `GetPolicySetRules`), `endpoint_mgr.go` (`nodeToEndpointRule`,
 * `NewHostRule`), commit 87c15906.
 * @module
 */
import type { Node, Pod } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { IpSet } from '../../netfilter/ip-set.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import type { AclTerm, HnsAcl } from '../../plan/hns/model.ts';
import { hostPrefix } from '../../wire/address/address.ts';
import { Protocol } from '../../wire/protocol.ts';
import { type Endpoint, EndpointIndex, workloadEndpoints } from '../calico/endpoints.ts';
import { setName } from '../calico/names.ts';
import { felixConfig } from '../calico/options.ts';
import {
  type CalicoPolicy,
  type CalicoRule,
  convertPolicies,
  type Direction,
} from '../calico/policy/conversion.ts';
import { matches } from '../calico/policy/selector.ts';
import { ruleSets, SetCatalog } from '../calico/sets.ts';
import { podHost, type RenderInput } from '../dataplane.ts';

const HOST_TO_ENDPOINT = 900;
const FIRST = 1000;
const PROTOCOLS = { TCP: Protocol.tcp, UDP: Protocol.udp, SCTP: Protocol.sctp } as const;

interface Program {
  readonly policies: readonly CalicoPolicy[];
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  readonly catalog: SetCatalog;
}

const memo = new WeakMap<RenderInput, Program>();

function programOf(input: RenderInput): Program {
  const known = memo.get(input);
  if (known) return known;
  const { release } = felixConfig(input.stack);
  const endpoints = workloadEndpoints(input.cluster);
  const made = {
    policies: convertPolicies(input.policies, release),
    endpoints: new Map(endpoints.map((e) => [podHost(e.pod), e])),
    catalog: new SetCatalog(new EndpointIndex(endpoints)),
  };
  memo.set(input, made);
  return made;
}

/** The access rules that Felix gives a pod, and the sets that stand for their addresses. */
export function calicoAcls(
  input: RenderInput,
  node: Node,
  pod: Pod,
): { readonly acls: readonly HnsAcl[]; readonly sets: readonly IpSet[] } {
  const { policies, endpoints, catalog } = programOf(input);
  const endpoint = endpoints.get(podHost(pod));
  if (endpoint === undefined) return { acls: [], sets: [] };
  const own = policies.filter(
    (p) => p.namespace === pod.namespace && matches(p.selector, endpoint.labels),
  );
  const used: IpSet[] = [];
  const setOf = (rule: CalicoRule, direction: Direction): IpSet | null => {
    const { peer } = ruleSets(rule, direction);
    if (peer === null) return null;
    const name = setName(4, peer);
    const found = catalog.forRules([{ rule, direction }]).find((set) => set.name === name) ?? null;
    if (found !== null) used.push(found);
    return found;
  };
  const acls = (['ingress', 'egress'] as const).flatMap((direction) =>
    directionAcls(own, direction, pod.namespace, setOf),
  );
  return { acls: [...fromNode(node), ...acls, ...HOST_RULES], sets: used };
}

function directionAcls(
  own: readonly CalicoPolicy[],
  direction: Direction,
  namespace: string,
  setOf: (rule: CalicoRule, direction: Direction) => IpSet | null,
): readonly HnsAcl[] {
  const applied = own.filter((p) => p.applies[direction]);
  if (applied.length === 0) return profileAcls(namespace, direction);
  const allows = applied.flatMap((policy) =>
    policy.rules[direction].flatMap((rule) =>
      ruleAcls(policy, rule, direction, setOf(rule, direction)),
    ),
  );
  // Rules of NetworkPolicies all allow, so they share one priority.
  const origin = applied.map((policy) => policy.origin(direction, 'isolate'));
  return [...allows, plain(direction, 'Block', FIRST + 1, origin)];
}

/** Why Felix leaves a rule out on Windows; null when it does not. */
function unsupported(rule: CalicoRule): string | null {
  if (rule.block !== null && rule.block.except.length > 0)
    return 'negative match criteria (except)';
  return rule.namedPorts.length > 0 ? 'named ports' : null;
}

function ruleAcls(
  policy: CalicoPolicy,
  rule: CalicoRule,
  direction: Direction,
  set: IpSet | null,
): readonly HnsAcl[] {
  if (unsupported(rule) !== null) return [];
  if (rule.block !== null && rule.block.net.address.family !== 4) return [];
  const peer: AclTerm | null =
    rule.block !== null
      ? { kind: 'nets', nets: [rule.block.net] }
      : set !== null
        ? { kind: 'members', set }
        : null;
  const acl = plain(direction, 'Allow', FIRST, [rule.origin]);
  return [
    {
      ...acl,
      id: `policy-${policy.names.chain}`,
      protocol: rule.protocol === null ? null : PROTOCOLS[rule.protocol],
      source: direction === 'ingress' ? peer : null,
      destination: direction === 'egress' ? peer : null,
      ports: rule.ports,
    },
  ];
}

/** `kns.NAMESPACE` allows everything; what follows it is never reached. */
function profileAcls(namespace: string, direction: Direction): readonly HnsAcl[] {
  const origin: Provenance = { object: `Profile/kns.${namespace}`, direction, effect: 'platform' };
  return [
    { ...plain(direction, 'Allow', FIRST, [origin]), id: `profile-kns.${namespace}` },
    plain(direction, 'Block', FIRST + 1, [origin]),
  ];
}

function plain(
  direction: Direction,
  action: HnsAcl['action'],
  priority: number,
  origin: readonly Provenance[],
): HnsAcl {
  return {
    id: '',
    action,
    direction: direction === 'ingress' ? 'In' : 'Out',
    priority,
    ruleType: 'Switch',
    protocol: null,
    source: null,
    destination: null,
    ports: [],
    origin,
  };
}

function fromNode(node: Node): readonly HnsAcl[] {
  const nets = node.addresses.filter((a) => a.family === 4).map(hostPrefix);
  if (nets.length === 0) return [];
  const acl = plain('ingress', 'Allow', HOST_TO_ENDPOINT, []);
  return [{ ...acl, id: 'allow-host-to-endpoint', source: { kind: 'nets', nets } }];
}

/** For the host's firewall; the switch does not ask them. */
const HOST_RULES: readonly HnsAcl[] = (['ingress', 'egress'] as const).map((direction) => ({
  ...plain(direction, 'Allow', 100, []),
  ruleType: 'Host' as const,
}));

/** Rules that are left out on Windows, for policies that select pods there. */
export function calicoWarnings(input: RenderInput): readonly Diagnostic[] {
  const { policies, endpoints } = programOf(input);
  const windows = new Set(
    input.cluster.nodes.filter((node) => node.os === 'windows').map((node) => node.name),
  );
  const there = [...endpoints.values()].filter((e) => windows.has(e.pod.node));
  return policies
    .filter((p) =>
      there.some((e) => e.pod.namespace === p.namespace && matches(p.selector, e.labels)),
    )
    .flatMap((policy) =>
      (['ingress', 'egress'] as const).flatMap((direction) =>
        policy.rules[direction].flatMap((rule) => ruleWarning(rule)),
      ),
    );
}

function ruleWarning(rule: CalicoRule): readonly Diagnostic[] {
  const reason = unsupported(rule);
  if (reason === null) return [];
  const [file = '', line = ''] = (rule.origin.source ?? '').split(/:(?=\d+$)/);
  return [
    {
      code: 'CALICO_WINDOWS_RULE',
      ...(file === '' ? {} : { file, line: Number(line) }),
      object: rule.origin.object,
      ...(rule.origin.field === undefined ? {} : { field: rule.origin.field }),
      message: `Calico for Windows leaves this rule out (${reason}): what it allows is denied on Windows pods`,
    },
  ];
}
