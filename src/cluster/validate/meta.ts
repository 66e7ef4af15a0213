/**
 * Validation of what all objects share: metadata, labels, label selectors
 * (apimachinery pkg/api/validation/objectmeta.go, pkg/apis/meta/v1/validation/validation.go).
 * @module
 */
import type { FieldErrors } from '../manifest/field-error.ts';
import {
  dnsLabelErrors,
  labelValueErrors,
  maskTrailingDash,
  portNameErrors,
  portNumberErrors,
  qualifiedNameErrors,
} from '../manifest/names.ts';
import type { Tree } from '../manifest/tree.ts';
import { entries, get, items, number, text } from '../manifest/tree.ts';

export interface MetaRules {
  readonly namespaced: boolean;
  /** The rule for the kind's names. */
  readonly nameErrors: (name: string) => readonly string[];
}

/** Check `metadata` of an object. */
export function validateMeta(errors: FieldErrors, object: Tree, rules: MetaRules): void {
  const meta = get(object, 'metadata');
  const at = meta ?? object;
  const generateName = get(meta, 'generateName');
  for (const e of rules.nameErrors(maskTrailingDash(text(generateName) ?? 'a'))) {
    errors.invalid('NAME_INVALID', generateName ?? at, 'metadata.generateName', e);
  }
  const name = get(meta, 'name');
  if ((text(name) ?? '') === '') {
    if ((text(generateName) ?? '') === '') {
      errors.required('NAME_REQUIRED', at, 'metadata.name', 'name or generateName is required');
    }
  } else if (name) {
    for (const e of rules.nameErrors(text(name) ?? '')) {
      errors.invalid('NAME_INVALID', name, 'metadata.name', e);
    }
  }
  if (rules.namespaced) validateNamespaceName(errors, get(meta, 'namespace'), at);
  validateLabels(errors, get(meta, 'labels'), 'metadata.labels');
  for (const [key, entry] of entries(get(meta, 'annotations'))) {
    for (const e of qualifiedNameErrors(key.toLowerCase())) {
      errors.invalidText(
        'ANNOTATION_KEY',
        entry.value,
        'metadata.annotations',
        JSON.stringify(key),
        e,
      );
    }
  }
}

function validateNamespaceName(errors: FieldErrors, namespace: Tree | undefined, at: Tree): void {
  if (namespace === undefined || text(namespace) === '') {
    errors.required('NAMESPACE_REQUIRED', at, 'metadata.namespace');
    return;
  }
  for (const e of dnsLabelErrors(text(namespace) ?? '')) {
    errors.invalid('NAME_INVALID', namespace, 'metadata.namespace', e);
  }
}

/** Keys are qualified names, values label values; both are reported at the map's own path. */
export function validateLabels(errors: FieldErrors, labels: Tree | undefined, path: string): void {
  for (const [key, entry] of entries(labels)) {
    for (const e of qualifiedNameErrors(key)) {
      errors.invalidText('LABEL_KEY', entry.value, path, JSON.stringify(key), e);
    }
    const value = text(entry.value);
    if (value === undefined) continue;
    for (const e of labelValueErrors(value)) errors.invalid('LABEL_VALUE', entry.value, path, e);
  }
}

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** metav1.LabelSelector. */
export function validateSelector(
  errors: FieldErrors,
  selector: Tree | undefined,
  path: string,
): void {
  validateLabels(errors, get(selector, 'matchLabels'), `${path}.matchLabels`);
  items(get(selector, 'matchExpressions')).forEach((expression, i) => {
    validateExpression(errors, expression, `${path}.matchExpressions[${i}]`);
  });
}

function validateExpression(errors: FieldErrors, expression: Tree, path: string): void {
  const values = get(expression, 'values');
  const operator = get(expression, 'operator');
  switch (text(operator)) {
    case 'In':
    case 'NotIn':
      if (items(values).length === 0) {
        const detail = "must be specified when `operator` is 'In' or 'NotIn'";
        errors.required('SELECTOR_VALUES', values ?? expression, `${path}.values`, detail);
      }
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values && items(values).length > 0) {
        const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        errors.forbidden('SELECTOR_VALUES', values, `${path}.values`, detail);
      }
      break;
    default: {
      const detail = 'not a valid selector operator';
      const field = `${path}.operator`;
      if (operator) {
        errors.invalid('SELECTOR_OPERATOR', operator, field, detail, OPERATORS.join(', '));
      } else {
        errors.invalidText('SELECTOR_OPERATOR', expression, field, '""', detail);
      }
    }
  }
  const key = get(expression, 'key');
  for (const e of qualifiedNameErrors(text(key) ?? '')) {
    errors.invalidText(
      'LABEL_KEY',
      key ?? expression,
      `${path}.key`,
      JSON.stringify(text(key) ?? ''),
      e,
    );
  }
  items(values).forEach((value, i) => {
    for (const e of labelValueErrors(text(value) ?? '')) {
      errors.invalid('LABEL_VALUE', value, `${path}.values[${i}]`, e);
    }
  });
}

/** A port number, or a port's name. */
export function validatePortOrName(
  errors: FieldErrors,
  code: string,
  port: Tree,
  path: string,
): void {
  const size = number(port);
  const found = size === undefined ? portNameErrors(text(port) ?? '') : portNumberErrors(size);
  const accepted = size === undefined ? undefined : '1..65535';
  for (const e of found) errors.invalid(code, port, path, e, accepted);
}
