/**
 * Label selectors as NPM reads them: lists of sets that an address must be in, or not be in.
 *
 * Source: azure-container-networking `npm/pkg/controlplane/translation/parseSelector.go`
 * (`parsePodSelector`, `parseNSSelector`, `flattenNameSpaceSelector`). Go ranges over matchLabels
 * in random order; here it is the object's. Sets named twice appear once, as `addSelector` does.
 * @module
 */
import { unreachable } from '../../diagnostic/diagnostic.ts';
import type { LabelExpression, LabelSelector } from '../../policy/model.ts';
import {
  ALL_NAMESPACES,
  commentOf,
  type NpmSet,
  namespaceLabelSet,
  namespaceLabelValueSet,
  podLabelSet,
  podLabelValueSet,
  type SetUse,
} from './set.ts';
import type { NpmBehavior } from './version.ts';

/** The sets of a podSelector, all of which an address must satisfy. */
export function podSelectorSets(
  policyKey: string,
  selector: LabelSelector,
  behavior: NpmBehavior,
): SetUse[] {
  const uses = Object.entries(selector.matchLabels).map(([key, value]) => ({
    set: podLabelValueSet(key, value),
    included: true,
  }));
  for (const expression of selector.matchExpressions) {
    uses.push(podExpression(policyKey, expression, behavior));
  }
  return withoutTwins(uses);
}

function podExpression(
  policyKey: string,
  expression: LabelExpression,
  behavior: NpmBehavior,
): SetUse {
  const { key, operator, values } = expression;
  const included = operator === 'In' || operator === 'Exists';
  switch (operator) {
    case 'Exists':
    case 'DoesNotExist':
      return { set: podLabelSet(key), included };
    case 'In':
    case 'NotIn': {
      const [only] = values;
      if (values.length === 1 && only !== undefined) {
        return { set: podLabelValueSet(key, only), included };
      }
      return { set: nestedSet(policyKey, key, values, behavior), included };
    }
    default:
      return unreachable(operator);
  }
}

function nestedSet(
  policyKey: string,
  key: string,
  values: readonly string[],
  behavior: NpmBehavior,
): NpmSet {
  const named = {
    key,
    'policy-key': `${policyKey}-${key}`,
    'policy:key': `${policyKey}:${key}`,
  }[behavior.nestedLabel];
  return {
    kind: 'nested',
    name: [`nestedlabel-${named}`, ...values].join(':'),
    describes: `pods labelled ${key} in (${values.join(', ')})`,
    members: values.map((value) => podLabelValueSet(key, value)),
  };
}

/**
 * The alternatives of a namespaceSelector, each a list of sets that an address must satisfy.
 *
 * `In` with several values becomes one alternative per value. `NotIn` with several values does so
 * too until PR 4866, which turns "none of them" into "not all of them", that is anything.
 */
export function namespaceSelectorAlternatives(
  selector: LabelSelector,
  behavior: NpmBehavior,
): SetUse[][] {
  const { matchLabels, matchExpressions } = selector;
  if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) {
    return [[{ set: ALL_NAMESPACES, included: true }]];
  }
  const labels = Object.entries(matchLabels).map(([key, value]) => ({
    set: namespaceLabelValueSet(key, value),
    included: true,
  }));
  const fansOut = (e: LabelExpression) =>
    e.values.length > 1 &&
    (e.operator === 'In' || (e.operator === 'NotIn' && behavior.namespaceNotIn === 'alternatives'));
  const fixed = matchExpressions.filter((e) => !fansOut(e)).flatMap(namespaceExpression);
  let alternatives: SetUse[][] = [[...labels, ...fixed]];
  for (const expression of matchExpressions.filter(fansOut)) {
    const choices = namespaceExpression(expression);
    alternatives = alternatives.flatMap((base) => choices.map((choice) => [...base, choice]));
  }
  return alternatives.map((uses) => bounded(withoutTwins(uses), behavior));
}

/** One use per value, or one for an operator without values. */
function namespaceExpression(expression: LabelExpression): SetUse[] {
  const { key, operator, values } = expression;
  const included = operator === 'In' || operator === 'Exists';
  if (operator === 'Exists' || operator === 'DoesNotExist') {
    return [{ set: namespaceLabelSet(key), included }];
  }
  return values.map((value) => ({ set: namespaceLabelValueSet(key, value), included }));
}

/** PR 4868: what only excludes is matched within all namespaces, not within all addresses. */
function bounded(uses: SetUse[], behavior: NpmBehavior): SetUse[] {
  const negationOnly = uses.every((use) => !use.included);
  if (!negationOnly || behavior.negationOnly === 'bare') return uses;
  return [...uses, { set: ALL_NAMESPACES, included: true }];
}

function withoutTwins(uses: readonly SetUse[]): SetUse[] {
  const seen = new Set<string>();
  return uses.filter((use) => {
    const key = commentOf(use);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
