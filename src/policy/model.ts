/**
 * What is allowed: networking.k8s.io/v1 NetworkPolicy after API-server validation and defaulting.
 *
 * An absent and an empty list differ nowhere in the API (omitempty), so lists are plain arrays
 * here: no peers means any peer, no ports means every port and protocol, no rules means nothing
 * allowed.
 * @module
 */
import type { Labels, ObjectMeta, SourceRef, TransportProtocol } from '../cluster/model.ts';
import type { Prefix } from '../wire/address/address.ts';

export interface LabelExpression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

/** metav1.LabelSelector; both lists empty selects everything. */
export interface LabelSelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly LabelExpression[];
}

export type Peer =
  | {
      readonly kind: 'selector';
      /** Null: not given. Both null can not occur. */
      readonly podSelector: LabelSelector | null;
      readonly namespaceSelector: LabelSelector | null;
      readonly source: SourceRef;
    }
  | {
      readonly kind: 'ipBlock';
      readonly cidr: Prefix;
      readonly except: readonly Prefix[];
      readonly source: SourceRef;
    };

export interface PolicyPort {
  readonly protocol: TransportProtocol;
  /** Null: all ports of the protocol. A string is a named port. */
  readonly port: number | string | null;
  readonly endPort: number | null;
}

export interface PolicyRule {
  readonly peers: readonly Peer[];
  readonly ports: readonly PolicyPort[];
  readonly source: SourceRef;
}

export interface NetworkPolicy extends ObjectMeta {
  readonly namespace: string;
  readonly podSelector: LabelSelector;
  readonly ingress: readonly PolicyRule[];
  readonly egress: readonly PolicyRule[];
  readonly policyTypes: readonly ('Ingress' | 'Egress')[];
}

/** `NAMESPACE/NetworkPolicy/NAME`, as reports name it. */
export function policyId(p: NetworkPolicy): string {
  return `${p.namespace}/NetworkPolicy/${p.name}`;
}
