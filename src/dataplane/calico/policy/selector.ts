/**
 * Calico selectors, as far as Kubernetes NetworkPolicies need them: built, printed in the canonical
 * form that IP set names are hashes of, and evaluated on labels.
 *
 * Source: libcalico-go/lib/selector/parser/ast.go (`String`, `Evaluate`);
 * libcalico-go/lib/backend/k8s/conversion/conversion.go `k8sSelectorToCalico`;
 * libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go `getEndpointSelector`.
 * @module
 */
import type { Labels } from '../../../cluster/model.ts';
import { unreachable } from '../../../diagnostic/diagnostic.ts';
import type { LabelExpression, LabelSelector } from '../../../policy/model.ts';

export type Selector =
  | { readonly kind: 'all' }
  | { readonly kind: 'equals'; readonly label: string; readonly value: string }
  | { readonly kind: 'in' | 'not in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: 'not'; readonly operand: Selector }
  | { readonly kind: 'and'; readonly operands: readonly Selector[] };

export const ALL: Selector = { kind: 'all' };
export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const ORCHESTRATOR_LABEL = 'projectcalico.org/orchestrator';
/** Labels of a pod's namespace as its endpoint inherits them. */
export const NAMESPACE_LABEL_PREFIX = 'pcns.';

export function equals(label: string, value: string): Selector {
  return { kind: 'equals', label, value };
}

/** One operand stands for itself, as in the parser. */
function and(operands: readonly Selector[]): Selector {
  const [first] = operands;
  if (first !== undefined && operands.length === 1) return first;
  return operands.length === 0 ? ALL : { kind: 'and', operands };
}

function requirements(selector: LabelSelector, prefix: string): Selector[] {
  const labels = Object.entries(selector.matchLabels).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...labels.map(([label, value]) => equals(prefix + label, value)),
    ...selector.matchExpressions.map((e) => requirement(e, prefix + e.key)),
  ];
}

function requirement(expression: LabelExpression, label: string): Selector {
  const values = [...new Set(expression.values)].sort();
  switch (expression.operator) {
    case 'In':
      return { kind: 'in', label, values };
    case 'NotIn':
      return { kind: 'not in', label, values };
    case 'Exists':
      return { kind: 'has', label };
    case 'DoesNotExist':
      return { kind: 'not', operand: { kind: 'has', label } };
    default:
      return unreachable(expression.operator);
  }
}

/** A podSelector: only Kubernetes' own endpoints, which keeps host endpoints out. */
function podSelector(selector: LabelSelector | null): Selector {
  const terms = selector === null ? [] : requirements(selector, '');
  return and([equals(ORCHESTRATOR_LABEL, 'k8s'), ...terms]);
}

/** What a policy selects: its podSelector in its own namespace. */
export function subjectSelector(selector: LabelSelector, namespace: string): Selector {
  return and([podSelector(selector), equals(NAMESPACE_LABEL, namespace)]);
}

/** What a peer selects; without namespaceSelector that is within the policy's own namespace. */
export function peerSelector(
  pods: LabelSelector | null,
  namespaces: LabelSelector | null,
  namespace: string,
): Selector {
  if (namespaces === null) return and([equals(NAMESPACE_LABEL, namespace), podSelector(pods)]);
  const terms = requirements(namespaces, NAMESPACE_LABEL_PREFIX);
  const where: Selector = terms.length === 0 ? { kind: 'has', label: NAMESPACE_LABEL } : and(terms);
  return and([where, podSelector(pods)]);
}

/** The canonical text. */
export function formatSelector(s: Selector): string {
  switch (s.kind) {
    case 'all':
      return 'all()';
    case 'equals':
      return `${s.label} == ${quote(s.value)}`;
    case 'in':
    case 'not in':
      return `${s.label} ${s.kind} {${s.values.map(quote).join(', ')}}`;
    case 'has':
      return `has(${s.label})`;
    case 'not':
      return `!${formatSelector(s.operand)}`;
    case 'and':
      return `(${s.operands.map(formatSelector).join(' && ')})`;
    default:
      return unreachable(s);
  }
}

function quote(text: string): string {
  return text.includes('"') ? `'${text}'` : `"${text}"`;
}

export function matches(s: Selector, labels: Labels): boolean {
  switch (s.kind) {
    case 'all':
      return true;
    case 'equals':
      return has(labels, s.label) && labels[s.label] === s.value;
    case 'in':
      return has(labels, s.label) && s.values.includes(labels[s.label] ?? '');
    case 'not in':
      return !has(labels, s.label) || !s.values.includes(labels[s.label] ?? '');
    case 'has':
      return has(labels, s.label);
    case 'not':
      return !matches(s.operand, labels);
    case 'and':
      return s.operands.every((operand) => matches(operand, labels));
    default:
      return unreachable(s);
  }
}

function has(labels: Labels, label: string): boolean {
  return Object.hasOwn(labels, label);
}
