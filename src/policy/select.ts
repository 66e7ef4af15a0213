/**
 * Label selectors: which labels a selector picks (facts: metav1.LabelSelector, apimachinery
 * pkg/labels/selector.go `Requirement.Matches`).
 * @module
 */
import type { Labels } from '../cluster/model.ts';
import type { LabelExpression, LabelSelector } from './model.ts';

/** Whether `selector` picks an object with `labels`; an empty selector picks everything. */
export function selects(selector: LabelSelector, labels: Labels): boolean {
  for (const key in selector.matchLabels) {
    if (labelOf(labels, key) !== selector.matchLabels[key]) return false;
  }
  return selector.matchExpressions.every((e) => holds(e, labels));
}

/** The label's value; own properties only, as `constructor` is a legal label key. */
function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function holds(e: LabelExpression, labels: Labels): boolean {
  const value = labelOf(labels, e.key);
  switch (e.operator) {
    case 'In':
      return value !== undefined && e.values.includes(value);
    case 'NotIn':
      return value === undefined || !e.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}
