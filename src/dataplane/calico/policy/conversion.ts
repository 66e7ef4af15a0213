/**
 * Kubernetes NetworkPolicy → Calico policy of tier `default`, order 1000.
 *
 * Each rule becomes one Calico rule per protocol × peer, protocols sorted, the ports of a protocol
 * merged. Source: libcalico-go/lib/backend/k8s/conversion/conversion.go
 * `K8sNetworkPolicyToCalico`, `k8sRuleToCalico`, and updateprocessors/networkpolicyprocessor.go.
 * A rule that can not be converted is left out, the rest of the policy stays (fails closed).
 * @module
 */
import { formatSource, type SourceRef, type TransportProtocol } from '../../../cluster/model.ts';
import type { Diagnostic } from '../../../diagnostic/diagnostic.ts';
import type { PortRange } from '../../../netfilter/match.ts';
import type { Provenance } from '../../../netfilter/rule.ts';
import {
  type NetworkPolicy,
  type Peer,
  type PolicyPort,
  type PolicyRule,
  policyId,
} from '../../../policy/model.ts';
import { maskAddress, type Prefix } from '../../../wire/address/address.ts';
import type { PolicyNames, Release } from '../release.ts';
import { describePeer } from './describe.ts';
import { simplifyPorts } from './ports.ts';
import { formatSelector, peerSelector, type Selector, subjectSelector } from './selector.ts';

export type Direction = 'ingress' | 'egress';

/** One rule: all parts must hold. The peer is the source for ingress, else the destination. */
export interface CalicoRule {
  readonly protocol: TransportProtocol | null;
  readonly selector: Selector | null;
  /** Calico allows lists of networks; a NetworkPolicy peer has one, with exceptions inside it. */
  readonly block: { readonly net: Prefix; readonly except: readonly Prefix[] } | null;
  /** Destination ports, numeric and named; either list may match. Both empty: any port. */
  readonly ports: readonly PortRange[];
  readonly namedPorts: readonly string[];
  /** The peer in words. */
  readonly describes: string;
  readonly origin: Provenance;
}

export interface CalicoPolicy {
  readonly names: PolicyNames;
  /** Namespace of the endpoints that it can select. */
  readonly namespace: string;
  readonly selector: Selector;
  /** The selector in canonical form: policies of one group share it. */
  readonly selectorText: string;
  readonly applies: Readonly<Record<Direction, boolean>>;
  readonly rules: Readonly<Record<Direction, readonly CalicoRule[]>>;
  /** Provenance of sending packets to this policy, and of refusing what no policy allowed. */
  origin(direction: Direction, effect: 'select' | 'isolate'): Provenance;
}

/** Convert all policies, in the order in which Felix applies those of one tier and one order. */
export function convertPolicies(
  policies: readonly NetworkPolicy[],
  release: Release,
): CalicoPolicy[] {
  const converted = policies.map((policy) => convertPolicy(policy, release));
  return converted.sort((a, b) => compareText(a.names.sort, b.names.sort));
}

/** Byte order, as Go compares strings. */
function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function convertPolicy(policy: NetworkPolicy, release: Release): CalicoPolicy {
  const selector = subjectSelector(policy.podSelector, policy.namespace);
  const ingress = policy.policyTypes.includes('Ingress');
  const egress = policy.policyTypes.includes('Egress');
  return {
    names: release.policyNames(policy.namespace, policy.name),
    namespace: policy.namespace,
    selector,
    selectorText: formatSelector(selector),
    // Without any type Calico applies the policy to ingress.
    applies: { ingress: ingress || !egress, egress },
    rules: {
      ingress: policy.ingress.flatMap((rule, i) => convertRule(policy, rule, 'ingress', i)),
      egress: policy.egress.flatMap((rule, i) => convertRule(policy, rule, 'egress', i)),
    },
    origin: originsOf(policy),
  };
}

/** Each made once: every endpoint that the policy selects names it. */
function originsOf(policy: NetworkPolicy): CalicoPolicy['origin'] {
  const made = new Map<string, Provenance>();
  const common = {
    object: policyId(policy),
    field: 'spec.podSelector',
    source: formatSource(policy.source),
  };
  return (direction, effect) => {
    const key = `${direction} ${effect}`;
    const known = made.get(key) ?? { ...common, direction, effect };
    made.set(key, known);
    return known;
  };
}

