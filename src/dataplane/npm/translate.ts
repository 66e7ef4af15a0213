/**
 * From a NetworkPolicy to NPM's own form of it: the sets that select its pods and a list of ACLs
 * per direction, the last of which drops.
 *
 * Source: azure-container-networking `npm/pkg/controlplane/translation/translatePolicy.go`
 * (`TranslatePolicy`, `translateRule`, `peerAndPortRule`), commit cbd7560cf (2026-08-20); what
 * differs by version is in version.ts.
 * @module
 */
import { formatSource, type SourceRef, type TransportProtocol } from '../../cluster/model.ts';
import type { Diagnostic } from '../../diagnostic/diagnostic.ts';
import type { PortRange } from '../../netfilter/match.ts';
import type { Provenance } from '../../netfilter/rule.ts';
import {
  type NetworkPolicy,
  type Peer,
  type PolicyPort,
  type PolicyRule,
  policyId,
} from '../../policy/model.ts';
import { formatPrefix } from '../../wire/address/address.ts';
import { ipBlockMembers, isIpv4Block } from './ip-block.ts';
import { namespaceSelectorAlternatives, podSelectorSets } from './selector.ts';
import { type NpmSet, namedPortSet, namespaceSet, type SetUse } from './set.ts';
import type { NpmBehavior } from './version.ts';

export type Direction = 'ingress' | 'egress';

/** One rule of a policy's chain. */
export interface Acl {
  readonly effect: 'allow' | 'drop';
  readonly protocol: TransportProtocol | null;
  /** Destination ports; null: all. */
  readonly ports: PortRange | null;
  /** Sets of the other end, in order. */
  readonly peers: readonly SetUse[];
  readonly namedPort: NpmSet | null;
  readonly origin: Provenance;
}

export interface NpmPolicy {
  readonly policy: NetworkPolicy;
  /** `NAMESPACE/NAME`. */
  readonly key: string;
  /** The sets of the podSelector, the namespace's own last. */
  readonly selector: readonly SetUse[];
  /** Absent: the direction is not one of the policy's types, and has no chain. */
  readonly ingress?: readonly Acl[];
  readonly egress?: readonly Acl[];
  readonly warnings: readonly Diagnostic[];
}

/** Why NPM leaves a policy out altogether. */
export interface RejectedPolicy {
  readonly policy: NetworkPolicy;
  readonly warnings: readonly Diagnostic[];
}

interface Translation {
  readonly policy: NetworkPolicy;
  readonly key: string;
  readonly behavior: NpmBehavior;
  readonly warnings: Diagnostic[];
  rejected: boolean;
}

/** Translate one policy; a rejected one is enforced nowhere, in no direction. */
export function translatePolicy(
  policy: NetworkPolicy,
  behavior: NpmBehavior,
): NpmPolicy | RejectedPolicy {
  const key = `${policy.namespace}/${policy.name}`;
  const t: Translation = { policy, key, behavior, warnings: [], rejected: false };
  const selector: SetUse[] = [
    ...podSelectorSets(key, policy.podSelector, behavior),
    { set: namespaceSet(policy.namespace), included: true },
  ];
  const ingress = policy.policyTypes.includes('Ingress')
    ? directionAcls(t, 'ingress', policy.ingress)
    : undefined;
  const egress = policy.policyTypes.includes('Egress')
    ? directionAcls(t, 'egress', policy.egress)
    : undefined;
  if (t.rejected) return { policy, warnings: t.warnings };
  return {
    policy,
    key,
    selector,
    warnings: t.warnings,
    ...(ingress === undefined ? {} : { ingress }),
    ...(egress === undefined ? {} : { egress }),
  };
}

export function isRejected(result: NpmPolicy | RejectedPolicy): result is RejectedPolicy {
  return !('key' in result);
}

function directionAcls(t: Translation, direction: Direction, rules: readonly PolicyRule[]): Acl[] {
  const empty = rules.findIndex((rule) => rule.peers.length === 0 && rule.ports.length === 0);
  const emptyRule = rules[empty];
  if (emptyRule && (t.behavior.emptyRule === 'allowsAll' || rules.length === 1)) {
    const place = { field: `spec.${direction}[${empty}]`, source: emptyRule.source };
    return [allow(t, direction, place, [], ANY_PORT)];
  }
  if (emptyRule) {
    t.warnings.push({
      ...about(t, emptyRule.source),
      code: 'NPM_EMPTY_RULE_IGNORED',
      field: `spec.${direction}[${empty}]`,
      message: 'this version of NPM ignores an empty rule beside others (fixed in 1.5.17)',
    });
  }
  const acls = rules.flatMap((rule, index) => ruleAcls(t, direction, rule, index));
  acls.push({
    effect: 'drop',
    protocol: null,
    ports: null,
    peers: [],
    namedPort: null,
    origin: {
      object: policyId(t.policy),
      direction,
      effect: 'isolate',
      field: 'spec.policyTypes',
      source: formatSource(t.policy.source),
    },
  });
  return acls;
}

