/**
 * Selectors in words, for the reports that name an IP set.
 * @module
 */
import type { LabelExpression, LabelSelector, Peer } from '../../../policy/model.ts';
import { formatPrefix } from '../../../wire/address/address.ts';

/** `pods labelled app=web in namespace shop`. */
export function describePods(pods: LabelSelector | null, namespace: string): string {
  return `${podWords(pods)} in namespace ${namespace}`;
}

/** A peer of a policy in the namespace. */
export function describePeer(peer: Peer, namespace: string): string {
  if (peer.kind === 'ipBlock') {
    const except = peer.except.map(formatPrefix).join(', ');
    return `${formatPrefix(peer.cidr)}${except === '' ? '' : ` except ${except}`}`;
  }
  if (peer.namespaceSelector === null) return describePods(peer.podSelector, namespace);
  const where = requirementWords(peer.namespaceSelector);
  const namespaces = where === '' ? 'any namespace' : `namespaces with ${where}`;
  return `${podWords(peer.podSelector)} in ${namespaces}`;
}

function podWords(selector: LabelSelector | null): string {
  const words = selector === null ? '' : requirementWords(selector);
  return words === '' ? 'all pods' : `pods with ${words}`;
}

function requirementWords(selector: LabelSelector): string {
  const labels = Object.entries(selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  return [...labels.sort(), ...selector.matchExpressions.map(expressionWords)].join(', ');
}

function expressionWords({ key, operator, values }: LabelExpression): string {
  switch (operator) {
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `no ${key}`;
    case 'In':
      return `${key} in (${values.join(', ')})`;
    case 'NotIn':
      return `${key} not in (${values.join(', ')})`;
  }
}