function convertRule(
  policy: NetworkPolicy,
  rule: PolicyRule,
  direction: Direction,
  index: number,
): CalicoRule[] {
  const byProtocol = portsByProtocol(rule.ports);
  if (byProtocol === null) return [];
  const field = `spec.${direction}[${index}]`;
  const allow = (where: string, source: SourceRef): Provenance => ({
    object: policyId(policy),
    direction,
    effect: 'allow',
    field: where,
    source: formatSource(source),
  });
  const peers = convertPeers(policy, rule, direction);
  const list = direction === 'ingress' ? 'from' : 'to';
  return byProtocol.flatMap(({ protocol, ports, namedPorts }) =>
    peers.map((peer, i) => ({
      ...peer.match,
      protocol,
      ports,
      namedPorts,
      describes: peer.describes,
      origin:
        peer.source === null
          ? allow(field, rule.source)
          : allow(`${field}.${list}[${i}]`, peer.source),
    })),
  );
}

type PeerMatch = Pick<CalicoRule, 'selector' | 'block'>;
const ANYONE: PeerMatch = { selector: null, block: null };

interface ConvertedPeer {
  readonly match: PeerMatch;
  readonly describes: string;
  /** Null: the rule names no peer. */
  readonly source: SourceRef | null;
}

function convertPeers(
  policy: NetworkPolicy,
  rule: PolicyRule,
  direction: Direction,
): ConvertedPeer[] {
  if (rule.peers.length === 0) {
    const describes = direction === 'ingress' ? 'any source' : 'any destination';
    return [{ match: ANYONE, describes, source: null }];
  }
  return rule.peers.map((peer) => ({
    match: convertPeer(peer, policy.namespace),
    describes: describePeer(peer, policy.namespace),
    source: peer.source,
  }));
}

function convertPeer(peer: Peer, namespace: string): PeerMatch {
  if (peer.kind === 'ipBlock') {
    const block = { net: masked(peer.cidr), except: peer.except.map(masked) };
    return { selector: null, block };
  }
  const selector = peerSelector(peer.podSelector, peer.namespaceSelector, namespace);
  return { selector, block: null };
}

function masked(prefix: Prefix): Prefix {
  return { address: maskAddress(prefix.address, prefix.length), length: prefix.length };
}

interface ProtocolPorts {
  readonly protocol: TransportProtocol | null;
  readonly ports: readonly PortRange[];
  readonly namedPorts: readonly string[];
}

/**
 * The ports of a rule, merged per protocol; a port entry without a port means the whole protocol.
 * Null when Calico can not convert one of them (a range that starts with a name).
 */
function portsByProtocol(ports: readonly PolicyPort[]): ProtocolPorts[] | null {
  if (ports.length === 0) return [{ protocol: null, ports: [], namedPorts: [] }];
  if (ports.some((p) => typeof p.port === 'string' && p.endPort !== null)) return null;
  const protocols = [...new Set(ports.map((p) => p.protocol))].sort();
  return protocols.map((protocol) => {
    const own = ports.filter((p) => p.protocol === protocol);
    if (own.some((p) => p.port === null)) return { protocol, ports: [], namedPorts: [] };
    const numeric = own.flatMap(({ port, endPort }) =>
      typeof port === 'number' ? [{ low: port, high: endPort ?? port }] : [],
    );
    const namedPorts = own.flatMap(({ port }) => (typeof port === 'string' ? [port] : []));
    return { protocol, ports: simplifyPorts(numeric), namedPorts };
  });
}

/** Rules that Calico leaves out, as warnings. */
export function conversionWarnings(policies: readonly NetworkPolicy[]): Diagnostic[] {
  return policies.flatMap((policy) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      policy[direction].flatMap((rule, i) => {
        if (portsByProtocol(rule.ports) !== null) return [];
        const { file, line, column } = rule.source;
        return [
          {
            code: 'CALICO_RULE_DROPPED',
            file,
            line,
            column,
            object: policyId(policy),
            field: `spec.${direction}[${i}]`,
            message:
              'Calico drops this rule (a named port can not start a range); the rest of the ' +
              'policy stays',
          },
        ];
      }),
    ),
  );
}