function ruleAcls(t: Translation, direction: Direction, rule: PolicyRule, index: number): Acl[] {
  const field = `spec.${direction}[${index}]`;
  if (rule.peers.length === 0) {
    return rule.ports.map((port, k) => {
      const place = { field: `${field}.ports[${k}]`, source: rule.source };
      return allow(t, direction, place, [], portMatch(port));
    });
  }
  const list = direction === 'ingress' ? 'from' : 'to';
  return rule.peers.flatMap((peer, j) => {
    const peerField = `${field}.${list}[${j}]`;
    const alternatives = peerAlternatives(t, direction, peer, peerField, [index, j]);
    return alternatives.flatMap((uses) => {
      const source = peer.source;
      if (rule.ports.length === 0) {
        return [allow(t, direction, { field: peerField, source }, uses, ANY_PORT)];
      }
      return rule.ports.map((port, k) => {
        const place = { field: `${peerField}.ports[${k}]`, source };
        return allow(t, direction, place, uses, portMatch(port));
      });
    });
  });
}

/** What a peer becomes: alternatives, each a list of sets that all must hold. */
function peerAlternatives(
  t: Translation,
  direction: Direction,
  peer: Peer,
  field: string,
  indices: readonly [number, number],
): SetUse[][] {
  if (peer.kind === 'ipBlock') {
    return [[{ set: ipBlockSet(t, direction, peer, field, indices), included: true }]];
  }
  const pods =
    peer.podSelector === null ? [] : podSelectorSets(t.key, peer.podSelector, t.behavior);
  if (peer.namespaceSelector === null) {
    return [[...pods, { set: namespaceSet(t.policy.namespace), included: true }]];
  }
  warnOfNamespaceNegation(t, peer, field);
  return namespaceSelectorAlternatives(peer.namespaceSelector, t.behavior).map((namespaces) => [
    ...namespaces,
    ...pods,
  ]);
}

function ipBlockSet(
  t: Translation,
  direction: Direction,
  block: Extract<Peer, { kind: 'ipBlock' }>,
  field: string,
  [rule, peer]: readonly [number, number],
): NpmSet {
  if (!isIpv4Block(block.cidr)) {
    const rejects = t.behavior.ipv6Block === 'policyRejected';
    if (rejects) t.rejected = true;
    t.warnings.push({
      ...about(t, block.source),
      code: rejects ? 'NPM_POLICY_REJECTED' : 'NPM_IPV6_SKIPPED',
      field: `${field}.ipBlock.cidr`,
      message: rejects
        ? 'NPM rejects the whole policy: it programs IPv4 only, so nothing of it is enforced'
        : 'NPM can not add this CIDR to an IPv4 set, so the peer matches nothing',
      found: formatPrefix(block.cidr),
    });
  }
  const { name, namespace } = t.policy;
  const joint = t.behavior.cidr === 'policy:in-ns:' ? ':in-ns:' : '-in-ns-';
  const way = direction === 'ingress' ? 'IN' : 'OUT';
  return {
    kind: 'cidr',
    name: `cidr-${name}${joint}${namespace}-${rule}-${peer}${way}`,
    describes: `addresses of ${t.key} ${field}.ipBlock`,
    members: ipBlockMembers(block),
  };
}

/** Say where this version lets through what the API text refuses (1.9 B1, B2 of the facts). */
function warnOfNamespaceNegation(
  t: Translation,
  peer: Extract<Peer, { kind: 'selector' }>,
  field: string,
): void {
  const selector = peer.namespaceSelector;
  if (selector === null) return;
  const { matchLabels, matchExpressions } = selector;
  const several = matchExpressions.some((e) => e.operator === 'NotIn' && e.values.length > 1);
  if (several && t.behavior.namespaceNotIn === 'alternatives') {
    t.warnings.push({
      ...about(t, peer.source),
      code: 'NPM_NOT_IN_ALLOWS_ALL',
      field: `${field}.namespaceSelector`,
      message:
        'this version of NPM reads NotIn with several values as "not all of them", which allows ' +
        'every namespace (fixed by azure-container-networking PR 4866)',
    });
  }
  const negations = matchExpressions.every(
    (e) => e.operator === 'NotIn' || e.operator === 'DoesNotExist',
  );
  const only = negations && matchExpressions.length > 0 && Object.keys(matchLabels).length === 0;
  if (only && t.behavior.negationOnly === 'bare') {
    t.warnings.push({
      ...about(t, peer.source),
      code: 'NPM_NEGATION_MATCHES_OUTSIDE',
      field: `${field}.namespaceSelector`,
      message:
        'this version of NPM matches addresses outside the cluster too when a namespaceSelector ' +
        'only excludes (fixed by azure-container-networking PR 4868)',
    });
  }
}

type PortMatch = Pick<Acl, 'protocol' | 'ports' | 'namedPort'>;

const ANY_PORT: PortMatch = { protocol: null, ports: null, namedPort: null };

function portMatch({ protocol, port, endPort }: PolicyPort): PortMatch {
  if (port === null) return { protocol, ports: null, namedPort: null };
  if (typeof port === 'string') return { protocol, ports: null, namedPort: namedPortSet(port) };
  return { protocol, ports: { low: port, high: endPort ?? port }, namedPort: null };
}

function allow(
  t: Translation,
  direction: Direction,
  place: { readonly field: string; readonly source: SourceRef },
  peers: readonly SetUse[],
  port: PortMatch,
): Acl {
  return {
    effect: 'allow',
    ...port,
    peers,
    origin: {
      object: policyId(t.policy),
      direction,
      effect: 'allow',
      field: place.field,
      source: formatSource(place.source),
    },
  };
}

function about(t: Translation, source: SourceRef) {
  return { file: source.file, line: source.line, object: policyId(t.policy) };
}
